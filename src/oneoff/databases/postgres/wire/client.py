"""The conversation with one client: it is let in, and then its messages are answered one by one.

Source: https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import contextlib
import hmac
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from psycopg import Error

from oneoff.databases.postgres.session import Session, one_line
from oneoff.databases.postgres.tenants import Tenant, only_reads, screen
from oneoff.databases.postgres.wire import literals, messages
from oneoff.databases.postgres.wire.channel import Channel
from oneoff.databases.postgres.wire.commands import Kind, command
from oneoff.databases.postgres.wire.doing import Doing
from oneoff.databases.postgres.wire.greeting import HIDES_LITERALS, greeting, options, refusal
from oneoff.databases.postgres.wire.inbox import Gone, Inbox
from oneoff.databases.postgres.wire.literals import Said
from oneoff.databases.postgres.wire.messages import Malformed, Request, frame, split_text
from oneoff.databases.postgres.wire.names import PORTAL, STATEMENT, Names, Statement
from oneoff.databases.postgres.wire.outbox import Outbox
from oneoff.databases.postgres.wire.seat import Batch, Seat
from oneoff.errors import DryRunStopped

STOPPED = "OD001"
"""SQLSTATE of what a dry run does not allow; classes from I to Z are free for others than the standard."""
_MALFORMED, _LOST = "08P01", "08006"
_WRONG_PASSWORD = "28P01"
_FUNCTION_CALL = Said(*["a call of a function (large objects)"] * 2)
_LONGEST_BATCH = 1 << 18
"""Bytes of messages that are gathered before they go to the server without a Sync of the client's."""


@dataclass(frozen=True, kw_only=True)
class House:
    """What all clients of one server share."""

    session: Session
    channel: Channel
    folder: Path
    password: str
    cancel: Callable[[int, int], None]
    hides_literals: bool
    """Whether its clients may write values into their statements, whoever they are."""


