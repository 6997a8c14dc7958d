"""Ways to reach a database where the app declares none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg

from tests.acceptance.leaks.way import Ends, Group, Held, Place, Way, held_by

_WRITE = "UPDATE account SET balance = 0"
_kept_connect = sqlite3.connect


def _sqlite(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite)) as connection, connection:
        connection.execute(_WRITE)


def _sqlite_kept(at: Place) -> None:
    with closing(_kept_connect(at.sqlite)) as connection, connection:
        connection.execute(_WRITE)


def _attached(at: Place) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("ATTACH ? AS real", (str(at.sqlite),))


def _postgres(at: Place) -> None:
    with psycopg.connect(at.database) as connection:
        connection.execute(_WRITE)


def _swallowed(at: Place) -> None:
    with suppress(BaseException):
        _postgres(at)


def _records(at: Place) -> None:
    with closing(sqlite3.connect(".oneoff/store.db")) as connection, connection:
        connection.execute("DELETE FROM actor")


def _records_swallowed(at: Place) -> None:
    with suppress(BaseException):
        _records(at)


@contextmanager
def _cache(at: Place) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(at.sqlite)) as connection:
        yield connection


def _write_cache(at: Place) -> None:
    with at.earlier:
        at.earlier.execute(_WRITE)


_OPENS = "declare it: App(…, database=…)"

UNDECLARED = Group(
    title="No database is declared",
    ways=(
        *held_by(
            Held.COPY,
            Ends.STOPPED,
            Way("undeclared-sqlite", "opens a SQLite file", _sqlite, _OPENS),
            Way(
                "undeclared-kept",
                "… by `connect` as it was imported before",
                _sqlite_kept,
                "was opened around the dry run",
            ),
            Way("records", "… that is oneoff's own store", _records, _OPENS),
            Way("records-swallowed", "… and goes on", _records_swallowed, _OPENS),
            Way("undeclared-attach", "… by `ATTACH`", _attached, "ATTACH or VACUUM INTO a file"),
        ),
        *held_by(
            Held.SEALED,
            Ends.STOPPED,
            Way("undeclared-postgres", "connects to PostgreSQL", _postgres, _OPENS),
            Way("undeclared-swallowed", "… and goes on", _swallowed, _OPENS),
        ),
        Way(
            "undeclared-before",
            "writes to a SQLite file that was open",
            _write_cache,
            "readonly",
            before=_cache,
            held=Held.COPY,
            ends=Ends.ERROR,
        ),
    ),
)
