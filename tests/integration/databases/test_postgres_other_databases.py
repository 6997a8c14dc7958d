"""A database that the app did not declare can only be read: what makes it writable is refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from oneoff.databases.postgres.options import Armed
from tests.integration.databases.postgres_shop import Shop, dry

_INSERT = "INSERT INTO t VALUES (1)"


@pytest.fixture
def other(shop: Shop) -> Iterator[str]:
    """The URL of the other database."""
    with shop.server.database() as name:
        shop.server.execute("CREATE TABLE t (id int)", database=name)
        yield shop.server.url(name)
        assert shop.server.execute("SELECT count(*) FROM t", database=name) == [(0,)]


def _insert(connection: psycopg.Connection[Any]) -> None:
    connection.execute(_INSERT)
    connection.commit()


def _property(url: str) -> None:
    with closing(psycopg.connect(url)) as connection:
        connection.read_only = False
        _insert(connection)


def _method(url: str) -> None:
    with closing(psycopg.connect(url)) as connection:
        connection.set_read_only(False)
        _insert(connection)


def _setter(url: str) -> None:
    with closing(psycopg.connect(url)) as connection:
        connection._set_read_only(False)
        _insert(connection)


def _attribute(url: str) -> None:
    with closing(psycopg.connect(url)) as connection:
        connection._read_only = False
        _insert(connection)


def _two_phase(url: str) -> None:
    with closing(psycopg.connect(url)) as connection:
        connection._begin_statement = b"BEGIN READ WRITE"
        connection.tpc_begin(connection.xid(1, "oneoff", "other"))
        _insert(connection)


def _swallowed(url: str) -> None:
    with closing(psycopg.connect(url)) as connection:
        try:
            connection.read_only = False
        except:  # noqa: E722  # the very thing under test
            _insert(connection)


def _own_class(url: str) -> None:
    class Own(psycopg.Connection[Any]):
        """An app's own."""

    with closing(Own.connect(url)) as connection:
        connection.read_only = False
        _insert(connection)


def _sqlalchemy(url: str) -> None:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect().execution_options(postgresql_readonly=False) as connection:
        connection.execute(sa.text(_INSERT))
        connection.commit()


def _async(*steps: Callable[[Any], Any]) -> Callable[[str], None]:
    async def task(url: str) -> None:
        connection = await psycopg.AsyncConnection.connect(url)
        try:
            for step in steps:
                await step(connection)
            await connection.execute(_INSERT)
            await connection.commit()
        finally:
            await connection.close()

    return lambda url: asyncio.run(task(url))


def _text(*statements: str, autocommit: bool = False) -> Callable[[str], None]:
    def task(url: str) -> None:
        with closing(psycopg.connect(url, autocommit=autocommit)) as connection:
            for statement in statements:
                connection.execute(statement.encode())
            connection.commit()

    return task


ROADS = {
    "property": _property,
    "method": _method,
    "setter": _setter,
    "attribute": _attribute,
    "two-phase": _two_phase,
    "swallowed": _swallowed,
    "own-class": _own_class,
    "sqlalchemy": _sqlalchemy,
    "async": _async(lambda connection: connection.set_read_only(False)),
    "async-text": _async(lambda connection: connection.execute("set transaction read write")),
    "set-transaction": _text("set transaction read write", _INSERT),
    "set-transaction-serializable": _text(
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE,\n READ WRITE", _INSERT
    ),
    "characteristics": _text(
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", _INSERT, autocommit=True
    ),
    "begin": _text("begin read write", _INSERT, "commit", autocommit=True),
    "start": _text(f"START TRANSACTION READ WRITE; {_INSERT}; COMMIT", autocommit=True),
    "multi": _text(f"set transaction read write; {_INSERT}; commit"),
    "multi-begin": _text(f"begin read write; {_INSERT}; commit", autocommit=True),
    "set-config": _text("SELECT set_config('transaction_read_only', 'off', false)", _INSERT),
    "default": _text("SET default_transaction_read_only TO off", _INSERT, autocommit=True),
}


@pytest.mark.parametrize("road", ROADS)
def test_no_road_makes_it_writable(shop: Shop, other: str, road: str) -> None:
    """Nothing stays there, and the report names the attempt."""
    report = dry(shop, lambda _: ROADS[road](other))
    assert report.attempts


def test_what_does_not_make_it_writable_is_let_through(shop: Shop, other: str) -> None:
    """Isolation, deferrable, and reading only are the task's own affair."""
    found: list[Any] = []

    def task(_: Shop) -> None:
        with psycopg.connect(other) as connection:
            connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            connection.deferrable = True
            connection.read_only = True
            found.extend(connection.execute("SELECT count(*) FROM t"))
            connection.rollback()
            connection.read_only = None
            found.extend(connection.execute("SELECT count(*) FROM t"))

    assert dry(shop, task).attempts == ()
    assert found == [(0,), (0,)]


def test_the_sealed_connection_may_be_told_to_write(shop: Shop) -> None:
    """There it changes nothing: what is written is rolled back."""

    def task(shop: Shop) -> None:
        connection = shop.connect()
        connection.read_only = False
        connection.execute("UPDATE account SET balance = 0")
        connection.commit()

    report = dry(shop, task)
    assert report.attempts == ()
    assert [table.updated for table in report.tables] == [20]


EARLY: dict[str, Callable[[Any], object]] = {
    "property": lambda connection: setattr(connection, "read_only", False),
    "text": lambda connection: connection.execute("SET TRANSACTION READ WRITE"),
    "own-cursor": lambda connection: psycopg.ClientCursor(connection).execute("SET TRANSACTION READ WRITE"),
}


@pytest.mark.parametrize("road", EARLY)
def test_a_connection_from_import_stays_read_only(shop: Shop, road: str) -> None:
    """One that the app opened under the command's PGOPTIONS, be it to the declared database itself."""
    before = shop.fingerprint()
    with Armed(os.environ), closing(psycopg.connect(shop.url)) as early:

        def task(_: Shop) -> None:
            EARLY[road](early)
            early.execute("UPDATE account SET balance = 0")
            early.commit()

        report = dry(shop, task)
    assert shop.fingerprint() == before
    assert report.attempts


def test_a_cursor_made_by_hand_makes_nothing_writable(shop: Shop, other: str) -> None:
    """``ClientCursor(connection)`` is psycopg's own documented road, beside the connection's factory."""

    def task(_: Shop) -> None:
        with closing(psycopg.connect(other)) as connection:
            cursor = psycopg.ClientCursor(connection)
            cursor.execute(f"SET TRANSACTION READ WRITE; {_INSERT}; COMMIT")

    assert dry(shop, task).attempts
