"""Every way to persist something that a sealed PostgreSQL has to hold: nothing stays, and it is named."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from oneoff.databases.handles import Databases
from oneoff.dryrun.report import DatabaseReport, Report
from oneoff.errors import DryRunStopped, DryRunUnavailable
from tests.integration.databases import fingerprint
from tests.postgres import Server

_SCHEMA = (
    "CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, balance int NOT NULL DEFAULT 0)",
    "INSERT INTO account SELECT n, 'name ' || n, n FROM generate_series(1, 20) n",
)
_WRITE = "UPDATE account SET balance = balance + 1000"


@dataclass(frozen=True, kw_only=True)
class Shop:
    """An app with its database."""

    server: Server
    database: str
    url: str
    engine: sa.Engine
    opened: list[psycopg.Connection[Any]] = field(default_factory=list)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection that the task itself may forget to close."""
        self.opened.append(psycopg.connect(self.url, **options))
        return self.opened[-1]

    def fingerprint(self) -> Any:
        return fingerprint.of_postgres(self.server, self.database)


@pytest.fixture
def shop(postgres: Server) -> Iterator[Shop]:
    with postgres.database() as name:
        postgres.execute(*_SCHEMA, database=name)
        url = postgres.url(name)
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        try:
            shop = Shop(server=postgres, database=name, url=url, engine=engine)
            yield shop
            for connection in shop.opened:
                connection.close()
        finally:
            engine.dispose()


def _dry(shop: Shop, task: Callable[[Shop], None]) -> DatabaseReport:
    """Run a task sealed, as a run would: its own error does not matter here, what it leaves behind does."""
    seal = Databases().seal(shop.engine)
    try:
        with seal:
            task(shop)
    except (Exception, DryRunStopped):
        pass
    return seal.report()


