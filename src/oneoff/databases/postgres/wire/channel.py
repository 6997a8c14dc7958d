"""Raw messages to the real server and back, over the socket of the session's libpq connection.

libpq has no way to pass messages on: it knows one format for all columns, no row limit, no portal. While it
is idle its socket can be used beside it: everything that is sent here ends with a ReadyForQuery, and
everything up to that is read. Where the transaction's status has changed, an empty query tells libpq.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from psycopg import pq

from oneoff.databases.postgres.wire.messages import FROM_SERVER
from oneoff.errors import DryRunUnavailable

_BLOCK = 1 << 16
_HEADER = 5
_STATUS = {
    b"I": pq.TransactionStatus.IDLE,
    b"T": pq.TransactionStatus.INTRANS,
    b"E": pq.TransactionStatus.INERROR,
}
_KINDS = {kind[0] for kind in FROM_SERVER}
_READY = ord("Z")
_PARAMETER = ord("S")


class Lost(Exception):
    """The server is gone, or speaks something else."""


class Channel:
    """To be used under the session's lock, while libpq is idle."""

    def __init__(self, pgconn: Any) -> None:
        """Raises DryRunUnavailable where something that cannot be used here encrypts the connection."""
        self._pgconn = pgconn
        self._stream = _stream(pgconn)
        self._unread = b""
        self.parameters: dict[bytes, bytes] = {}
        """What the server has said of its settings since; libpq has not seen it."""

    def converse(self, out: Iterable[bytes], *, ends: int) -> Iterator[tuple[int, bytes]]:
        """Send, and give each message that comes back, until so many ReadyForQuery were among them.

        ``out`` is asked again after its end: an :class:`Outgoing` may have got more meanwhile. To be consumed
        whole. Sending and reading go on at the same time: a server that has much to say stops listening until
        it was heard.

        Raises:
            Lost: the connection is gone; libpq knows by then.
        """
        chunks = iter(out)
        waiting, status = memoryview(b""), b""
        try:
            while ends:
                waiting = waiting or memoryview(next(chunks, b""))
                sent = self._stream.send(waiting) if waiting else 0
                waiting = waiting[sent:]
                block = self._stream.receive()
                if not (block or sent):
                    self._stream.wait(writing=bool(waiting))
                for kind, message in self._messages(block):
                    if kind == _READY:
                        ends, status = ends - 1, message[5:6]
                    yield kind, message
        except OSError as error:
            self._tell_libpq()
            raise Lost(str(error)) from error
        if status and _STATUS.get(status) != self._pgconn.transaction_status:
            self._tell_libpq()

    def _messages(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        data = self._unread + block if self._unread else block
        place, size = 0, len(data)
        while size - place >= _HEADER:
            length = 1 + int.from_bytes(data[place + 1 : place + _HEADER])
            if data[place] not in _KINDS or length < _HEADER:
                raise OSError("the server sent something that is no message")
            if size - place < length:
                break
            message = data[place : place + length]
            if data[place] == _PARAMETER:
                name, value = message[_HEADER:-1].split(b"\0")
                self.parameters[name] = value
            yield data[place], message
            place += length
        self._unread = data[place:]

    def _tell_libpq(self) -> None:
        self._pgconn.exec_(b"")


class Outgoing:
    """Bytes to be sent one after the other; more may be added while they are."""

    def __init__(self, *chunks: Iterable[bytes]) -> None:
        self._chunks = deque(chunks)
        self._now: Iterator[bytes] = iter(())

    def add(self, chunk: bytes) -> None:
        self._chunks.append([chunk])

    def __iter__(self) -> Outgoing:
        return self

    def __next__(self) -> bytes:
        while True:
            for chunk in self._now:
                return chunk
            if not self._chunks:
                raise StopIteration
            self._now = iter(self._chunks.popleft())


class _Plain:
    """A socket as it is; libpq has made it non-blocking."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = {True: select.poll(), False: select.poll()}
        self._poll[True].register(descriptor, select.POLLIN | select.POLLOUT)
        self._poll[False].register(descriptor, select.POLLIN)

    def send(self, data: memoryview) -> int:
        """How many bytes were taken."""
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0

    def receive(self) -> bytes:
        """What is there, and nothing where nothing is. Raises OSError at the end."""
        try:
            block = os.read(self._descriptor, _BLOCK)
        except BlockingIOError:
            return b""
        if not block:
            raise ConnectionResetError("the server closed the connection")
        return block

    def wait(self, *, writing: bool) -> None:
        """Until something can be read, or written."""
        self._poll[writing].poll()


def _stream(pgconn: Any) -> Any:
    if getattr(pgconn, "used_gssapi", False):
        raise DryRunUnavailable(
            "drivers other than psycopg 3 cannot share a connection that GSSAPI encrypts",
            next_step="use psycopg 3 in this task, or gssencmode=disable",
        )
    if not pgconn.ssl_in_use:
        return _Plain(pgconn.socket)
    from oneoff.databases.postgres.wire.encrypted import Encrypted

    try:
        return Encrypted(pgconn, _Plain(pgconn.socket))
    except OSError as error:
        raise DryRunUnavailable(
            f"drivers other than psycopg 3 cannot share this encrypted connection: {error}",
            next_step="use psycopg 3 in this task, or install its binary package (psycopg[binary])",
        ) from error
