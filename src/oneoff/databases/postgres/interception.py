"""Every connection that psycopg opens while a database is sealed is looked at before the task gets it."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import errors, pq

from oneoff.databases.postgres import connections, drivers, parameters, reading
from oneoff.databases.postgres.admission import (
    active,
    check_role,
    held,
    is_opening,
    refusal,
    refuse_latecomers,
    sealed_as,
    watching,
)
from oneoff.databases.postgres.session import Session, ask, sql
from oneoff.databases.undeclared import Undeclared
from oneoff.errors import DryRunUnavailable

OWN_MARK = "holds_oneoffs_records"
"""True on the class of connections to oneoff's own records. They stay as they are: what is recorded of a dry
run is to stay."""
NOT_READ_ONLY = (
    "a connection to {} is not read-only, although the dry run asks for it: its connection string has an"
    " options= of its own, or a pooler in between drops start-up options"
)
USE_DIRECT_ADDRESS = "leave options= out, or give the server's direct address instead of the pooler's"

_originals: dict[str, Any] = {}
_Base: Any = psycopg.Connection.__mro__[1]  # where sync and async connections are made
_BaseCursor: Any = psycopg.Cursor.__mro__[1]  # by which every statement of a cursor goes, whoever made that


class Watched:
    """For the time of a block psycopg's connections go through :func:`_admit`, and stay read-only."""

    def __init__(self, undeclared: Undeclared) -> None:
        self._undeclared = undeclared

    def __enter__(self) -> None:
        """Raises DryRunUnavailable where this is a psycopg that we do not know."""
        _check_driver()
        if not watching:
            for (cls, name), ours in _OURS.items():
                _originals[name] = cls.__dict__[name]
                setattr(cls, name, ours)
        watching.append(self._undeclared)

    def __exit__(self, *exc_info: object) -> None:
        watching.remove(self._undeclared)
        reading.close(self._undeclared)
        if not watching:
            for cls, name in _OURS:
                setattr(cls, name, _originals[name])


class Intercepted:
    """For the time of a block inside of :class:`Watched`, connections to this database are of its session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        active.append(self._session)

    def __exit__(self, *exc_info: object) -> None:
        active.remove(self._session)


def _check_driver() -> None:
    missing = [name for name in connections.NEEDED if not hasattr(psycopg.Connection, name)]
    if missing:
        raise DryRunUnavailable(
            f"psycopg {psycopg.__version__} is built differently from the versions that can be sealed",
            next_step="install psycopg >= 3.2, or report this version to the project",
        )


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


def refuse_roads_past() -> None:
    """Look for connections that were opened before the seal and lead to what is sealed by now.

    Raises:
        DryRunUnavailable: there is one.
    """
    ours = [session.pgconn for session in active]
    for connection in [thing for thing in gc.get_objects() if issubclass(type(thing), _Base)]:
        if hasattr(type(connection), OWN_MARK) or connection.closed or connection.pgconn in ours:
            continue
        if _leads_to_sealed(connection):
            raise DryRunUnavailable(
                f"a connection to {describe(connection)} was opened before the task, and what is written"
                " through it could not be measured",
                next_step="open it inside the task",
            )


def _leads_to_sealed(connection: Any) -> bool:
    if connection.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        with suppress(errors.Error):  # of a failed transaction, or a server that is none of PostgreSQL's
            return sealed_as(ask(connection.pgconn, sql("identify"))[0]) is not None
    return describe(connection) in [session.database for session in active]


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


def _set_read_only(connection: Any, value: bool | None) -> Generator[Any, Any, None]:
    """Every road to ``read_only`` leads here. On the sealed session it changes nothing."""
    own = hasattr(connection, OWN_MARK) or getattr(connection, "sealed", False)
    if value is not None and not value and not own and held():
        raise watching[-1].notes.attempt(
            f"the task sets read_only to False on a connection to {describe(connection)} that is not sealed"
        )
    yield from _originals["_set_read_only_gen"](connection, value)


def _exec_command(connection: Any, command: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
    """psycopg's own commands: its BEGIN says whether the transaction may write."""
    _refuse_writable(connection, command)
    return (yield from _originals["_exec_command"](connection, command, *args, **kwargs))


def _start_query(cursor: Any, query: Any = None) -> Generator[Any, Any, None]:
    """Also of a cursor that the task made by hand, and of a connection from before the seal."""
    if query is not None:
        _refuse_writable(cursor._conn, query)
    yield from _originals["_start_query"](cursor, query)


def _refuse_writable(connection: Any, query: Any) -> None:
    if hasattr(connection, OWN_MARK) or not held():
        return
    for undeclared in watching[-1:]:  # none where the seal was left by another thread just now
        connections.refuse_writable(undeclared.notes, connection, query)


def _connect(cls: type[Any], *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
    if not hasattr(cls, OWN_MARK):
        refuse_latecomers()
    connection = yield from _originals["_connect_gen"].__func__(cls, *args, **kwargs)
    if hasattr(cls, OWN_MARK) or is_opening() or drivers.led(connection):
        return connection
    try:
        admitted = _admit(connection)
    except BaseException:
        connection.pgconn.finish()
        raise
    if isinstance(admitted, str):
        connection.pgconn.finish()
        admitted = yield from _originals["_connect_gen"].__func__(cls, admitted)
        admitted.sealed = True  # by the server that it was led to
    return admitted


def _admit(connection: Any) -> Any:
    """What the task gets in place of this one, or where that is to be opened. Raises DryRunUnavailable."""
    pgconn = connection.pgconn
    if not held() and not _leads_to_sealed(connection):
        watching[-1].meet(describe(connection))
        return connection
    row = ask(pgconn, sql("identify"))[0]
    if held() and row["read_only_default"] != "on":
        raise refusal(watching[-1].notes, NOT_READ_ONLY.format(describe(connection)), USE_DIRECT_ADDRESS)
    session = sealed_as(row)
    if session:
        session.refuse_latecomers()
    if session and os.getpid() != session.pid:
        return connection  # a forked child: its own connection, read-only
    if session is None:
        undeclared = watching[-1]
        if isinstance(connection, psycopg.Connection):
            undeclared.meet(describe(connection))
            return connections.watched(undeclared.notes, connection)
        keywords = parameters.of_connection(connection) or {}
        session = reading.reading(undeclared, row, keywords, describe(connection))
    else:
        check_role(session, describe(connection), row)
    if not isinstance(connection, psycopg.Connection):
        return drivers.conninfo(session, connection.info.get_parameters())
    pgconn.finish()
    return connections.sealed(session, type(connection))


_OURS = {
    (_Base, "_connect_gen"): classmethod(_connect),
    (_Base, "_set_read_only_gen"): _set_read_only,
    (_Base, "_exec_command"): _exec_command,
    (_BaseCursor, "_start_query"): _start_query,
}
"""What stands in the place of psycopg's methods for the time of a block."""
