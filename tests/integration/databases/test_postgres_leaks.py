"""Every way to persist something that a sealed PostgreSQL has to hold: nothing stays, and it is named."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from oneoff.errors import DryRunStopped, DryRunUnavailable
from tests.integration.databases.postgres_shop import WRITE, Shop, dry


def _engine_begin(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(sa.text(WRITE))


def _session_commit(shop: Shop) -> None:
    with Session(shop.engine) as session:
        session.execute(sa.text(WRITE))
        session.commit()


def _own_sessionmaker(shop: Shop) -> None:
    with sessionmaker(shop.engine).begin() as session:
        session.execute(sa.text(WRITE))


def _session_in_outer_transaction(shop: Shop) -> None:
    with shop.engine.connect() as connection:
        connection.begin()
        with Session(connection) as session:
            session.execute(sa.text(WRITE))
            session.rollback()
            session.execute(sa.text(WRITE))
            session.commit()


def _second_engine(shop: Shop) -> None:
    engine = sa.create_engine(shop.url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(WRITE))


def _second_connection(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute(WRITE)


def _autocommit(shop: Shop) -> None:
    with shop.connect(autocommit=True) as connection:
        connection.execute(WRITE)


def _sqlalchemy_autocommit(shop: Shop) -> None:
    with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(WRITE))


def _raw_driver_commit(shop: Shop) -> None:
    connection = shop.engine.raw_connection()
    connection.cursor().execute(WRITE)
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
    report = dry(shop, task)
    assert shop.fingerprint() == before
    assert report.attempts == ()
    assert report.tables or report.schema_changes


def _raw_commit(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute(WRITE)
    connection.execute("COMMIT")


def _multi_statement(shop: Shop) -> None:
    shop.connect().execute(f"{WRITE}; commit; {WRITE}")


def _commit_and_chain(shop: Shop) -> None:
    shop.connect().execute(f"{WRITE}; COMMIT AND CHAIN")


def _rollback_and_chain(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute("ROLLBACK AND CHAIN")
    connection.execute(WRITE)
    connection.execute("COMMIT")


def _rollback_then_begin(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute("ROLLBACK")
    connection.execute(f"BEGIN; {WRITE}; COMMIT")


def _begin_read_write(shop: Shop) -> None:
    shop.connect(autocommit=True).execute(f"ROLLBACK; BEGIN READ WRITE; {WRITE}; COMMIT")


def _guard_off(shop: Shop) -> None:
    connection = shop.connect(autocommit=True)
    connection.execute("SET default_transaction_read_only = off")
    connection.execute(WRITE)


def _pill_removed(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute("DELETE FROM _oneoff_seal")
    connection.execute("COMMIT")


def _constraints_immediate(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute(WRITE)
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _vacuum(shop: Shop) -> None:
    shop.connect(autocommit=True).execute("VACUUM account")


def _index_concurrently(shop: Shop) -> None:
    shop.connect(autocommit=True).execute("CREATE INDEX CONCURRENTLY late ON account (name)")


def _swallowed(shop: Shop) -> None:
    connection = shop.connect()
    for _ in range(3):
        try:
            connection.execute(f"{WRITE}; commit")
        except:  # noqa: E722  # the very thing under test
            continue


def _dsn_with_options(shop: Shop) -> None:
    with psycopg.connect(shop.url, options="-c statement_timeout=0", autocommit=True) as connection:
        connection.execute(WRITE)


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
    connection.execute(WRITE)
    connection.tpc_commit()


def _triggers_off(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute("SET session_replication_role = replica")
    connection.execute(WRITE)
    connection.execute("COMMIT")


def _temporary_tables_dropped(shop: Shop) -> None:
    connection = shop.connect()
    connection.execute(WRITE)
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
    report = dry(shop, task)
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
    dry(shop, task)
    assert shop.fingerprint() == before


def test_psql_in_a_child_process_cannot_write(shop: Shop) -> None:
    """The guard around a dry run lets none start. One that starts all the same inherits PGOPTIONS."""
    results: list[subprocess.CompletedProcess[str]] = []

    def task(shop: Shop) -> None:
        command: list[Any] = [shop.server.binaries / "psql", "-X", "-d", shop.url, "-c", WRITE]
        results.append(subprocess.run(command, capture_output=True, text=True, check=False))

    before = shop.fingerprint()
    dry(shop, task)
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
            for write in (lambda: connection.execute(WRITE), lambda: _autocommit(shop)):
                try:
                    write()
                    status = 1
                except (DryRunStopped, psycopg.Error):
                    pass
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        connection.execute(WRITE)

    before = shop.fingerprint()
    report = dry(shop, task)
    assert shop.fingerprint() == before
    assert [table.updated for table in report.tables] == [20]


def test_a_connection_taken_from_psycopg_before_the_seal_is_sealed_too(shop: Shop) -> None:
    """``from psycopg import connect`` at import does not escape."""
    connect = psycopg.connect

    def task(shop: Shop) -> None:
        with connect(shop.url) as connection:
            connection.execute(WRITE)

    before = shop.fingerprint()
    report = dry(shop, task)
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

        report = dry(shop, task)
        assert shop.server.execute("SELECT count(*) FROM t", database=other) == [(0,)]
    assert any(other in gap for gap in report.not_covered)
    assert any(other in attempt for attempt in report.attempts)


def test_another_role_is_refused(shop: Shop) -> None:
    """One sealed session has one role; a second one is refused and not run with the wrong rights."""
    shop.server.execute("DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk LOGIN")

    def task(shop: Shop) -> None:
        psycopg.connect(shop.server.url(shop.database, "clerk"))

    report = dry(shop, task)
    assert any("as clerk" in attempt for attempt in report.attempts)
