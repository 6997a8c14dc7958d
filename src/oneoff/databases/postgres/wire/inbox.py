"""The messages of one client, as they come in."""

from __future__ import annotations

import socket

from oneoff.databases.postgres.wire.messages import LONGEST, LONGEST_START, Malformed

_BLOCK = 1 << 16


class Gone(Exception):
    """The client has closed its connection."""


class Inbox:
    """Reads whole messages from a socket. Every method raises Gone, Malformed and OSError."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = bytearray()
        self._longest = LONGEST_START

    def start(self) -> bytes:
        """The first message, which has no kind."""
        return self._taken(0)

    def next(self) -> tuple[bytes, bytes]:
        """The kind and the body of the next message."""
        self._fill(1)
        kind = bytes(self._data[:1])
        return kind, self._taken(1)

    def admit(self) -> None:
        """The client has said its password: from now on its messages may be as long as the server's."""
        self._longest = LONGEST

    def _taken(self, offset: int) -> bytes:
        self._fill(offset + 4)
        length = int.from_bytes(self._data[offset : offset + 4])
        if not 4 <= length <= self._longest:
            raise Malformed(f"a message of {length} bytes")
        self._fill(offset + length)
        body = bytes(self._data[offset + 4 : offset + length])
        del self._data[: offset + length]
        return body

    def _fill(self, size: int) -> None:
        while len(self._data) < size:
            block = self._connection.recv(max(_BLOCK, min(size - len(self._data), 1 << 20)))
            if not block:
                raise Gone
            self._data += block
