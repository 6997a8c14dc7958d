"""A client that sends whatever bytes a test wants, and reads messages."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from oneoff.databases.postgres.wire.messages import frame
from oneoff.databases.postgres.wire.server import Address

Message = tuple[bytes, bytes]


def start(user: str, database: str, version: int = 3 << 16, **more: str) -> bytes:
    """A StartupMessage."""
    values = {"user": user, "database": database} | more
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in values.items()) + b"\0"
    return struct.pack("!ii", len(body) + 8, version) + body


class Raw:
    """A connection to the wire's server."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.socket = socket.create_connection((address.host, address.port), timeout=20)
        self.greeting: list[Message] = []

    def admitted(self) -> Raw:
        """Start up and say the password."""
        self.send(start(self.address.user, self.address.database))
        self.send(frame(b"p", self.address.password.encode() + b"\0"))
        self.greeting = self.until_ready()
        return self

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(messages))

    def message(self) -> Message | None:
        """The next one; None at the end of the connection."""
        head = self._exactly(5)
        if head is None:
            return None
        return head[:1], self._exactly(int.from_bytes(head[1:]) - 4) or b""

    def until_ready(self) -> list[Message]:
        """Everything up to ReadyForQuery, or the end."""
        seen = []
        while message := self.message():
            seen.append(message)
            if message[0] == b"Z":
                break
        return seen

    def kinds(self) -> str:
        """The kinds of what comes until ReadyForQuery, notices left out."""
        return "".join(kind.decode() for kind, _ in self.until_ready() if kind not in (b"N", b"S"))

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                block = self.socket.recv(size - len(data))
            except ConnectionResetError:
                return None
            if not block:
                return None
            data += block
        return data


@contextlib.contextmanager
def admitted(address: Address) -> Iterator[Raw]:
    """A client that is in, for the time of a block."""
    client = Raw(address)
    try:
        yield client.admitted()
    finally:
        client.close()


def parse(text: str, name: str = "") -> bytes:
    return frame(b"P", name.encode() + b"\0" + text.encode() + b"\0" + struct.pack("!h", 0))


def bind(portal: str = "", statement: str = "", *values: str, formats: tuple[int, ...] = ()) -> bytes:
    body = portal.encode() + b"\0" + statement.encode() + b"\0" + struct.pack("!hh", 0, len(values))
    for value in values:
        body += struct.pack("!i", len(value.encode())) + value.encode()
    return frame(b"B", body + struct.pack(f"!h{len(formats)}h", len(formats), *formats))


def execute(portal: str = "", limit: int = 0) -> bytes:
    return frame(b"E", portal.encode() + b"\0" + struct.pack("!i", limit))


def query(text: str) -> bytes:
    return frame(b"Q", text.encode() + b"\0")


SYNC, FLUSH, TERMINATE = frame(b"S"), frame(b"H"), frame(b"X")
