"""A pooler that drops start-up options: the dry run is refused, and leaves its sessions as it found them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from oneoff.databases.handles import Databases
from oneoff.databases.postgres.interception import OWN_MARK
from oneoff.databases.postgres.options import Armed
from oneoff.errors import DryRunUnavailable
from tests.integration.databases.postgres_shop import WRITE, Shop, dry
from tests.pooler import Pooler, pooler

_STATE = re.compile(
    r"^\s*(?:set|reset|discard|create|listen|lock)\b|set_config|pg_(?:terminate|cancel)_", re.I
)


class Another(psycopg.Connection[Any]):
    """Of another client, which is none of the dry run's business."""


setattr(Another, OWN_MARK, True)


@pytest.fixture
def before_it(shop: Shop) -> Iterator[Pooler]:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        pooler(Path(folder), shop.server.socket) as running,
    ):
        yield running


def _url(shop: Shop, through: Pooler) -> str:
    return f"postgresql://postgres@/{shop.database}?host={through.folder}"


def test_the_pooler_of_these_tests(shop: Shop, before_it: Pooler) -> None:
    """It serves like the server itself, save that start-up options do not arrive."""
    with Armed(os.environ):
        for url, read_only in ((shop.url, "on"), (_url(shop, before_it), "off")):
            with psycopg.connect(url) as connection:
                assert connection.execute("SHOW default_transaction_read_only").fetchone() == (read_only,)
                assert connection.execute("SELECT count(*) FROM account WHERE id > %s", [0]).fetchone() == (
                    20,
                )
    assert "SHOW default_transaction_read_only" in before_it.queries


HANDLES: dict[str, Callable[[str], Any]] = {
    "url": lambda url: url,
    "function": lambda url: lambda: psycopg.connect(url),
    "engine": lambda url: sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:")),
}


@pytest.mark.parametrize("handle", HANDLES)
def test_a_declared_database_behind_it_is_refused(shop: Shop, before_it: Pooler, handle: str) -> None:
    """The next step is the direct address. Its sessions belong to others: none is changed or ended."""
    another = Another.connect(_url(shop, before_it), autocommit=True)
    refusal = pytest.raises(DryRunUnavailable, match="pooler in between")
    with refusal as refused, Databases().seal(HANDLES[handle](_url(shop, before_it))):
        pass
    assert "direct address" in refused.value.next_step
    assert another.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
    another.close()
    assert _changes_of_state(before_it) == []


def test_an_undeclared_one_behind_it_makes_the_dry_run_fail(shop: Shop, before_it: Pooler) -> None:
    """The sealed database is reached directly, and the task goes through the pooler: nothing is written."""
    before = shop.fingerprint()

    def task(_: Shop) -> None:
        try:
            with psycopg.connect(_url(shop, before_it)) as connection:
                connection.execute(WRITE)
        except DryRunUnavailable:  # swallowed: it is noted all the same
            return

    report = dry(shop, task)
    assert shop.fingerprint() == before
    assert any("pooler in between" in attempt for attempt in report.attempts)
    assert _changes_of_state(before_it) == []


def _changes_of_state(running: Pooler) -> list[str]:
    assert running.queries
    return [text for text in running.queries if _STATE.search(text)]
