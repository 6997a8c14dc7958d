"""Connections to SQLite files that were opened before the dry run and lead to no declared database.

Nothing stands between such a connection and its file, so SQLite itself is told to refuse writes through it:
https://www.sqlite.org/pragma.html#pragma_query_only
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from oneoff.databases.watching import Notes


def open_connections() -> Iterator[sqlite3.Connection]:
    """Those of this process, whoever opened them, and some that are closed by now."""
    yield from [thing for thing in gc.get_objects() if issubclass(type(thing), sqlite3.Connection)]


def attached_files(connection: sqlite3.Connection) -> list[str]:
    """The files of any connection, the main database's first. Raises sqlite3.ProgrammingError."""
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None  # the app's own may make anything of a row
    return [row[2] for row in cursor.execute("PRAGMA database_list")]


class HeldToReading:
    """For the time of a block they may only read. What one has written before the block and not yet committed
    is not the dry run's, and is left to it."""

    def __init__(self, notes: Notes, own: frozenset[Path]) -> None:
        """``own``: databases of oneoff itself, left alone."""
        self._notes = notes
        self._own = own
        self._held: list[sqlite3.Connection] = []

    def __enter__(self) -> None:
        for connection in open_connections():
            try:
                files = [file for file in attached_files(connection) if file and Path(file) not in self._own]
            except sqlite3.ProgrammingError as error:
                if "thread" in str(error):  # else it is closed
                    self._notes.gap("SQLite connections that other threads opened before the dry run")
                continue
            if files and not _query_only(connection):
                self._hold(connection, files[0])

    def __exit__(self, *exc_info: object) -> None:
        for connection in self._held:
            with suppress(sqlite3.Error):  # closed by now, or by a thread that is not its own
                sqlite3.Cursor(connection).execute("PRAGMA query_only = OFF")

    def _hold(self, connection: sqlite3.Connection, file: str) -> None:
        sqlite3.Cursor(connection).execute("PRAGMA query_only = ON")
        self._held.append(connection)
        self._notes.gap(f"sqlite {file}: opened before the dry run, and read-only in it")


def _query_only(connection: sqlite3.Connection) -> bool:
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    return bool(cursor.execute("PRAGMA query_only").fetchone()[0])
