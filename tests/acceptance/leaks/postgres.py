"""Ways to persist something in PostgreSQL, or to have its server do something at once."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import asyncpg
import psycopg
import psycopg2
import sqlalchemy as sa
import uvloop
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from oneoff.errors import DryRunUnavailable
from tests.acceptance.leaks.way import Ends, Group, Held, Place, Way, held_by

_WRITE = "UPDATE account SET balance = balance + 1000"
_kept_connect = psycopg.connect  # as `from psycopg import connect` in an app keeps it


def _connect(at: Place, **options: Any) -> psycopg.Connection[Any]:
    """A connection that the task itself may forget to close."""
    at.kept.append(psycopg.connect(at.database, **options))
    connection: psycopg.Connection[Any] = at.kept[-1]
    return connection


def _sends(*statements: str, autocommit: bool = False) -> Callable[[Place], None]:
    """A task that sends these one after another."""

    def task(at: Place) -> None:
        connection = _connect(at, autocommit=autocommit)
        for statement in statements:
            connection.execute(statement.format(served=at.served).encode())

    return task


def _engine_begin(at: Place) -> None:
    with at.engine.begin() as connection:
        connection.execute(sa.text(_WRITE))


def _session_commit(at: Place) -> None:
    with Session(at.engine) as session:
        session.execute(sa.text(_WRITE))
        session.commit()


def _own_sessionmaker(at: Place) -> None:
    with sessionmaker(at.engine).begin() as session:
        session.execute(sa.text(_WRITE))


def _scoped_session(at: Place) -> None:
    session = scoped_session(sessionmaker(at.engine))
    session.execute(sa.text(_WRITE))
    session.commit()
    session.remove()


def _join(mode: Any) -> Callable[[Place], None]:
    def task(at: Place) -> None:
        with at.engine.connect() as connection:
            connection.begin()
            with Session(connection, join_transaction_mode=mode) as session:
                session.execute(sa.text(_WRITE))
                session.rollback()
                session.execute(sa.text(_WRITE))
                session.commit()
            connection.commit() if connection.in_transaction() else None

    return task


def _url(at: Place, driver: str) -> str:
    return at.database.replace("postgresql:", f"postgresql+{driver}:")


def _second_engine(at: Place) -> None:
    engine = sa.create_engine(_url(at, "psycopg"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(_WRITE))


def _sqlalchemy_autocommit(at: Place) -> None:
    with at.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(_WRITE))


def _raw_driver_commit(at: Place) -> None:
    connection = at.engine.raw_connection()
    connection.cursor().execute(_WRITE)
    connection.commit()
    connection.close()


def _after_commit(at: Place) -> None:
    """Its mail would go out in a dry run that only rolled back."""
    with Session(at.engine) as session:
        event.listen(session, "after_commit", lambda _: psycopg.connect(at.other).execute("NOTIFY leaks"))
        session.execute(sa.text(_WRITE))
        session.commit()


def _second_connection(at: Place) -> None:
    with _connect(at) as connection:
        connection.execute(_WRITE)


def _kept(at: Place) -> None:
    with _kept_connect(at.database) as connection:
        connection.execute(_WRITE)


def _autocommit(at: Place) -> None:
    with _connect(at, autocommit=True) as connection:
        connection.execute(_WRITE)


def _thread(at: Place) -> None:
    thread = threading.Thread(target=_second_connection, args=[at])
    thread.start()
    thread.join()


def _copy_in(at: Place) -> None:
    with _connect(at) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY account (id, name) FROM STDIN") as copy:
            copy.write_row((100, "copied"))
        connection.commit()


def _pipeline(at: Place) -> None:
    with _connect(at) as connection, connection.pipeline():
        connection.execute(_WRITE)
        connection.commit()


def _psycopg2(at: Place, *statements: str, **options: Any) -> None:
    with closing(psycopg2.connect(at.database, **options)) as connection, connection.cursor() as cursor:
        for statement in statements or (_WRITE,):
            cursor.execute(statement)
        connection.commit()


async def _asyncpg(at: Place, *statements: str) -> None:
    connection = await asyncpg.connect(at.database)
    try:
        for statement in statements or (_WRITE,):
            await connection.execute(statement)
    finally:
        await connection.close()


async def _psycopg_async(at: Place) -> None:
    connection = await psycopg.AsyncConnection.connect(at.database)
    await connection.execute(_WRITE)
    await connection.commit()
    await connection.close()


async def _async_engine(at: Place) -> None:
    engine = create_async_engine(_url(at, "asyncpg"))
    async with engine.begin() as connection:
        await connection.execute(sa.text(_WRITE))
    await engine.dispose()


def _on_uvloop(at: Place) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_asyncpg(at))


def _without_pgoptions(at: Place) -> None:
    os.environ.pop("PGOPTIONS", None)
    _autocommit(at)


_UNDONE = held_by(
    Held.SEALED,
    Ends.UNDONE,
    Way("pg-engine", "SQLAlchemy: the declared engine's `begin()`", _engine_begin, "account"),
    Way("pg-session", "… `Session.commit()`", _session_commit, "account"),
    Way("pg-sessionmaker", "… a sessionmaker of its own", _own_sessionmaker, "account"),
    Way("pg-scoped-session", "… a scoped session", _scoped_session, "account"),
    Way(
        "conditional-savepoint",
        "… in an outer transaction, rolled back once",
        _join("conditional_savepoint"),
        "account",
    ),
    Way("rollback-only", "… with `rollback_only`", _join("rollback_only"), "account"),
    Way("control-fully", "… with `control_fully`", _join("control_fully"), "account"),
    Way("create-savepoint", "… with `create_savepoint`", _join("create_savepoint"), "account"),
    Way("pg-second-engine", "… a second engine", _second_engine, "account"),
    Way("sqlalchemy-autocommit", "… in autocommit", _sqlalchemy_autocommit, "account"),
    Way("raw-connection", "… the driver's own `commit()`", _raw_driver_commit, "account"),
    Way("async-engine", "… an async engine", lambda at: asyncio.run(_async_engine(at)), "account"),
    Way("pg-connection", "a second connection", _second_connection, "account"),
    Way("pg-kept-connect", "… by `connect` as it was imported before", _kept, "account"),
    Way("pg-autocommit", "… in autocommit", _autocommit, "account"),
    Way("pg-thread", "… in a thread", _thread, "account"),
    Way("pg-pipeline", "… in a pipeline", _pipeline, "account"),
    Way("copy-in", "`COPY … FROM STDIN`", _copy_in, "account"),
    Way("psycopg2", "psycopg2", _psycopg2, "account"),
    Way("asyncpg", "asyncpg", lambda at: asyncio.run(_asyncpg(at)), "account"),
    Way("uvloop", "… under uvloop", _on_uvloop, "account"),
    Way(
        "psycopg-async", "psycopg's `AsyncConnection`", lambda at: asyncio.run(_psycopg_async(at)), "account"
    ),
    Way(
        "ddl",
        "changes the schema",
        _sends(
            "CREATE TABLE made (id int)",
            "ALTER TABLE account ADD extra text",
            "COMMENT ON TABLE account IS 'x'",
            autocommit=True,
        ),
        "created table made",
    ),
    Way("truncate", "`TRUNCATE`", _sends("TRUNCATE account", autocommit=True), "account"),
    Way(
        "role",
        "makes a role and grants to it",
        _sends("CREATE ROLE intruder LOGIN", "GRANT ALL ON account TO intruder", _WRITE, autocommit=True),
        "account",
    ),
    Way(
        "large-object",
        "large objects",
        _sends("SELECT lo_put(4711, 0, 'x'), lo_create(4712)", _WRITE, autocommit=True),
        "account",
    ),
    Way(
        "notify",
        "`NOTIFY`",
        _sends("NOTIFY leaks, 'x'", "SELECT pg_notify('leaks', 'y')", autocommit=True),
        "notifies channel leaks",
    ),
    Way(
        "alter-sequence",
        "restarts a sequence",
        _sends("ALTER SEQUENCE ticket RESTART 100", _WRITE, autocommit=True),
        "account",
    ),
    Way(
        "advisory-lock",
        "keeps an advisory lock",
        _sends("SELECT pg_advisory_lock(1)", _WRITE, autocommit=True),
        "account",
    ),
    Way(
        "alter-database",
        "settings of the database",
        _sends("ALTER ROLE postgres SET work_mem = '9MB'", _WRITE, autocommit=True),
        "account",
    ),
)


def _options(at: Place) -> None:
    with psycopg.connect(at.database, options="-c statement_timeout=0", autocommit=True) as connection:
        connection.execute(_WRITE)


def _options_swallowed(at: Place) -> None:
    with suppress(DryRunUnavailable):
        _options(at)
    _autocommit(at)


def _swallowed(at: Place) -> None:
    connection = _connect(at)
    for _ in range(3):
        with suppress(BaseException):
            connection.execute(f"{_WRITE}; commit")


@contextmanager
def _role(at: Place) -> Iterator[str]:
    """The URL of another role."""
    with psycopg.connect(at.database, autocommit=True) as connection:
        connection.execute("CREATE ROLE teller LOGIN")
    yield at.database.replace("postgres@", "teller@")
    with psycopg.connect(at.database, autocommit=True) as connection:
        connection.execute("DROP ROLE teller")


def _to_other(*statements: str, autocommit: bool = False) -> Callable[[Place], None]:
    def task(at: Place) -> None:
        with suppress(psycopg.Error), psycopg.connect(at.other, autocommit=autocommit) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    return task


def _other_read_only_off(at: Place) -> None:
    with psycopg.connect(at.other) as connection:
        connection.read_only = False
        connection.execute("INSERT INTO t VALUES (1)")


async def _other_by_asyncpg(at: Place) -> None:
    connection = await asyncpg.connect(at.other)
    try:
        await connection.execute("INSERT INTO t VALUES (1)")
    finally:
        await connection.close()


_STOPPED = held_by(
    Held.SEALED,
    Ends.STOPPED,
    Way("raw-commit", "`COMMIT` as a statement", _sends(_WRITE, "COMMIT"), "ended the transaction by itself"),
    Way(
        "multi-statement",
        "… among several",
        _sends(f"{_WRITE}; commit; {_WRITE}"),
        "ended the transaction by itself",
    ),
    Way("commit-and-chain", "`COMMIT AND CHAIN`", _sends(f"{_WRITE}; COMMIT AND CHAIN"), "CHAIN"),
    Way(
        "rollback-and-chain",
        "`ROLLBACK AND CHAIN`, and writes",
        _sends("ROLLBACK AND CHAIN", _WRITE, "COMMIT"),
        "CHAIN",
    ),
    Way(
        "rollback-begin",
        "rolls back, and begins anew",
        _sends("ROLLBACK", f"BEGIN; {_WRITE}; COMMIT"),
        "ended the transaction",
    ),
    Way(
        "begin-read-write",
        "`BEGIN READ WRITE`",
        _sends(f"ROLLBACK; BEGIN READ WRITE; {_WRITE}; COMMIT", autocommit=True),
        "READ WRITE",
    ),
    Way(
        "guard-off",
        "`SET default_transaction_read_only = off`",
        _sends("SET default_transaction_read_only = off", _WRITE, autocommit=True),
        "default_transaction_read_only",
    ),
    Way(
        "seal-removed",
        "removes the row that keeps it from committing",
        _sends("DELETE FROM _oneoff_seal", "COMMIT"),
        "_oneoff_seal",
    ),
    Way(
        "constraints-immediate",
        "`SET CONSTRAINTS ALL IMMEDIATE`",
        _sends(_WRITE, "SET CONSTRAINTS ALL IMMEDIATE"),
        "CONSTRAINTS",
    ),
    Way(
        "triggers-off",
        "turns triggers off",
        _sends("SET session_replication_role = replica", _WRITE, "COMMIT"),
        "ended the transaction",
    ),
    Way("vacuum", "`VACUUM`", _sends("VACUUM account", autocommit=True), "VACUUM"),
    Way(
        "index-concurrently",
        "`CREATE INDEX CONCURRENTLY`",
        _sends("CREATE INDEX CONCURRENTLY late ON account (name)", autocommit=True),
        "CONCURRENTLY",
    ),
    Way("pg-swallowed", "commits among several, and goes on", _swallowed, "ended the transaction by itself"),
    Way("dsn-options", "a URL with `options=` of its own", _options, "not read-only"),
    Way(
        "pgoptions-removed",
        "a connection after it has removed `PGOPTIONS`",
        _without_pgoptions,
        "not read-only",
    ),
    Way("dsn-options-swallowed", "… and goes on", _options_swallowed, "not read-only"),
    Way(
        "psycopg2-commit",
        "psycopg2: `COMMIT` among several",
        lambda at: _psycopg2(at, f"{_WRITE}; COMMIT"),
        "ended the transaction by itself",
    ),
    Way(
        "asyncpg-commit",
        "asyncpg: the same",
        lambda at: asyncio.run(_asyncpg(at, f"{_WRITE}; COMMIT; {_WRITE}")),
        "ended the transaction by itself",
    ),
    Way(
        "prepare-transaction",
        "asyncpg: `PREPARE TRANSACTION`",
        lambda at: asyncio.run(_asyncpg(at, _WRITE, "PREPARE TRANSACTION 'x'")),
        "PREPARE TRANSACTION",
    ),
    Way("after-commit", "a listener of `after_commit` that notifies", _after_commit, "NOTIFY"),
    Way("another-role", "another role", lambda at: psycopg.connect(at.earlier), "as teller", before=_role),
    Way("setval", "`setval`", _sends("SELECT pg_catalog . setval ('ticket', 500)"), "setval"),
    Way(
        "setval-in-block",
        "… in a block",
        _sends("DO $$ BEGIN PERFORM SETVAL('ticket', 500); END $$"),
        "setval",
    ),
    Way(
        "copy-to-file",
        "`COPY … TO` a file of the server",
        _sends("COPY account TO '{served}'"),
        "writes a file on the server",
    ),
    Way(
        "copy-to-program",
        "… a program",
        _sends("copy (SELECT 1) to program 'touch {served}'"),
        "starts a program on the server",
    ),
    Way(
        "copy-from-program",
        "`COPY … FROM PROGRAM`",
        _sends("COPY account FROM PROGRAM 'touch {served}; true'"),
        "starts a program on the server",
    ),
    Way(
        "foreign-program",
        "a foreign table that is a program",
        _sends(
            "CREATE EXTENSION file_fdw; CREATE SERVER f FOREIGN DATA WRAPPER file_fdw",
            "CREATE FOREIGN TABLE p (x text) SERVER f OPTIONS (program 'touch {served}')",
            "SELECT * FROM p",
        ),
        "starts a program on the server",
    ),
    Way(
        "lo-export",
        "`lo_export`",
        _sends("SELECT lo_export(4711, '{served}')"),
        "writes a file on the server",
    ),
    Way(
        "dblink",
        "`dblink_exec`",
        _sends("CREATE EXTENSION dblink", "SELECT dblink_exec('dbname=postgres', 'VACUUM')"),
        "dblink",
    ),
    Way(
        "terminate-backend",
        "ends other sessions",
        _sends(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
        ),
        "acts on the server at once",
    ),
    Way(
        "reload-conf",
        "has the server read its settings anew",
        _sends("SELECT pg_catalog.pg_reload_conf()"),
        "acts on the server at once",
    ),
    Way(
        "replication-slot",
        "makes a replication slot",
        _sends("SELECT pg_create_physical_replication_slot('leak')"),
        "acts on the server at once",
    ),
    Way(
        "logical-message",
        "a message to replicas that no rollback takes back",
        _sends("SELECT pg_logical_emit_message(false, 'a', 'b')"),
        "acts on the server at once",
    ),
    Way(
        "restore-point",
        "a restore point",
        _sends("SELECT pg_create_restore_point('a')"),
        "acts on the server at once",
    ),
    Way(
        "stat-reset",
        "resets the statistics of the server",
        _sends("SELECT pg_stat_reset()"),
        "acts on the server at once",
    ),
    Way(
        "other-database",
        "writes to a database that is not declared",
        _to_other("INSERT INTO t VALUES (1)"),
        "cannot execute INSERT",
    ),
    Way("other-read-only-off", "… with `read_only = False`", _other_read_only_off, "read_only"),
    Way(
        "other-set-transaction",
        "… with `SET TRANSACTION READ WRITE`",
        _to_other("SET TRANSACTION READ WRITE", "INSERT INTO t VALUES (1)"),
        "READ WRITE",
    ),
    Way(
        "other-set-config",
        "… with `set_config`",
        _to_other("SELECT set_config('transaction_read_only', 'off', false)", "INSERT INTO t VALUES (1)"),
        "transaction_read_only",
    ),
    Way("other-notify", "`NOTIFY` there", _to_other("NOTIFY leaks", autocommit=True), "NOTIFY leaks"),
    Way(
        "other-asyncpg",
        "writes there by asyncpg",
        lambda at: asyncio.run(_other_by_asyncpg(at)),
        "would write to",
    ),
)


_PROCEDURE = (
    "CREATE PROCEDURE settle() LANGUAGE plpgsql AS $$ BEGIN UPDATE account SET balance = 0; COMMIT; END $$"
)


def _two_phase(at: Place) -> None:
    connection = _connect(at)
    connection.tpc_begin(connection.xid(1, "oneoff", "test"))
    connection.execute(_WRITE)
    connection.tpc_commit()


def _libpq(at: Place) -> None:
    """psycopg's own wrapper around libpq, below its connections."""
    result = psycopg.pq.PGconn.connect(at.database.encode()).exec_(_WRITE.encode())
    if result.error_message:
        raise RuntimeError(result.error_message.decode())


_ERRORS = held_by(
    Held.SEALED,
    Ends.ERROR,
    Way(
        "procedure",
        "a procedure that commits",
        _sends(_PROCEDURE, "CALL settle()", autocommit=True),
        "invalid transaction termination",
    ),
    Way("two-phase", "two-phase commit", _two_phase, ""),
    Way("discard-temp", "drops what keeps it from committing", _sends(_WRITE, "DISCARD TEMP", "COMMIT"), ""),
    Way(
        "alter-system",
        "`ALTER SYSTEM`",
        _sends("ALTER SYSTEM SET work_mem = '9MB'", autocommit=True),
        "ALTER SYSTEM",
    ),
    Way(
        "create-database",
        "`CREATE DATABASE`",
        _sends("CREATE DATABASE made", autocommit=True),
        "CREATE DATABASE",
    ),
    Way("libpq", "libpq below the driver", _libpq, "read-only transaction"),
    Way(
        "psycopg2-class",
        "psycopg2's connection class",
        lambda at: psycopg2.extensions.connection(at.database).cursor().execute(_WRITE),
        "read-only transaction",
    ),
)

POSTGRES = Group(title="PostgreSQL", database="postgres", ways=(*_UNDONE, *_STOPPED, *_ERRORS))
