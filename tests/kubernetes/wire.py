"""A bare HTTP client for the fake's own tests: what is on the wire, and nothing around it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from tests.kubernetes.kinds import Object


@dataclass(frozen=True)
class Answer:
    """One whole answer."""

    code: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Wire:
    """Sends requests to one server as one user."""

    url: str
    token: str | None = "admin-token"
    agent: str = "curl/8.0"

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        **query: Any,
    ) -> Answer:
        connection = self.open(method, path, body, content_type, query)
        with contextlib.closing(connection):
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read().decode())

    def open(
        self, method: str, path: str, body: Any, content_type: str, query: Mapping[str, object]
    ) -> http.client.HTTPConnection:
        """A connection on which a request was sent."""
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        headers = {"User-Agent": self.agent, "Content-Type": content_type}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        given = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        full = path + (f"?{urlencode(query)}" if query else "")
        connection.request(method, full, given, headers)
        return connection

    def get(self, path: str, **query: Any) -> Any:
        return self.send("GET", path, **query).json()

    def watch(self, path: str, **query: Any) -> Stream:
        connection = self.open("GET", path, None, "application/json", {"watch": "1", **query})
        return Stream(connection)


@dataclass
class Stream:
    """A watch that is read in a thread: use it in a ``with``."""

    connection: http.client.HTTPConnection
    lines: list[Object] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    broken: bool = False
    """The connection was cut without an end."""

    def __enter__(self) -> Self:
        self.response = self.connection.getresponse()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.connection.sock.shutdown(2)
        self._thread.join()
        self.response.close()
        self.connection.close()

    def _read(self) -> None:
        left = b""
        try:
            while data := self.response.read1(65536):
                *lines, left = (left + data).split(b"\n")
                self.lines.extend(json.loads(line) for line in lines)
        except (http.client.HTTPException, OSError, ValueError):
            self.broken = True
        finally:
            self.ended.set()

    def types(self) -> list[str]:
        return [line["type"] for line in self.lines]
