"""The statements that the wire carries out itself: a transaction's ends, savepoints, COPY … FROM STDIN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from oneoff.databases.postgres.wire import messages
from oneoff.databases.postgres.wire.commands import Command, Kind, own_name, plain_name
from oneoff.databases.postgres.wire.inbox import Gone, Inbox
from oneoff.databases.postgres.wire.literals import Said
from oneoff.databases.postgres.wire.outbox import Outbox, spool
from oneoff.databases.postgres.wire.seat import Batch, Seat

_BLOCK = 1 << 16
_FAILED = messages.error(
    "current transaction is aborted, commands ignored until end of transaction block", sqlstate="25P02"
)


class Doing:
    """For one client. Raises what :class:`.Seat` raises."""

    def __init__(self, seat: Seat, inbox: Inbox, outbox: Outbox) -> None:
        self._seat = seat
        self._inbox = inbox
        self._outbox = outbox

    def do(self, command: Command, said: Said) -> bool:
        """Carry it out and answer; whether it went well."""
        if command.kind in _NEED_NO_FAILURE and self._seat.status == b"E":
            self._outbox.add(_FAILED)
            return False
        return _METHODS[command.kind](self, command, said)

    def _begin(self, command: Command, said: Said) -> bool:
        self._seat.begin()
        return self._done(command.tag)

    def _commit(self, command: Command, said: Said) -> bool:
        return self._done("COMMIT" if self._seat.end(commit=True) else "ROLLBACK")

    def _rollback(self, command: Command, said: Said) -> bool:
        self._seat.end(commit=False)
        return self._done("ROLLBACK")

    def _savepoint(self, command: Command, said: Said) -> bool:
        """A name of the tenant's own, because savepoints of one name hide each other."""
        if not self._seat.in_transaction:
            self._outbox.add(
                messages.error(
                    f"{command.kind.name} can only be used in transaction blocks", sqlstate="25P01"
                )
            )
            return False
        verb = _VERBS[command.kind]
        batch = Batch(simple=True)
        batch.add(messages.query(f"{verb} {own_name(self._seat.tenant.number, command.name)}"))
        batch.texts.append(said)
        with self._seat.lock():
            if command.kind is Kind.ROLLBACK_TO:
                self._seat.tenant.check_rollback_to()
            elif command.kind is Kind.RELEASE and self._seat.keeps_savepoints:
                return self._done(command.tag)
            return self._seat.run(batch)

    def _deallocate(self, command: Command, said: Said) -> bool:
        if command.name.lower() == "all":
            self._seat.names.forget_all()
            return self._done("DEALLOCATE ALL")
        if self._seat.names.forget_statement(plain_name(command.name).encode()):
            return self._done(command.tag)
        batch = Batch(simple=True)  # prepared by SQL
        batch.add(messages.query(said.text))
        batch.texts.append(said)
        return self._seat.run(batch)

    def _clean(self, command: Command, said: Said) -> bool:
        if "DISCARD ALL" in command.tags:
            self._seat.names.forget_all()
        if "CLOSE CURSOR ALL" in command.tags:
            self._seat.names.forget_portals()
        for tag in command.tags:
            if tag.startswith("SELECT"):
                self._outbox.add(messages.VOID_ROW)
            self._done(tag)
        return True

    def _copy_in(self, command: Command, said: Said) -> bool:
        """https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY"""
        answer = self._seat.copy_format(said.text)
        if answer is None:
            return False
        self._outbox.add(answer)
        self._outbox.drain()
        with spool(self._outbox.folder) as data:
            end = self._gathered(data)
            batch = Batch(simple=True, reads=False, data=_blocks(data, end))
            batch.add(messages.query(said.text))
            batch.texts.append(said)
            return self._seat.run(batch)

    def _gathered(self, data: IO[bytes]) -> bytes:
        """Keep what the client has to say; the message that ends it."""
        while True:
            kind, body = self._inbox.next()
            if kind == messages.COPY_DATA:
                data.write(messages.frame(kind, body))
            elif kind in (messages.COPY_DONE, messages.COPY_FAIL):
                return messages.frame(kind, body)
            elif kind == messages.TERMINATE:
                raise Gone
            elif kind not in (messages.SYNC, messages.FLUSH):
                raise messages.Malformed(f"message {kind!r} in the middle of a COPY")

    def _done(self, tag: str) -> bool:
        self._outbox.add(messages.complete(tag))
        return True


def _blocks(data: IO[bytes], end: bytes) -> Iterator[bytes]:
    data.seek(0)
    while block := data.read(_BLOCK):
        yield block
    yield end


_METHODS: dict[Kind, Callable[[Doing, Command, Said], bool]] = {
    Kind.BEGIN: Doing._begin,
    Kind.COMMIT: Doing._commit,
    Kind.ROLLBACK: Doing._rollback,
    Kind.SAVEPOINT: Doing._savepoint,
    Kind.RELEASE: Doing._savepoint,
    Kind.ROLLBACK_TO: Doing._savepoint,
    Kind.COPY_IN: Doing._copy_in,
    Kind.DEALLOCATE: Doing._deallocate,
    Kind.CLEAN: Doing._clean,
}
_VERBS = {
    Kind.SAVEPOINT: "SAVEPOINT",
    Kind.RELEASE: "RELEASE SAVEPOINT",
    Kind.ROLLBACK_TO: "ROLLBACK TO SAVEPOINT",
}
_NEED_NO_FAILURE = {Kind.BEGIN, Kind.DEALLOCATE, Kind.CLEAN}
"""What a server does not do either while the transaction has failed."""
