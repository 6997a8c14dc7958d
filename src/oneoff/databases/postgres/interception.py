"""Every connection that psycopg opens while a database is sealed is looked at before the task gets it."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import errors, pq

from oneoff.databases.postgres import connections
from oneoff.databases.postgres.session import Session, ask, sql
from oneoff.errors import DryRunUnavailable

OWN_MARK = "holds_oneoffs_records"
"""True on the class of connections to oneoff's own records. They stay as they are: what is recorded of a dry
run is to stay."""
NOT_READ_ONLY = (
    "a connection to {} is not read-only, although the dry run asks for it: its connection string has an"
    " options= of its own, or a pooler in between drops start-up options"
)
USE_DIRECT_ADDRESS = "leave options= out, or give the server's direct address instead of the pooler's"

_active: list[Session] = []
_original: Any = None
_Base: Any = psycopg.Connection.__mro__[1]  # where sync and async connections are made


class Intercepted:
    """psycopg's connections go through :func:`_admit` for the time of a block."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        global _original
        if not _active:
            _original = _Base.__dict__["_connect_gen"]
            _Base._connect_gen = classmethod(_connect)
        _active.append(self._session)

    def __exit__(self, *exc_info: object) -> None:
        _active.remove(self._session)
        if not _active:
            _Base._connect_gen = _original


def refuse_open_connections() -> None:
    """Look for connections that were opened before the seal and may write.

    Raises:
        DryRunUnavailable: there is one.
    """
    for connection in [thing for thing in gc.get_objects() if issubclass(type(thing), _Base)]:
        if hasattr(type(connection), OWN_MARK) or connection.closed or _read_only(connection.pgconn):
            continue
        raise DryRunUnavailable(
            f"a connection to {describe(connection)} was opened before the dry run began, and may write",
            next_step="open it inside the task, or start the task with `oneoff run`, which makes"
            " connections read-only before it imports the app",
        )


def describe(connection: Any) -> str:
    """Which database a connection is to, without a password."""
    info = connection.info
    return f"postgresql {info.dbname} on {info.host}:{info.port}"


def _read_only(pgconn: Any) -> bool:
    if pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
        return False
    try:
        row = ask(pgconn, sql("identify"))[0]
    except errors.Error:  # a failed transaction; where the connection is gone, nothing can be written by it
        return bool(pgconn.status == pq.ConnStatus.BAD)
    return row["read_only_default"] == row["read_only_now"] == "on"


def _connect(cls: type[Any], *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
    connection = yield from _original.__func__(cls, *args, **kwargs)
    if hasattr(cls, OWN_MARK):
        return connection
    try:
        return _admit(connection)
    except BaseException:
        connection.pgconn.finish()
        raise


def _admit(connection: Any) -> Any:
    """The connection that the task gets in place of this one. Raises DryRunUnavailable."""
    pgconn = connection.pgconn
    row = ask(pgconn, sql("identify"))[0]
    first = _active[0]
    if row["read_only_default"] != "on":
        raise _refuse(
            first,
            NOT_READ_ONLY.format(describe(connection)),
            USE_DIRECT_ADDRESS,
        )
    session = next((one for one in _active if one.identity["identity"] == row["identity"]), None)
    is_async = not isinstance(connection, psycopg.Connection)
    if session is None:
        first.notes.gap(f"{describe(connection)}: not the app's declared database, opened read-only")
        return connection if is_async else connections.watched(first, connection)
    if os.getpid() != session.pid:
        return connection  # a forked child: its own connection, read-only
    if is_async:
        raise _refuse(
            session,
            f"the task opens an asynchronous connection to {describe(connection)}; none can be sealed yet",
            "use psycopg.connect() in this task",
        )
    if session.identity["role"] != row["role"]:
        raise _refuse(
            session,
            f"the task connects to {describe(connection)} as {row['role']}, and the dry run is sealed as"
            f" {session.identity['role']}: one session cannot be both",
            "declare the database with the role that the task uses",
        )
    pgconn.finish()
    return connections.sealed(session, type(connection))


def _refuse(session: Session, message: str, next_step: str) -> DryRunUnavailable:
    session.notes.attempt(message)
    return DryRunUnavailable(message, next_step=next_step)
