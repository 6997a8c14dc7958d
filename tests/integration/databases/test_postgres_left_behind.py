"""What a task leaves running: once the seal is left it meets a closed database, as long as it runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from oneoff.databases.handles import Databases
from oneoff.errors import DryRunStopped, DryRunUnavailable
from tests.cli import Project
from tests.integration.databases.postgres_shop import WRITE, Shop, dry
from tests.threads import let_go


def _connects(shop: Shop) -> Callable[[], object]:
    def late() -> None:
        with psycopg.connect(shop.url) as connection:
            connection.execute(WRITE)

    return late


def _connects_with_options(shop: Shop) -> Callable[[], object]:
    def late() -> None:
        with psycopg.connect(shop.url, options="-c lock_timeout=1000") as connection:
            connection.execute(WRITE)

    return late


def _uses_the_engine(shop: Shop) -> Callable[[], object]:
    def late() -> None:
        with shop.engine.begin() as connection:
            connection.execute(sa.text(WRITE))

    return late


def _uses_a_sealed_connection(shop: Shop) -> Callable[[], object]:
    connection = shop.connect()
    return lambda: connection.execute(WRITE)


def _commits_a_sealed_connection(shop: Shop) -> Callable[[], object]:
    connection = shop.connect()
    connection.execute("SELECT 1")
    return connection.commit


LATE = [
    _connects,
    _connects_with_options,
    _uses_the_engine,
    _uses_a_sealed_connection,
    _commits_a_sealed_connection,
]


def _by_thread(late: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=late, name="late_0")
    thread.start()
    return thread


def _by_pool(late: Callable[[], None]) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(1, thread_name_prefix="late")
    pool.submit(late)
    return pool


def _wait_for(left: Any) -> None:
    left.join() if isinstance(left, threading.Thread) else left.shutdown()
    let_go()


@pytest.mark.parametrize("start", [_by_thread, _by_pool], ids=["thread", "pool"])
@pytest.mark.parametrize("late", LATE, ids=lambda late: late.__name__.strip("_"))
def test_a_thread_that_outlives_the_dry_run_cannot_write(
    shop: Shop, late: Callable[[Shop], Callable[[], object]], start: Callable[[Any], Any]
) -> None:
    """The report is made at once and names it; when it is gone, the process has its database back."""
    go, failures, left = threading.Event(), list[BaseException](), list[Any]()

    def task(shop: Shop) -> None:
        act = late(shop)

        def run() -> None:
            go.wait(10)
            try:
                act()
            except BaseException as error:
                failures.append(error)

        left.append(start(run))

    before, options = shop.fingerprint(), os.environ.get("PGOPTIONS")
    report = dry(shop, task)
    go.set()
    _wait_for(left[0])
    assert shop.fingerprint() == before
    assert [type(failure) for failure in failures] == [DryRunStopped]
    assert any("(late_0)" in gap for gap in report.not_covered)
    assert os.environ.get("PGOPTIONS") == options
    _connects(shop)()
    assert shop.fingerprint() != before


def test_the_read_only_default_stays_for_other_drivers(shop: Shop) -> None:
    """A thread that is left may use a driver that only PGOPTIONS reaches."""
    go = threading.Event()
    thread = threading.Thread(target=go.wait, args=[10])
    dry(shop, lambda _: thread.start())
    assert "default_transaction_read_only=on" in os.environ["PGOPTIONS"]
    go.set()
    _wait_for(thread)


def test_no_second_dry_run_begins_beside_a_thread_of_the_first(shop: Shop) -> None:
    """It could not tell that thread's connections from its own."""
    go = threading.Event()
    thread = threading.Thread(target=go.wait, args=[10])
    dry(shop, lambda _: thread.start())
    with pytest.raises(DryRunUnavailable, match="left running"), Databases().seal(shop.engine):
        pass
    go.set()
    _wait_for(thread)


_ADMIN = """
import os
import time
from concurrent.futures import ThreadPoolExecutor

import oneoff
import psycopg

admin = oneoff.App("shop", database={url!r})


def late(url):
    time.sleep(0.3)
    with psycopg.connect(url) as connection:
        connection.execute({write!r})


@admin.task
def leave(ctx: oneoff.Context) -> None:
    pool = ThreadPoolExecutor(1, thread_name_prefix="late")
    for url in ({url!r}, {url!r} + "&options=-c%20lock_timeout%3D1000"):
        pool.submit(late, url).add_done_callback(lambda done: print(repr(done.exception()), flush=True))
"""


def test_a_pool_that_outlives_a_command_writes_nothing(shop: Shop, tmp_path: Path) -> None:
    """Python waits for it at the end of the process; the command has printed its report by then."""
    project = Project(tmp_path)
    project.write(
        pyproject_toml='[tool.oneoff]\napp = "admin:admin"\n',
        admin_py=_ADMIN.format(url=shop.url, write=WRITE),
    )
    before = shop.fingerprint()
    ended = project("run", "leave", "--dry-run")
    assert shop.fingerprint() == before
    assert "threads that the task left running (late_0)" in ended.out
    assert (ended.out + ended.err).count("DryRunStopped") == 2
