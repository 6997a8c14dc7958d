"""URLs of other drivers as libpq understands them."""

from __future__ import annotations

import pytest

from oneoff.databases.postgres.options import ours
from oneoff.databases.postgres.parameters import of_url

CASES = [
    ("postgres://u:p%40ss@h:5/d", "postgresql://u:p%40ss@h:5/d"),
    ("postgresql+asyncpg://h/d?ssl=require&prepared_statement_cache_size=0", "postgresql://h/d?sslmode=require"),
    ("postgresql+psycopg2:///d?host=/run/x&application_name=a+b", "postgresql:///d?host=/run/x&application_name=a+b"),
    ("postgresql+psycopg_async://h/d?async_fallback=1", "postgresql://h/d"),
    ("postgresql://h/d?ssl=true", "postgresql://h/d?ssl=true"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "known"), CASES)
def test_of_url(url: str, known: str) -> None:
    """The driver and what only it knows are left out; what is kept is kept as it is written."""
    assert of_url(url) == known


def test_settings_go_beside_the_dry_runs_own() -> None:
    """They replace PGOPTIONS, and so have to hold it; spaces are escaped as libpq wants them."""
    options = ours({"search_path": "a, b"})
    assert options.startswith("-c search_path=a,\\ b -c default_transaction_read_only=on")
