"""The one connection of a PostgreSQL store: shared by threads, never by a forked child, made again when lost.

Each question is one message and one transaction: no state of the session is needed, so a pooler may give
every message another session, and no lock waits for an answer to cross the network. A question brings its
limits and its isolation with it. A change does so only where the session's defaults stand in its way: the
functions limit their waits themselves, and what goes before a call costs as much as half of the call.

Whoever changes much has its statements prepared, where nothing stands between it and the server.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import conninfo, pq
from psycopg.adapt import Transformer

from oneoff.errors import StoreUnavailable
from oneoff.stores import postgres_failures as failures
from oneoff.stores.postgres_call import Calls, Row
from oneoff.types import without_login

PATIENCE_SECONDS = 5.0
"""How long a server that was there may take to restart or to be failed over, before that is an error."""

_LIMITS = (
    f"SET LOCAL lock_timeout = '{failures.LOCK_SECONDS}s';"
    f" SET LOCAL statement_timeout = '{failures.STATEMENT_SECONDS}s'; "
)
_READ = f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {_LIMITS}"
_WRITE = f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; {_LIMITS}"
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    # Empty, and so not PGOPTIONS: that makes the app's own connections read-only in a dry run.
    "options": "",
}
"""What is set where the address itself does not."""
_IN_THE_WAY = ("25006", "40001", "57014", "26000", "42P05", "0A000")
"""The session is read-only, or its isolation is not READ COMMITTED, or its time limit is short; or it lacks a
prepared statement, has another one by that name, or one whose result is another by now. Nothing was changed,
and the change is sent again, unprepared and with what it needs before it."""
_MANY = 5
"""After so many changes by one connection, its statements are prepared."""
_REFUSALS = ("OO002", "OO003", "OO004", "OO007", "23505")
"""Answers of our own functions, which the store has words for."""


def parameters(url: str, **ours: str) -> dict[str, Any]:
    """How to connect to this address. Raises psycopg.Error where it is none."""
    return {**_DEFAULTS, **conninfo.conninfo_to_dict(url), "client_encoding": "utf8", **ours}


class StoreConnection(psycopg.Connection[Any]):
    """A connection of oneoff itself, by a class of its own."""

    holds_oneoffs_records = True
    """The seal of a dry run lets it pass: what is recorded of a dry run has to stay."""


class Link:
    """Asks the server. Threads take turns."""

    def __init__(self, url: str) -> None:
        self.place = without_login(url)
        """The address, without who logs in."""
        self._url = url
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._connection: StoreConnection | None = None
        self._calls: Calls | None = None
        """By the present connection."""
        self._had_one = False
        self._told = 0
        """How many changes the present connection was sent."""

    def ask(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Read; a connection that was lost is made again once.

        Raises:
            StoreUnavailable: with the reason.
        """
        with suppress(failures.ConnectionLost):
            return self._send(_READ, statement, values)
        return self._send(_READ, statement, values)

    def ask_apart(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        """As :meth:`ask`, by a thread that does nothing else: it waits without the interpreter's lock, which
        a thread that computes would give it late. A signal does not end the wait.
        """
        with suppress(failures.ConnectionLost):
            return self._send_apart(statement, values)
        return self._send_apart(statement, values)

    def tell(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        """Change something, once.

        Raises:
            psycopg.Error: our own functions refused; its ``sqlstate`` says why.
            ConnectionLost: whether the change was made is not known.
            StoreUnavailable: nothing was changed.
        """
        with self._using() as connection:
            calls = self._calls
            assert calls is not None
            self._told += 1
            if self._told == _MANY:
                calls.prepares = _is_direct(connection)
            try:
                return calls.call(statement, values)
            except psycopg.Error as error:
                if error.sqlstate not in _IN_THE_WAY:
                    raise
                calls.prepares = False
        return self._send(_WRITE, statement, values)

    def close(self) -> None:
        if os.getpid() == self._pid:
            with self._lock:
                self._drop()

    def _send(self, before: str, statement: str, values: Mapping[str, Any] | None) -> list[Row]:
        with self._using() as connection:
            cursor = connection.cursor()
            cursor.execute((before + statement).encode(), values or {})
            while cursor.nextset():  # the answers to the SETs
                pass
            return cursor.fetchall()

    def _send_apart(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        with self._using() as connection:
            command = psycopg.ClientCursor(connection).mogrify((_READ + statement).encode(), values)
            answer = connection.pgconn.exec_(command.encode())  # the last one: that of the statement
            if answer.status != pq.ExecStatus.TUPLES_OK:
                raise psycopg.errors.error_from_result(answer)
            rows = Transformer(connection)
            rows.set_pgresult(answer)
            return rows.load_rows(0, answer.ntuples, tuple)

    @contextmanager
    def _using(self) -> Iterator[StoreConnection]:
        """The connection for this thread alone, with foreign errors explained."""
        if os.getpid() != self._pid:
            raise StoreUnavailable(
                f"process {os.getpid()} was forked from the one that opened the store {self.place}",
                next_step="only the process that runs the task may write; a child returns its result to it",
            )
        with self._lock:
            connection = self._connection
            if connection is None or connection.closed:
                connection = self._connected()
            try:
                yield connection
            except psycopg.Error as error:
                lost = connection.closed or connection.pgconn.status == pq.ConnStatus.BAD
                if error.sqlstate in _REFUSALS:
                    raise
                raise failures.explain(error, self.place, lost=lost) from error
            finally:
                # Closed by the server, or left in the middle by an interruption: not to be used again.
                if connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
                    self._drop()

    def _connected(self) -> StoreConnection:
        """A new connection; where there was one before, the server gets a while to come back."""
        deadline = time.monotonic() + (PATIENCE_SECONDS if self._had_one else 0.0)
        while True:
            try:
                return self._connect()
            except StoreUnavailable:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)

    def _connect(self) -> StoreConnection:
        try:
            self._connection = StoreConnection.connect(
                **parameters(self._url, application_name="oneoff"),
                autocommit=True,
                prepare_threshold=None,
                cursor_factory=psycopg.ClientCursor,
            )
        except psycopg.Error as error:
            raise failures.unreachable(error, self.place) from error
        self._calls = Calls(self._connection.pgconn)
        self._had_one = True
        self._told = 0
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_direct(connection: StoreConnection) -> bool:
    """Whether no pooler is between: one that may give each transaction another session has made up the number
    of the server's process that it told us.
    """
    [(pid,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
    return bool(pid == connection.info.backend_pid)