def _engine_begin(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(sa.text(_WRITE))


def _session_commit(shop: Shop) -> None:
    with Session(shop.engine) as session:
        session.execute(sa.text(_WRITE))
        session.commit()


def _own_sessionmaker(shop: Shop) -> None:
    with sessionmaker(shop.engine).begin() as session:
        session.execute(sa.text(_WRITE))


def _session_in_outer_transaction(shop: Shop) -> None:
    with shop.engine.connect() as connection:
        connection.begin()
        with Session(connection) as session:
            session.execute(sa.text(_WRITE))
            session.rollback()
            session.execute(sa.text(_WRITE))
            session.commit()


def _second_engine(shop: Shop) -> None:
    engine = sa.create_engine(shop.url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(_WRITE))


def _second_connection(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute(_WRITE)


def _autocommit(shop: Shop) -> None:
    with shop.connect(autocommit=True) as connection:
        connection.execute(_WRITE)


def _sqlalchemy_autocommit(shop: Shop) -> None:
    with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(_WRITE))


def _raw_driver_commit(shop: Shop) -> None:
    connection = shop.engine.raw_connection()
    connection.cursor().execute(_WRITE)
    connection.commit()
    connection.close()


def _thread(shop: Shop) -> None:
    thread = threading.Thread(target=_second_connection, args=[shop])
    thread.start()
    thread.join()


def _copy_in(shop: Shop) -> None:
    with shop.connect() as connection, connection.cursor() as cursor:
        with cursor.copy("COPY account (id, name) FROM STDIN") as copy:
            copy.write_row((100, "copied"))
        connection.commit()


def _ddl(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute("CREATE TABLE made (id int)")
        connection.execute("ALTER TABLE account ADD COLUMN extra text")
        connection.execute("DROP TABLE IF EXISTS nothing")


def _truncate(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute("TRUNCATE account")


HARMLESS = [
    _engine_begin, _session_commit, _own_sessionmaker, _session_in_outer_transaction, _second_engine,
    _second_connection, _autocommit, _sqlalchemy_autocommit, _raw_driver_commit, _thread, _copy_in, _ddl,
    _truncate,
]  # fmt: skip
"""What normal code does: it runs to its end."""


@pytest.mark.parametrize("task", HARMLESS, ids=lambda task: task.__name__.strip("_"))
def test_normal_code_runs_to_its_end_and_nothing_stays(shop: Shop, task: Callable[[Shop], None]) -> None:
    """Commits by every ordinary road are let through and undone; the report shows what they would do."""
    before = shop.fingerprint()
    report = _dry(shop, task)
    assert shop.fingerprint() == before
    assert report.attempts == ()
    assert report.tables or report.schema_changes


def _raw_commit(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute(_WRITE)
    connection.execute("COMMIT")


def _multi_statement(shop: Shop) -> None:
    shop.connect().execute(f"{_WRITE}; commit; {_WRITE}")


def _commit_and_chain(shop: Shop) -> None:
    shop.connect().execute(f"{_WRITE}; COMMIT AND CHAIN")


def _rollback_and_chain(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute("ROLLBACK AND CHAIN")
    connection.execute(_WRITE)
    connection.execute("COMMIT")


def _rollback_then_begin(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute("ROLLBACK")
    connection.execute(f"BEGIN; {_WRITE}; COMMIT")


def _begin_read_write(shop: Shop) -> None:
    shop.connect(autocommit=True).execute(f"ROLLBACK; BEGIN READ WRITE; {_WRITE}; COMMIT")


def _guard_off(shop: Shop) -> None:
    connection = shop.connect(autocommit=True)
    connection.execute("SET default_transaction_read_only = off")
    connection.execute(_WRITE)


def _pill_removed(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute("DELETE FROM _oneoff_seal")
    connection.execute("COMMIT")


def _constraints_immediate(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute(_WRITE)
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _vacuum(shop: Shop) -> None:
    shop.connect(autocommit=True).execute("VACUUM account")


def _index_concurrently(shop: Shop) -> None:
    shop.connect(autocommit=True).execute("CREATE INDEX CONCURRENTLY late ON account (name)")


def _swallowed(shop: Shop) -> None:
    connection = shop.connect()
    for _ in range(3):
        try:
            connection.execute(f"{_WRITE}; commit")
        except:  # noqa: E722  # the very thing under test
            continue


def _dsn_with_options(shop: Shop) -> None:
    with psycopg.connect(shop.url, options="-c statement_timeout=0", autocommit=True) as connection:
        connection.execute(_WRITE)


def _dsn_with_options_swallowed(shop: Shop) -> None:
    try:
        _dsn_with_options(shop)
    except DryRunUnavailable:
        _autocommit(shop)


def _procedure_that_commits(shop: Shop) -> None:
    connection = shop.connect(autocommit=True)
    connection.execute(
        "CREATE PROCEDURE settle() LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE account SET balance = 0; COMMIT; END $$"
    )
    connection.execute("CALL settle()")
    raise AssertionError("a procedure cannot commit inside a transaction")


def _two_phase(shop: Shop) -> None:
    connection = shop.connect()
    connection.tpc_begin(connection.xid(1, "oneoff", "test"))
    connection.execute(_WRITE)
    connection.tpc_commit()


def _triggers_off(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute("SET session_replication_role = replica")
    connection.execute(_WRITE)
    connection.execute("COMMIT")


def _temporary_tables_dropped(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute(_WRITE)
    connection.execute("DISCARD TEMP")
    connection.execute("COMMIT")


STOPPED = [
    _raw_commit, _multi_statement, _commit_and_chain, _rollback_and_chain, _rollback_then_begin,
    _begin_read_write, _guard_off, _pill_removed, _constraints_immediate, _vacuum, _index_concurrently,
    _swallowed, _dsn_with_options, _dsn_with_options_swallowed, _triggers_off,
]  # fmt: skip
"""What goes past the connection's own commit: the server refuses it, and the task is stopped."""


@pytest.mark.parametrize("task", STOPPED, ids=lambda task: task.__name__.strip("_"))
def test_what_goes_around_the_connection_is_refused_and_named(
    shop: Shop, task: Callable[[Shop], None]
) -> None:
    """Nothing persists, and the report names the attempt, also where the task swallows the error."""
    before = shop.fingerprint()
    report = _dry(shop, task)
    assert shop.fingerprint() == before
    assert report.attempts


@pytest.mark.parametrize(
    "task",
    [_procedure_that_commits, _two_phase, _temporary_tables_dropped],
    ids=lambda task: task.__name__.strip("_"),
)
def test_what_the_server_refuses_by_itself_persists_nothing(shop: Shop, task: Callable[[Shop], None]) -> None:
    """Some roads end in an ordinary error of the server; the task gets it, and nothing stays."""
    before = shop.fingerprint()
    _dry(shop, task)
    assert shop.fingerprint() == before


def test_psql_in_a_child_process_cannot_write(shop: Shop) -> None:
    """The guard around a dry run lets none start. One that starts all the same inherits PGOPTIONS."""
    results: list[subprocess.CompletedProcess[str]] = []

    def task(shop: Shop) -> None:
        command: list[Any] = [shop.server.binaries / "psql", "-X", "-d", shop.url, "-c", _WRITE]
        results.append(subprocess.run(command, capture_output=True, text=True, check=False))

    before = shop.fingerprint()
    _dry(shop, task)
    assert shop.fingerprint() == before
    assert "read-only transaction" in results[0].stderr


def test_a_forked_child_cannot_use_the_sealed_session(shop: Shop) -> None:
    """The guard around a dry run lets none be forked. One that C code forks all the same is refused on its
    parent's connection, and read-only on one of its own."""

    def task(shop: Shop) -> None:
        connection = shop.connect()
        connection.execute("SELECT 1")
        child = os.fork()
        if child == 0:
            status = 0
            for write in (lambda: connection.execute(_WRITE), lambda: _autocommit(shop)):
                try:
                    write()
                    status = 1
                except (DryRunStopped, psycopg.Error):
                    pass
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        connection.execute(_WRITE)

    before = shop.fingerprint()
    report = _dry(shop, task)
    assert shop.fingerprint() == before
    assert [table.updated for table in report.tables] == [20]


def test_a_connection_taken_from_psycopg_before_the_seal_is_sealed_too(shop: Shop) -> None:
    """``from psycopg import connect`` at import does not escape."""
    connect = psycopg.connect

    def task(shop: Shop) -> None:
        with connect(shop.url) as connection:
            connection.execute(_WRITE)

    before = shop.fingerprint()
    report = _dry(shop, task)
    assert shop.fingerprint() == before
    assert [(table.table, table.updated) for table in report.tables] == [("account", 20)]


def test_another_database_is_read_only_and_named(shop: Shop) -> None:
    """A database that the app did not declare can be read; a write to it is an attempt, even if swallowed."""
    with shop.server.database() as other:
        shop.server.execute("CREATE TABLE t (id int)", database=other)

        def task(shop: Shop) -> None:
            with psycopg.connect(shop.server.url(other)) as connection:
                assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
                try:
                    connection.execute("INSERT INTO t VALUES (1)")
                except psycopg.Error:
                    connection.rollback()

        report = _dry(shop, task)
        assert shop.server.execute("SELECT count(*) FROM t", database=other) == [(0,)]
    assert any(other in gap for gap in report.not_covered)
    assert any(other in attempt for attempt in report.attempts)


def test_another_role_is_refused(shop: Shop) -> None:
    """One sealed session has one role; a second one is refused and not run with the wrong rights."""
    shop.server.execute("DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk LOGIN")

    def task(shop: Shop) -> None:
        psycopg.connect(shop.server.url(shop.database, "clerk"))

    report = _dry(shop, task)
    assert any("as clerk" in attempt for attempt in report.attempts)


def test_an_asynchronous_connection_is_refused(shop: Shop) -> None:
    """psycopg's AsyncConnection cannot be sealed yet; it says so."""
    import asyncio

    def task(shop: Shop) -> None:
        asyncio.run(psycopg.AsyncConnection.connect(shop.url))

    before = shop.fingerprint()
    report = _dry(shop, task)
    assert shop.fingerprint() == before
    assert any("asynchronous" in attempt for attempt in report.attempts)


_SEQUENCE = "CREATE SEQUENCE ticket; SELECT setval('ticket', 7)"


def _setval(shop: Shop) -> None:
    shop.connect().execute("SELECT pg_catalog . setval ('ticket', 500)")


def _setval_in_a_block(shop: Shop) -> None:
    shop.connect().execute("DO $$ BEGIN PERFORM SETVAL('ticket', 500); END $$")


@pytest.mark.parametrize("task", [_setval, _setval_in_a_block], ids=lambda task: task.__name__.strip("_"))
def test_setval_is_stopped_before_it_is_sent(shop: Shop, task: Callable[[Shop], None]) -> None:
    """No rollback would undo it, so that the sequence is where it was, and the report says what was tried."""
    shop.server.execute(_SEQUENCE, database=shop.database)
    report = _dry(shop, task)
    assert shop.server.execute("SELECT last_value FROM ticket", database=shop.database) == [(7,)]
    assert any("setval" in attempt for attempt in report.attempts)
    assert report.other_changes == ()


def _moves(report: DatabaseReport) -> list[str]:
    assert Report(databases=(report,)).has_effects
    return [change.partition(" and stays there")[0] for change in report.other_changes]


def test_a_sequence_that_moved_is_named(shop: Shop) -> None:
    """What nextval drew, and what a function hid from the text, stays: the report names each with its way."""
    shop.server.execute(
        _SEQUENCE,
        "CREATE SEQUENCE fresh",
        "CREATE SEQUENCE quiet",
        "CREATE FUNCTION hidden() RETURNS bigint LANGUAGE sql AS $$ SELECT setval('ticket', 500) $$",
        database=shop.database,
    )

    def task(shop: Shop) -> None:
        with shop.connect() as connection:
            connection.execute("SELECT hidden(), nextval('fresh')")
            connection.execute("ALTER SEQUENCE quiet RESTART 70")
            connection.execute("CREATE TABLE made (id serial); INSERT INTO made DEFAULT VALUES")

    report = _dry(shop, task)
    assert _moves(report) == [
        "sequence fresh moved from its start to 1",
        "sequence ticket moved from 7 to 500",
    ]
    assert shop.server.execute("SELECT last_value FROM ticket", database=shop.database) == [(500,)]
    assert report.attempts == ()


def test_a_sequence_that_moved_is_named_where_the_dry_run_was_stopped(shop: Shop) -> None:
    """A transaction that the task ended by itself does not hide it."""
    shop.server.execute(_SEQUENCE, database=shop.database)

    def task(shop: Shop) -> None:
        shop.connect().execute("SELECT nextval('ticket'); COMMIT")

    report = _dry(shop, task)
    assert report.attempts
    assert _moves(report) == ["sequence ticket moved from 7 to 8"]


NOTIFICATIONS: dict[str, list[str]] = {
    "NOTIFY carts": ["notifies channel carts"],
    "/* by the app */ notify \"Carts now\", 'x'": ['notifies channel "Carts now"'],
    "SELECT 1; NOTIFY a; NOTIFY b": ["notifies channel a", "notifies channel b"],
    "SELECT pg_catalog.pg_notify('carts', 'x')": ["notifies channel carts"],
    "SELECT pg_notify('c' || id, 'x') FROM account": ["sends notifications (pg_notify)"],
    "SELECT pg_notify(name, 'x') FROM account": ["sends notifications (pg_notify)"],
    "SELECT name AS notify FROM account": [],
}


@pytest.mark.parametrize("statement", NOTIFICATIONS)
def test_a_notification_is_an_effect(shop: Shop, statement: str) -> None:
    """A real run sends it on commit, so a task that only notifies is not one without effects."""

    def task(shop: Shop) -> None:
        with shop.connect() as connection:
            connection.execute(statement.encode())

    report = _dry(shop, task)
    assert list(report.other_changes) == NOTIFICATIONS[statement]
    assert Report(databases=(report,)).has_effects == bool(NOTIFICATIONS[statement])
    assert report.attempts == ()


def test_a_notification_to_another_database_is_stopped(shop: Shop) -> None:
    """It is not sealed, and a read-only transaction delivers notifications."""
    with shop.server.database() as other:
        listener = psycopg.pq.PGconn.connect(shop.server.url(other).encode())
        listener.exec_(b"LISTEN carts")

        def task(shop: Shop) -> None:
            with psycopg.connect(shop.server.url(other)) as connection, contextlib.suppress(DryRunStopped):
                connection.execute("NOTIFY carts")

        report = _dry(shop, task)
        listener.exec_(b"SELECT 1")  # what was sent comes with the next answer
        assert listener.notifies() is None
        listener.finish()
    assert any("NOTIFY carts" in attempt for attempt in report.attempts)


def test_a_sequence_that_the_role_may_not_read_is_left_out(shop: Shop) -> None:
    """It does not make the dry run fail."""
    shop.server.execute(
        _SEQUENCE,
        "DROP ROLE IF EXISTS porter",
        "CREATE ROLE porter LOGIN",
        "GRANT UPDATE ON account TO porter",
        "GRANT SELECT ON account TO porter",
        database=shop.database,
    )
    url = shop.server.url(shop.database, "porter")
    seal = Databases().seal(url)
    with seal, psycopg.connect(url) as connection:
        connection.execute(_WRITE)
    assert seal.report().attempts == ()
    assert [table.updated for table in seal.report().tables] == [20]
    assert seal.report().other_changes == ()


def test_a_sequence_that_somebody_is_altering_does_not_hold_the_dry_run_up(shop: Shop) -> None:
    """Its lock is not waited for, and the report says that sequences were not looked at."""
    shop.server.execute(_SEQUENCE, database=shop.database)
    other = psycopg.pq.PGconn.connect(shop.url.encode())
    other.exec_(b"BEGIN; ALTER SEQUENCE ticket INCREMENT 2")
    report = _dry(shop, _second_connection)
    other.finish()
    assert report.attempts == ()
    assert [table.updated for table in report.tables] == [20]
    assert any("whether sequences moved" in gap and "lock" in gap for gap in report.not_covered)
