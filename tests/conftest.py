"""Fixtures for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.postgres", "tests.integration.databases.postgres_shop"]


@pytest.fixture(autouse=True, scope="session")
def own_state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes what the user who runs the tests has seen; child processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
