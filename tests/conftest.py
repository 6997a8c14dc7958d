"""Fixtures for every test."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.postgres", "tests.integration.databases.postgres_shop"]


def pytest_sessionstart() -> None:
    """A shell ignores Ctrl-C for what it starts with ``&``, and so would every process of the tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """A dry run looks at every object there is: the thousands of tests are none that an app has."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def own_state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes what the user who runs the tests has seen; child processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
