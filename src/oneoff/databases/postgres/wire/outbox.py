"""What a client is to be sent, so that nothing ever waits for a slow one but its own thread."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from pathlib import Path
from typing import IO, cast

_BLOCK = 1 << 16
_IN_MEMORY = 1 << 20
"""Bytes of one answer that wait in memory; what is beyond them waits in a file."""


def spool(folder: Path) -> IO[bytes]:
    """Room for bytes that wait: in memory, or in a file without a name if there are many."""
    return cast(IO[bytes], tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(folder)))


class Outbox:
    """Bytes for one client. ``add`` never waits, ``drain`` does: it is called without any lock."""

    def __init__(self, connection: socket.socket, folder: Path) -> None:
        self._connection = connection
        self.folder = folder
        self._fresh: list[bytes] = []
        self._size = 0
        self._waiting: IO[bytes] | None = None

    def add(self, message: bytes) -> None:
        """Send it soon. Raises OSError where the disk is full."""
        self._fresh.append(message)
        self._size += len(message)
        if self._size >= _BLOCK:
            self._push()

    def drain(self) -> None:
        """Send everything. Raises OSError where the client is gone."""
        if self._waiting is None:
            self._connection.sendall(self._taken())
            return
        self._waiting.write(self._taken())
        self._waiting.seek(0)
        while block := self._waiting.read(_BLOCK):
            self._connection.sendall(block)
        self._waiting.close()
        self._waiting = None

    def _push(self) -> None:
        data = memoryview(self._taken())
        if self._waiting is None:
            with contextlib.suppress(BlockingIOError):
                while data:
                    data = data[self._connection.send(data, socket.MSG_DONTWAIT) :]
        if data:
            self._waiting = self._waiting or spool(self.folder)
            self._waiting.write(data)

    def _taken(self) -> bytes:
        data = b"".join(self._fresh)
        self._fresh.clear()
        self._size = 0
        return data