class Client:
    """One connection to the server of a dry run."""

    def __init__(self, connection: socket.socket, house: House, number: int, secret: int) -> None:
        self._connection = connection
        self._house = house
        self._key = number, secret
        self._inbox = Inbox(connection)
        self._outbox = Outbox(connection, house.folder)
        self._names = Names()
        self._batch = Batch()
        self._skipping = False
        self._hides = False
        self.seat = Seat(Tenant(house.session), house.channel, self._outbox, self._names)
        self._doing = Doing(self.seat, self._inbox, self._outbox)

    def serve(self) -> None:
        """Until the client leaves or is sent away. Raises nothing that a client can bring about."""
        admitted = False
        try:
            admitted = self._admit()
            while admitted and self._answer():
                pass
        except (Gone, OSError):
            pass
        except Malformed as error:
            self._send_away(f"this is not PostgreSQL's protocol: {error}", _MALFORMED)
        except DryRunStopped as stopped:
            self._send_away(str(stopped), STOPPED)
        except Error as error:
            self._send_away(one_line(error), error.sqlstate or _LOST)
        finally:
            if admitted:
                with contextlib.suppress(DryRunStopped, Error, OSError):  # it is noted, and nobody listens
                    self.seat.leave()
            self._connection.close()

    def _send_away(self, message: str, sqlstate: str) -> None:
        self._outbox.add(messages.error(message, sqlstate=sqlstate, fatal=True))
        with contextlib.suppress(OSError):
            self._outbox.drain()

    def _admit(self) -> bool:
        """Start-up: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP"""
        while True:
            body = self._inbox.start()
            version = messages.start_version(body)
            if version not in (Request.SSL, Request.GSS):
                break
            self._connection.sendall(b"N")
        if version == Request.CANCEL:
            self._house.cancel(*messages.cancellation(body))
            return False
        if version >> 16 != messages.PROTOCOL >> 16:
            raise Malformed(f"version {version >> 16}.{version & 0xFFFF}")
        asked = messages.start_parameters(body)
        unknown = [name.encode() for name in asked if name.startswith("_pq_.")]
        if version != messages.PROTOCOL or unknown:
            self._outbox.add(messages.negotiate(unknown))
        self._outbox.add(messages.authentication(3))
        self._outbox.drain()
        kind, said = self._inbox.next()
        if kind != messages.PASSWORD or not hmac.compare_digest(said, messages.text(self._house.password)):
            self._send_away("this server lets in the task of a dry run only", _WRONG_PASSWORD)
            return False
        with self.seat.lock():
            problem = refusal(self._house.session, asked)
            welcome = [] if problem else greeting(self._house.session, self._house.channel, asked)
        if problem:
            raise self._house.session.notes.attempt(problem)
        self._inbox.admit()
        self._hides = self._house.hides_literals or HIDES_LITERALS in options(asked)
        for message in (*welcome, messages.key(*self._key), messages.ready(b"I")):
            self._outbox.add(message)
        self._outbox.drain()
        return True

    def _answer(self) -> bool:
        """Take one message; whether there may be more."""
        kind, body = self._inbox.next()
        if kind == messages.TERMINATE:
            return False
        handler = _HANDLERS.get(kind)
        if handler is None:
            raise Malformed(f"message {kind!r}")
        if not self._skipping or kind == messages.SYNC:
            handler(self, body)
            if self._batch.size > _LONGEST_BATCH:
                self._run_batch()
        return True

    def _query(self, body: bytes) -> None:
        if not self._run_batch():
            return
        self.seat.end_group()
        said = literals.said(split_text(body)[0].decode("utf-8", "replace"), hides=self._hides)
        known = command(said.text)
        if known is None or known.kind is not Kind.BEGIN:  # what it says of reading and writing is not sent
            screen(self._house.session.notes, *said)
        if known:
            self._doing.do(known, said)
        else:
            renamed = self._names.in_cursor_command(said.text)
            message = frame(messages.QUERY, body) if renamed == said.text else messages.query(renamed)
            self.seat.run(_simple(message, said))
        self._ready()

    def _function_call(self, body: bytes) -> None:
        if self._run_batch():
            self.seat.run(_simple(frame(messages.FUNCTION_CALL, body), _FUNCTION_CALL))
            self._ready()

    def _parse(self, body: bytes) -> None:
        statement = self._names.prepare(body)
        if statement.command is None or statement.command.kind is not Kind.BEGIN:
            screen(self._house.session.notes, statement.said.text)
        if statement.command:
            self._reply(b"1")
        else:
            self._batch.statements.append(statement)
            self._batch.add(statement.parse)

    def _bind(self, body: bytes) -> None:
        own_portal, rest = split_text(body)
        own_statement, rest = split_text(rest)
        statement = self._names.statement(own_statement)
        if statement is None:  # the server says so
            self._batch.add(frame(messages.BIND, b"\0" + own_statement + b"\0" + rest))
            return
        portal = self._names.bind(own_portal, statement)
        if statement.command:
            self._reply(b"2")
            return
        self._batch.statements.append(statement)
        self._batch.add(frame(messages.BIND, portal.name + b"\0" + statement.name + b"\0" + rest))

    def _describe(self, body: bytes) -> None:
        kind, own = body[:1], split_text(body[1:])[0]
        statement, name = self._found(kind, own)
        if statement is None or statement.command is None:
            if statement is not None and kind == STATEMENT:
                self._batch.statements.append(statement)
            self._batch.add(frame(messages.DESCRIBE, kind + name + b"\0"))
        elif kind == STATEMENT:
            self._reply(b"t", b"\0\0", b"n")
        else:
            self._reply(b"n")

    def _execute(self, body: bytes) -> None:
        own, limit = split_text(body)
        statement, name = self._found(PORTAL, own)
        if statement is not None and statement.command:
            if self._run_batch() and not self._doing.do(statement.command, statement.said):
                self._skipping = True
            return
        if statement is not None:
            self._batch.texts.append(statement.said)
            self._batch.reads &= statement.reads
        self._batch.add(frame(messages.EXECUTE, name + b"\0" + limit))

    def _close(self, body: bytes) -> None:
        kind, own = body[:1], split_text(body[1:])[0]
        if kind == STATEMENT:
            self._names.forget_statement(own)
        else:
            self._names.forget_portal(own)
        self._reply(b"3")

    def _flush(self, body: bytes) -> None:
        self._run_batch()
        self._outbox.drain()

    def _sync(self, body: bytes) -> None:
        self._run_batch()
        self._skipping = False
        self.seat.end_group()
        self._ready()

    def _stray(self, body: bytes) -> None:
        """What is left of a COPY that failed: the server ignores it, too."""

    def _found(self, kind: bytes, own: bytes) -> tuple[Statement | None, bytes]:
        """The statement behind a name, and its name in the session; the client's own where it is unknown."""
        if kind == STATEMENT:
            statement = self._names.statement(own)
            return statement, statement.name if statement else own
        portal = self._names.portal(own)
        return (portal.statement, portal.name) if portal else (None, own)

    def _reply(self, kind: bytes, body: bytes = b"", after: bytes = b"") -> None:
        """An answer that is not the server's, after those to what came before."""
        if self._run_batch():
            self._outbox.add(frame(kind, body))
            if after:
                self._outbox.add(frame(after))

    def _run_batch(self) -> bool:
        """What was gathered goes to the server; whether the client may go on."""
        if self._batch.messages:
            batch, self._batch = self._batch, Batch(closings=list(self._names.closings()))
            self._skipping = not self.seat.run(batch)
        return not self._skipping

    def _ready(self) -> None:
        self._outbox.add(messages.ready(self.seat.status))
        self._outbox.drain()


def _simple(message: bytes, said: Said) -> Batch:
    batch = Batch(simple=True, reads=only_reads(said.shown) and ";" not in said.shown.rstrip("; \n"))
    batch.add(message)
    batch.texts.append(said)
    return batch


_HANDLERS: dict[bytes, Callable[[Client, bytes], None]] = {
    messages.QUERY: Client._query,
    messages.PARSE: Client._parse,
    messages.BIND: Client._bind,
    messages.DESCRIBE: Client._describe,
    messages.EXECUTE: Client._execute,
    messages.CLOSE: Client._close,
    messages.FLUSH: Client._flush,
    messages.SYNC: Client._sync,
    messages.FUNCTION_CALL: Client._function_call,
    messages.COPY_DATA: Client._stray,
    messages.COPY_DONE: Client._stray,
    messages.COPY_FAIL: Client._stray,
}
"""What a client may send once it is in."""
