"""psycopg's connection and cursor over the sealed session: the comfort by which normal code runs to its end.

psycopg sends its own commands (BEGIN, COMMIT, ROLLBACK, savepoints) through one method,
``_exec_command``, and asks another, ``_start_query``, before each statement. Both are private; :data:`NEEDED`
is checked before a seal is made, and nothing of the enforcement rests on them: a command that slips by meets
the seal in the server.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import Any

import psycopg
from psycopg import errors, sql

from oneoff.databases.postgres.session import Session, notifications, one_line, turns_the_guard_off
from oneoff.databases.postgres.tenants import Tenant, only_reads, screen, start
from oneoff.databases.watching import Notes
from oneoff.errors import DryRunStopped

NEEDED = (
    "_connect_gen", "_exec_command", "_start_query", "_check_intrans_gen", "_check_connection_ok",
    "_set_read_only_gen",
)  # fmt: skip
"""Methods of psycopg's Connection that are replaced below, and in :mod:`.interception`."""

_ROLLBACK_TO = re.compile(r"\s*rollback\s+(?:work\s+|transaction\s+)?to\b", re.IGNORECASE)
_READ_ONLY = "25006"

_savepoints = count(1)


class WatchedConnection(psycopg.Connection[Any]):
    """A connection whose cursors report what they do."""

    session: Session
    """Of a sealed one only."""
    notes: Notes
    sealed = False
    reads = False
    """Whether the next statement only reads, as far as its text tells."""
    _cursors: type[Any]
    _server_cursors: type[Any]

    @property
    def cursor_factory(self) -> type[Any]:
        return self._cursors

    @cursor_factory.setter
    def cursor_factory(self, factory: Any) -> None:
        self._cursors = _watched(factory)

    @property
    def server_cursor_factory(self) -> type[Any]:
        return self._server_cursors

    @server_cursor_factory.setter
    def server_cursor_factory(self, factory: Any) -> None:
        self._server_cursors = _watched(factory)


