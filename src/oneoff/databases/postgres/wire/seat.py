"""What one client has the server do: its place in the session, between its messages and the real server.

The session's lock is held while the server works and never while a client is waited for, so that clients
which wait for each other (a generator that reads from one connection and feeds another) never stand still.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import errors

from oneoff.databases.postgres.options import STATEMENT_TIMEOUT_SECONDS
from oneoff.databases.postgres.tenants import Tenant, start
from oneoff.databases.postgres.wire import messages
from oneoff.databases.postgres.wire.channel import Channel, Lost, Outgoing
from oneoff.databases.postgres.wire.commands import rows
from oneoff.databases.postgres.wire.literals import Said
from oneoff.databases.postgres.wire.names import Names, Statement
from oneoff.databases.postgres.wire.outbox import Outbox

_SYNC = messages.frame(messages.SYNC)
_COPY_REFUSED = messages.frame(messages.COPY_FAIL, messages.text("not taken"))
_READY, _ERROR, _COMPLETE, _ROW, _SUSPENDED, _EMPTY, _COPY_IN = (ord(kind) for kind in "ZECDsIG")


@dataclass
class Batch:
    """Messages that go to the server together."""

    messages: list[bytes] = field(default_factory=list)
    texts: deque[Said] = field(default_factory=deque)
    """The statements that they execute, in their order."""
    statements: list[Statement] = field(default_factory=list)
    """The prepared ones that they need."""
    reads: bool = True
    simple: bool = False
    """One simple query: it ends by itself."""
    closings: list[bytes] = field(default_factory=list)
    """What was given up before the first of the messages."""
    data: Iterable[bytes] = ()
    """What follows a COPY … FROM STDIN."""
    size: int = 0

    def add(self, message: bytes) -> None:
        self.messages.append(message)
        self.size += len(message)


class Seat:
    """One client as the session sees it."""

    def __init__(self, tenant: Tenant, channel: Channel, outbox: Outbox, names: Names) -> None:
        self.tenant = tenant
        self.session = tenant.session
        self.names = names
        self.in_transaction = False
        """Whether the client has said BEGIN."""
        self.goes_on = False
        """Whether the implicit transaction of one group of messages has begun and not ended."""
        self.running = False
        """Whether the server works for this client right now."""
        self._channel = channel
        self._outbox = outbox
        self._unsent: OSError | None = None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Alone in the session. Raises DryRunStopped where the dry run has ended."""
        if not self.session.lock.acquire(timeout=STATEMENT_TIMEOUT_SECONDS):
            raise self.session.notes.attempt(
                "one connection of the task kept the session for itself, and another one waited for it:"
                " finish reading a stream (cursor.stream(), COPY) before another connection is used"
            )
        try:
            self.session.refuse_latecomers()
            yield
        finally:
            self.session.lock.release()
        if self._unsent:
            raise self._unsent

    @property
    def status(self) -> bytes:
        """As ReadyForQuery says it."""
        if not self.in_transaction:
            return b"I"
        return b"E" if self.tenant.failed else b"T"

    @property
    def keeps_savepoints(self) -> bool:
        """Whether giving one up would take those of other tenants with it; nobody misses it meanwhile."""
        return not self.tenant.failed and not self.tenant.may_release()

    def run(self, batch: Batch) -> bool:
        """Have the server do it, and pass on what it answers; whether it went well.

        Raises:
            DryRunStopped: the dry run does not allow it, or is over.
            OSError: the client is gone.
        """
        with self.lock():
            try:
                commands = self.tenant.begin(
                    autocommit=not self.in_transaction, reads=batch.reads, goes_on=self.goes_on
                )
            except errors.InFailedSqlTransaction as error:
                self.say(messages.error(str(error), sqlstate="25P02"))
                return False
            for said in dict.fromkeys(batch.texts):
                self.session.note_notifications(*said)
            self.goes_on = not (batch.simple or self.in_transaction)
            if self.goes_on:
                self.session.unfinished.add(self.tenant.number)
            return self._exchanged(self._hidden(commands, batch.closings, batch.statements), batch)

    def end_group(self) -> None:
        """The implicit transaction ends here, if there is one."""
        self.goes_on = False
        self.session.unfinished.discard(self.tenant.number)

    def begin(self) -> None:
        """BEGIN. Raises DryRunStopped."""
        with self.lock():
            self.session.check("COMMIT by an earlier statement")
            if not self.in_transaction:  # the last statement, which was a transaction of its own, ends here
                self.quietly(self.tenant.end(commit=True))
        self.end_group()
        self.in_transaction = True

    def end(self, *, commit: bool) -> bool:
        """COMMIT or ROLLBACK; whether it was a commit. Raises DryRunStopped, OSError."""
        with self.lock():
            failed = self.tenant.failed
            self.quietly(self.tenant.end(commit=commit))
        self.end_group()
        self.in_transaction = False
        self.names.forget_portals()
        return commit and not failed

    def leave(self) -> None:
        """What is uncommitted is rolled back, as where a connection is closed. Raises DryRunStopped."""
        with self.session.lock:
            if self.session.closed or self.session.broken:
                return
            commands = self.tenant.end(commit=False)
            self.end_group()
            self.names.forget_all()
            self.quietly(commands)

    def quietly(self, commands: list[str]) -> bytes | None:
        """Commands of our own and closings, unseen by the client; the first error, if there is one."""
        hidden = self._hidden(commands, list(self.names.closings()))
        failure = None
        try:
            for kind, message in self._channel.converse(hidden, ends=len(hidden)):
                if kind == _ERROR:
                    failure = failure or message
        except Lost:
            pass  # the next statement is told so
        return failure

    def copy_format(self, text: str) -> bytes | None:
        """The server's answer to a COPY … FROM STDIN, which is not begun yet; None where it is an error.

        The data is waited for without the lock, and then all is done in one go.
        """
        with self.lock():
            try:
                commands = self.tenant.begin(
                    autocommit=not self.in_transaction, reads=False, goes_on=self.goes_on
                )
            except errors.InFailedSqlTransaction as error:
                self.say(messages.error(str(error), sqlstate="25P02"))
                return None
            hidden = self._hidden([*commands, "SAVEPOINT _oneoff_copy"])
            out, answer, failure = Outgoing([*hidden, messages.query(text)]), None, None
            for kind, message in self._conversation(out, len(hidden) + 1, text):
                if kind == _COPY_IN:
                    answer = message
                    out.add(_COPY_REFUSED)
                elif kind == _ERROR:
                    failure = failure or message
            if answer is None:
                self._judge(text, failure)
                return None
            self.quietly(["ROLLBACK TO SAVEPOINT _oneoff_copy", "RELEASE SAVEPOINT _oneoff_copy"])
            return answer

    def say(self, message: bytes) -> None:
        """To the client; that it is gone is told once the server has ended."""
        try:
            self._outbox.add(message)
        except OSError as error:
            self._unsent = self._unsent or error

    def _hidden(
        self, commands: list[str], closings: Iterable[bytes] = (), statements: Iterable[Statement] = ()
    ) -> list[bytes]:
        """What goes before the client's own messages; each part ends with a ReadyForQuery."""
        parts = [messages.query(";".join(commands))] if commands else []
        again = [one.parse for one in statements if one.forgotten not in (None, self.session.forgotten)]
        for statement in statements:
            statement.forgotten = self.session.forgotten
        if unseen := [*closings, *again]:
            parts.append(b"".join([*unseen, _SYNC]))
        return parts

    def _exchanged(self, hidden: list[bytes], batch: Batch) -> bool:
        end = [] if batch.simple else [_SYNC]
        out = Outgoing([b"".join([*hidden, *batch.messages, *end])], batch.data)
        unseen, failure, surprise = len(hidden), None, False
        log = _Log(self.tenant, batch)
        for kind, message in self._conversation(out, unseen + 1, log.text):
            if kind == _ERROR:
                failure = failure or message
            elif kind == _READY:
                unseen -= 1
            elif unseen > 0:
                continue
            elif kind == _COPY_IN:
                if not batch.data:
                    surprise = True
                    out.add(_COPY_REFUSED)
            else:
                log.note(kind, message)
                self.say(message)
        if surprise:
            raise self.session.notes.attempt(
                f"{start(log.text)} has a COPY … FROM STDIN among other statements; send it by itself"
            )
        log.close(failed=failure is not None)
        self._judge(log.text, failure)
        return failure is None

    def _conversation(self, out: Iterable[bytes], ends: int, text: str) -> Iterator[tuple[int, bytes]]:
        self.running = True
        try:
            yield from self._channel.converse(out, ends=ends)
        except Lost:
            self.session.check(start(text))
        finally:
            self.running = False

    def _judge(self, text: str, failure: bytes | None) -> None:
        if failure is None:
            self.session.check(start(text))
            return
        said = messages.fields(failure[5:])
        self.tenant.judge(text, sqlstate=said.get("C"), table=said.get("t"))
        self.say(failure)


class _Log:
    """Which statement the server's answers are for, and what the report is to say of it."""

    def __init__(self, tenant: Tenant, batch: Batch) -> None:
        self._statements = tenant.session.statements
        self._texts = batch.texts
        self._simple = batch.simple
        self._began = time.perf_counter()
        self._rows, self._last = 0, -1
        self.text = batch.texts[0].shown if batch.texts else "a statement"

    def note(self, kind: int, message: bytes) -> None:
        """An answer has come in."""
        if kind == _ROW:
            self._rows += 1
        elif kind in (_COMPLETE, _SUSPENDED, _EMPTY):
            said = rows(message[5:-1].decode("utf-8", "replace")) if kind == _COMPLETE else self._rows
            self._last, self._rows = said, 0
            if not self._simple and self._texts:
                self._add(self._texts.popleft().shown)
                self.text = self._texts[0].shown if self._texts else self.text

    def close(self, *, failed: bool) -> None:
        """All answers are there."""
        if self._simple and not failed:
            self._add(self.text)

    def _add(self, text: str) -> None:
        now = time.perf_counter()
        self._statements.add(text, self._last, now - self._began)
        self._began = now
