"""What a dry run adds to a task that only talks to its database."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from oneoff.databases.handles import Databases
from oneoff.dryrun.seams import Seal
from tests.postgres import Server, database_of

_seen: list[str] | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _seen is not None:
        _seen.append(event)


sys.addaudithook(_hook)  # for ever, as Python has it; it looks only where a test lets it


def _events(work: Callable[[], None]) -> list[str]:
    global _seen
    _seen = found = list[str]()
    try:
        work()
    finally:
        _seen = None
    return found


def _loops(seal: Seal, connect: Callable[[], Any], mark: str) -> None:
    with seal, closing(connect()) as connection:

        def loop() -> None:
            for number in range(50):
                connection.execute(f"UPDATE item SET v = {mark} WHERE id = {mark}", (number, number % 7))
                connection.execute(f"SELECT v FROM item WHERE id = {mark}", (number,)).fetchall()

        loop()  # what is loaded at the first time is loaded now
        assert _events(loop) == []


def test_a_query_loop_raises_no_audit_event_on_postgres(database_url: str, postgres: Server) -> None:
    """So no guard slows it down, whatever it looks at."""
    postgres.execute("CREATE TABLE item (id int PRIMARY KEY, v int)", database=database_of(database_url))
    _loops(Databases().seal(database_url), lambda: psycopg.connect(database_url), "%s")


def test_a_query_loop_raises_no_audit_event_on_sqlite(tmp_path: Path) -> None:
    """Nor does the copy's watched connection."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, v INT)")
    _loops(Databases().seal(f"sqlite:///{path}"), lambda: sqlite3.connect(path), "?")
