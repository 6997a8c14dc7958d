"""Servers that answer as no Kubernetes does, and a proxy: for what stands between a user and a cluster."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def http(
    body: bytes | str | dict[str, Any] | list[Any], code: int = 200, headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole answer; JSON of what is no text."""
    text = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    given = {"Content-Type": "application/json", "Content-Length": str(len(text))} | dict(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {code} Said\r\n{head}Connection: close\r\n\r\n".encode() + text


_TLS_GREETING = 0x16


class Scripted:
    """Gives each request, on a connection of its own, the next of these answers; the last one for ever."""

    def __init__(self, *answers: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), self._dressed(connection) as dressed:
                self._answer(dressed)

    def _dressed(self, connection: socket.socket) -> socket.socket:
        connection.settimeout(5)
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            raise

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            got = connection.recv(65536)
            if not got:
                return
            request += got
            if request[0] == _TLS_GREETING:
                break  # it is no request, and waits for an answer that is none
        head, _, body = request.partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        connection.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


class Proxy:
    """Leads CONNECT, whole URLs and SOCKS 5 to wherever ``to`` says; or refuses with a code."""

    def __init__(
        self, to: int, *, refuses: int | None = None, tls: ssl.SSLContext | None = None, socks: bool = False
    ) -> None:
        self.requests: list[str] = []
        self._to = to
        self._refuses = refuses
        self._tls = tls
        self._socks = socks
        self._socket = socket.create_server(("127.0.0.1", 0))
        scheme = "socks5" if socks else "https" if tls else "http"
        self.url = f"{scheme}://user:secret@127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(connection,), daemon=True).start()

    def _lead(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
            opened.enter_context(connection)
            if self._tls is not None:
                connection = opened.enter_context(self._tls.wrap_socket(connection, server_side=True))
            if self._socks:
                self._lead_socks(connection)
                return
            head = connection.recv(65536)
            self.requests.append(head.split(b"\r\n")[0].decode())
            if self._refuses:
                connection.sendall(f"HTTP/1.1 {self._refuses} No\r\nContent-Length: 0\r\n\r\n".encode())
                return
            with socket.create_connection(("127.0.0.1", self._to)) as server:
                if head.startswith(b"CONNECT"):
                    connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    server.sendall(head)
                _join(connection, server)

    def _lead_socks(self, connection: socket.socket) -> None:
        """RFC 1928 and 1929: one method, one login, one name."""
        connection.recv(65536)
        connection.sendall(b"\x05\x02")
        login = connection.recv(65536)
        assert login == b"\x01\x04user\x06secret"
        connection.sendall(b"\x01\x00")
        wanted = connection.recv(65536)
        assert wanted[3] == 3, "a name, which the proxy looks up"
        self.requests.append(f"{wanted[5:-2].decode()}:{int.from_bytes(wanted[-2:], 'big')}")
        connection.sendall(b"\x05" + (b"\x02" if self._refuses else b"\x00") + b"\x00\x01" + bytes(6))
        if not self._refuses:
            with socket.create_connection(("127.0.0.1", self._to)) as server:
                _join(connection, server)


def _join(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_copy, args=(other, one), daemon=True)
    back.start()
    _copy(one, other)
    back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def kubeconfig(
    folder: Path, url: str, user: Mapping[str, Any] | None = None, cluster: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The environment of a user whose kubeconfig has this server and this user."""
    config = {
        "current-context": "prod",
        "clusters": [{"name": "c", "cluster": {"server": url, **(cluster or {})}}],
        "users": [{"name": "ann", "user": user or {"token": "admin-token"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "ann", "namespace": "shop"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return {"KUBECONFIG": str(path)}


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
