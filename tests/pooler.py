"""A pooler for the tests: it passes a client's bytes on to the real server, and drops start-up options.

The start-up message is the only one without a type byte:
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROTOCOL_3 = 3
_SSL, _GSS = 80877103, 80877104


class Pooler:
    """Listens in a folder, as a server does, and remembers what clients asked."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = str(server / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self.queries: list[str] = []

    def serve(self) -> None:
        """Until it is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=[client], daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError, EOFError):
            server.connect(self._server)
            while (code := self._startup(client, server)) in (_SSL, _GSS):
                client.sendall(b"N")
            if code >> 16 == _PROTOCOL_3:
                threading.Thread(target=_copy, args=[server, client], daemon=True).start()
            while True:
                kind, length = struct.unpack("!cI", _read(client, 5))
                body = _read(client, length - 4)
                if kind in (b"Q", b"P"):
                    texts = body.split(b"\0")
                    self.queries.append(texts[0 if kind == b"Q" else 1].decode())
                server.sendall(kind + struct.pack("!I", length) + body)

    def _startup(self, client: socket.socket, server: socket.socket) -> int:
        length, code = struct.unpack("!II", _read(client, 8))
        body = _read(client, length - 8)
        if code >> 16 == _PROTOCOL_3:
            words = body.rstrip(b"\0").split(b"\0")
            kept = [pair for pair in zip(words[::2], words[1::2], strict=True) if pair[0] != b"options"]
            body = b"".join(b"%b\0%b\0" % pair for pair in kept) + b"\0"
        if code not in (_SSL, _GSS):
            server.sendall(struct.pack("!II", len(body) + 8, code) + body)
        return int(code)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


def _read(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


@contextmanager
def pooler(folder: Path, server: Path) -> Iterator[Pooler]:
    """A pooler in ``folder`` before the server whose socket is in the folder ``server``."""
    pooler = Pooler(folder, server)
    thread = threading.Thread(target=pooler.serve)
    thread.start()
    try:
        yield pooler
    finally:
        pooler.close()
        thread.join()