class SealedConnection(WatchedConnection):
    """One of the task's connections: a tenant of the sealed session with a transaction of its own."""

    sealed = True
    tenant: Tenant
    _left = False

    @property
    def closed(self) -> bool:
        return self._left or super().closed

    def close(self) -> None:
        """Leave the session as a closed connection would: what is uncommitted is rolled back."""
        if not self.closed:
            if not self.session.closed:
                with self.lock:
                    self.wait(self._end(commit=False))
            self._left = self._closed = True

    def commit(self) -> None:
        self.session.refuse_latecomers()
        super().commit()

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        with _SealedTransaction(self, savepoint_name, force_rollback) as transaction:
            yield transaction

    def _check_connection_ok(self) -> None:
        if self._left:
            raise errors.OperationalError("the connection is closed")
        self.session.refuse_latecomers()
        super()._check_connection_ok()

    def _check_intrans_gen(self, attribute: str) -> Generator[Any, Any, None]:
        if self.session.ledger.open(self.tenant.number):
            raise errors.ProgrammingError(f"can't change {attribute!r} now: connection in transaction")
        yield from ()

    def _start_query(self) -> Generator[Any, Any, None]:
        reads, self.reads = self.reads, False
        self._check_connection_ok()
        autocommit = self._autocommit and not self._num_transactions
        yield from self._send(self.tenant.begin(autocommit=autocommit, reads=reads))

    def _exec_command(self, command: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        text = command if isinstance(command, bytes) else b""
        if text.startswith(b"BEGIN"):
            yield from self._start_query()
        elif text in (b"COMMIT", b"ROLLBACK"):
            yield from self._end(commit=text == b"COMMIT")
        elif not text.startswith(b"RELEASE") or self.tenant.may_release():
            if text.startswith(b"ROLLBACK TO"):
                self.tenant.check_rollback_to()
            if text == b"DEALLOCATE ALL":
                self.session.forgotten += 1
            return (yield from super()._exec_command(command, *args, **kwargs))
        return None

    def _end(self, *, commit: bool) -> Generator[Any, Any, None]:
        yield from self._send(self.tenant.end(commit=commit))

    def _send(self, commands: list[str]) -> Generator[Any, Any, None]:
        for command in commands:
            yield from super()._exec_command(command.encode())


class _SealedTransaction(psycopg.Transaction):
    """``connection.transaction()``: outermost where the tenant, not the session, is in no transaction."""

    def _push_savepoint(self) -> None:
        connection: Any = self._conn
        named = bool(self._savepoint_name)
        super()._push_savepoint()
        self._outer_transaction = not connection.session.ledger.open(connection.tenant.number)
        if not named:  # names must not meet those of another tenant
            self._savepoint_name = "" if self._outer_transaction else f"_oneoff_block_{next(_savepoints)}"


class WatchedCursor(psycopg.Cursor[Any]):
    """A cursor that records its statements and notices when the seal was touched."""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        with self._watching(query):
            return super().execute(query, *args, **kwargs)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        with self._watching(query):
            super().executemany(query, *args, **kwargs)

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with self._watching(query):
            yield from super().stream(query, *args, **kwargs)

    @contextmanager
    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with self._watching(statement), super().copy(statement, *args, **kwargs) as copy:
            yield copy

    @contextmanager
    def _watching(self, query: Any) -> Iterator[None]:
        connection: Any = self._conn
        text = _text(query)
        screen(connection.notes, text)
        self._note_notifications(text)
        with connection.lock:
            if connection.sealed:
                connection.reads = only_reads(text)
                if _ROLLBACK_TO.match(text):
                    connection.tenant.check_rollback_to()
            began = time.perf_counter()
            try:
                yield
            except errors.Error as error:
                _judge(connection, text, error)
                raise
            if connection.sealed:
                connection.session.statements.add(text, self.rowcount, time.perf_counter() - began)
                connection.session.check(start(text))

    def _note_notifications(self, text: str) -> None:
        """A read-only transaction delivers them too: those to a database that is not sealed are stopped."""
        connection: Any = self._conn
        if connection.sealed:
            connection.session.note_notifications(text, text)
            return
        for notification in notifications(text):
            raise connection.notes.attempt(
                f"{start(text)} {notification} of {connection.info.dbname},"
                " which is not the app's declared database"
            )


def sealed(session: Session, like: Any) -> Any:
    """A new connection of the class ``like`` over the sealed session."""
    connection = _connection_class(SealedConnection, like)(session.pgconn)
    connection.session, connection.notes = session, session.notes
    connection.tenant = Tenant(session)
    connection.lock = session.lock
    connection._prepared = session.connection._prepared  # names of prepared statements belong to the session
    return connection


def watched(notes: Notes, connection: Any) -> Any:
    """The same physical connection to a database that is not sealed, in a class that reports attempts."""
    again = _connection_class(WatchedConnection, connection.__class__)(connection.pgconn)
    again.notes = notes
    again.lock = threading.RLock()  # the cursor holds it around psycopg's own use of it
    del connection.pgconn  # it now belongs to the other object, which alone closes it
    return again


@cache
def _connection_class(ours: Any, theirs: Any) -> Any:
    return ours if theirs is psycopg.Connection else type(theirs.__name__, (ours, theirs), {})


@cache
def _watched(factory: Any) -> Any:
    if issubclass(factory, WatchedCursor):
        return factory
    return type(factory.__name__, (WatchedCursor, factory), {})


def refuse_writable(notes: Notes, connection: Any, query: Any) -> None:
    """Stop what makes a connection writable that is not sealed. Raises DryRunStopped."""
    text = _text(query)
    if turns_the_guard_off(text) and not getattr(connection, "sealed", False):
        raise notes.attempt(
            f"{start(text)} turns the dry run's guard off on a connection to {connection.info.dbname}"
            " that is not sealed"
        )


def _judge(connection: Any, text: str, error: errors.Error) -> None:
    """Stop the task where its error comes from the dry run and not from itself."""
    if connection.sealed:
        try:
            connection.tenant.judge(text, sqlstate=error.sqlstate, table=error.diag.table_name)
        except DryRunStopped as stopped:
            raise stopped from error
    elif error.sqlstate == _READ_ONLY:
        connection.notes.attempt(
            f"{start(text)} on {connection.info.dbname}, which is not the app's declared database:"
            f" {one_line(error)}"
        )


def _text(query: Any) -> str:
    """The statement as text; literals that psycopg would fill in on the client are left out."""
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    if isinstance(query, sql.Composed):
        return "".join(_text(part) for part in query)
    if isinstance(query, sql.Literal):
        return "%s"
    if isinstance(query, sql.Composable):
        return query.as_string(None)
    if isinstance(query, str):
        return query
    return "".join(part if isinstance(part, str) else "%s" for part in query)  # a template string
