"""The end of the sealed session: what a commit would meet, and the commit itself."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from psycopg import conninfo, errors, generators, pq, waiting

from oneoff.databases.postgres.options import WHOLE_SECONDS
from oneoff.databases.postgres.session import Session, ask, failed, one_line, sql
from oneoff.errors import CommitUnknown, NotCommitted
from oneoff.threads import Ours


def fire_deferred(session: Session) -> None:
    """Take the seal's own row out and do what a commit would: check constraints, fire deferred triggers.

    Where that fails, it is noted, and the transaction stays sealed. Raises psycopg.Error.
    """
    ask(session.pgconn, b"SAVEPOINT _oneoff_end")
    try:
        ask(session.pgconn, sql("unseal"))
    except errors.OperationalError:  # the server's trouble, and not what a commit would have met
        raise
    except errors.Error as error:
        session.notes.attempt(f"the commit of a real run would fail: {one_line(error)}")
        ask(session.pgconn, b"ROLLBACK TO SAVEPOINT _oneoff_end")


def commit(session: Session) -> None:
    """Commit the transaction.

    Raises:
        NotCommitted: it was rolled back.
        CommitUnknown: the connection was lost, and nobody can say.
    """
    pgconn = session.pgconn
    try:
        number = ask(pgconn, b"SELECT pg_current_xact_id()::text AS number")[0]["number"]
    except errors.Error as error:
        raise NotCommitted(f"nothing was committed, {session.database}: {one_line(error)}") from error
    result = pgconn.exec_(b"COMMIT")
    if result.status == pq.ExecStatus.COMMAND_OK and result.command_status == b"COMMIT":
        return
    cause = failed(result)
    lost = pgconn.transaction_status == pq.TransactionStatus.UNKNOWN
    status = _status(session, number) if lost else "aborted"
    if status == "aborted":
        raise NotCommitted(f"nothing was committed, {session.database}: {one_line(cause)}") from cause
    if status != "committed":
        raise CommitUnknown(
            f"{session.database}: the connection was lost during COMMIT", next_step=_ASK.format(number)
        ) from cause


_ASK = "ask the server, which knows for some time: SELECT pg_xact_status('{}')"


def _status(session: Session, number: str | None) -> str | None:
    """What became of a transaction; None where the server cannot be asked."""
    try:
        pgconn = beside(session)
        try:
            return ask(pgconn, f"SELECT pg_xact_status('{number}') AS status".encode())[0]["status"]
        finally:
            pgconn.finish()
    except errors.Error:
        return None


def beside(session: Session) -> Any:
    """Another connection to where the session's leads, that may only read. Raises psycopg.Error."""
    given = {
        option.keyword.decode(): option.val.decode()
        for option in session.pgconn.info
        if option.val is not None
    }
    # Not PQconnectdb, which would hold up all threads of this process until it is connected.
    pgconn = waiting.wait_conn(generators.connect(conninfo.make_conninfo("", **given)))
    ask(pgconn, b"SET default_transaction_read_only = on")
    return pgconn


class _Timer(Ours, threading.Timer):
    """Of no task's making."""


class Cap:
    """Ends a session that lives for too long: the server then rolls it back, whatever the task is at."""

    def __init__(self, session: Session, seconds: float = WHOLE_SECONDS) -> None:
        self._session, self._seconds = session, seconds
        self._timer = _Timer(seconds, self._end)
        self._timer.name, self._timer.daemon = "oneoff-cap", True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *exc_info: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        if not self._session.ours:
            return
        self._session.notes.attempt(
            f"the transaction was open for {self._seconds:.0f} s, and was ended: its locks hold others up"
        )
        self._session.pgconn.get_cancel().cancel()
        connection = socket.socket(fileno=os.dup(self._session.pgconn.socket))
        with connection:
            connection.shutdown(socket.SHUT_RDWR)
