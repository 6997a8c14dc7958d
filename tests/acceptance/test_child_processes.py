"""Which processes of a task are let through or named. Each way to start one: tests/acceptance/leaks."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli import Ended, Project
from tests.postgres import Server

_SETTINGS = '[tool.oneoff]\napp = "admin:admin"\n'
_ADMIN = '''
import concurrent.futures
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time
import warnings

import oneoff
from where import DATABASE, WRITER

admin = oneoff.App("shop", database=DATABASE)
COMMAND = [sys.executable, WRITER]
CLEAN = {"PATH": os.environ["PATH"]}


def clean():
    """What the child does must not depend on what it was given."""
    os.environ.clear()
    os.environ.update(CLEAN)


def written():
    clean()
    exec(compile(open(WRITER).read(), WRITER, "exec"), {"__name__": "__main__"})


def pool(method):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(written).result()


def left_behind():
    threading.Timer(0.3, lambda: subprocess.run(COMMAND, env=CLEAN)).start()


def nothing():
    platform.platform()
    with multiprocessing.get_context("spawn").Lock():
        pass


ROADS = {
    "run": lambda: subprocess.run(COMMAND, env=CLEAN),
    "pool-spawn": lambda: pool("spawn"),
    "left-behind": left_behind,
    "nothing": nothing,
}


@admin.task
def leak(ctx: oneoff.Context, road: str) -> None:
    """Have the same written by a process."""
    warnings.simplefilter("ignore")
    ROADS[road]()


@admin.task
def told(ctx: oneoff.Context) -> None:
    """As the message advises."""
    ctx.effect("rebuild the index", subprocess.run, COMMAND, env=CLEAN)
'''
_SQLITE_WRITER = """
import sqlite3
connection = sqlite3.connect({!r})
connection.execute("UPDATE account SET balance = 1000")
connection.commit()
"""
_POSTGRES_WRITER = """
import psycopg
with psycopg.connect({!r}) as connection:
    connection.execute("UPDATE account SET balance = 1000")
"""
_TABLE = (
    "CREATE TABLE account (id int PRIMARY KEY, balance int)",
    "INSERT INTO account VALUES (1, 0), (2, 0)",
)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A project, and what stands in its database, seen from outside."""

    project: Project
    content: Callable[[], Any]

    def leak(self, road: str, *options: str) -> Ended:
        return self.project("run", "leak", "--road", road, *options)


def _project(root: Path, database: str, writer: str) -> Project:
    project = Project(root)
    project.write(
        pyproject_toml=_SETTINGS,
        admin_py=_ADMIN,
        writer_py=writer,
        where_py=f"DATABASE = {database!r}\nWRITER = {str(root / 'writer.py')!r}\n",
    )
    return project


@pytest.fixture
def sqlite_shop(tmp_path: Path) -> Shop:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(";".join(_TABLE))
    return Shop(
        project=_project(tmp_path, f"sqlite:///{path}", _SQLITE_WRITER.format(str(path))),
        content=lambda: hashlib.sha256(path.read_bytes()).hexdigest(),
    )


@pytest.fixture
def postgres_shop(tmp_path: Path, postgres: Server) -> Iterator[Shop]:
    """The child connects by a URL with options of its own, which PGOPTIONS does not reach."""
    with postgres.database() as name:
        postgres.execute(*_TABLE, database=name)
        url = postgres.url(name)
        writer = _POSTGRES_WRITER.format(f"{url}&options=-c%20lock_timeout%3D1000")
        yield Shop(
            project=_project(tmp_path, url, writer),
            content=lambda: postgres.execute("SELECT * FROM account ORDER BY id", database=name),
        )


@pytest.fixture(params=["sqlite_shop", "postgres_shop"])
def shop(request: pytest.FixtureRequest) -> Shop:
    found: Shop = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("road", ["run", "pool-spawn"])
def test_a_real_run_starts_it(shop: Shop, road: str) -> None:
    """The roads of this test do write, where nothing holds them."""
    before = shop.content()
    assert shop.leak(road).code == 0
    assert shop.content() != before


def test_a_thread_that_outlives_the_task_starts_none(shop: Shop) -> None:
    """Its try comes after the report; it is refused all the same, and said on standard error."""
    before = shop.content()
    ended = shop.leak("left-behind", "--dry-run")
    assert shop.content() == before
    assert "DryRunStopped" in ended.err


def test_what_libraries_start_for_themselves_is_let_through(shop: Shop) -> None:
    """`platform.platform()` starts `uname -p`, as in clients that say on what they run; a lock of
    multiprocessing, as in progress bars, starts its tracker."""
    assert shop.leak("nothing", "--dry-run", "--exit-code").code == 0


def test_the_advice_is_good(shop: Shop) -> None:
    """A process that is started through `ctx.effect` is an effect, and not started."""
    before = shop.content()
    ended = shop.project("run", "told", "--dry-run", "--exit-code")
    assert shop.content() == before
    assert ended.code == 10
    assert "rebuild the index (subprocess.run)" in ended.out


def test_what_is_left_for_the_end_of_the_process_is_named(shop: Shop) -> None:
    """No seal and no guard holds it: both parts of the report say so."""
    ended = shop.leak("nothing", "--dry-run", "-o", "json")
    report = json.loads(ended.out)["dry_run_report"]
    for part in (report, *report["databases"]):
        assert any("atexit, __del__" in gap and "_thread" in gap for gap in part["not_covered"])
