"""HTTP/1.1 to one server, by the standard library: connections that are kept, answers whole or as they come.

Libraries do it with more comfort. Their import alone takes longer than kubectl takes to create a Job.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlencode

from oneoff.kube.api.connection.route import Route, readable

TIMEOUT: Final = 10.0
"""Seconds to connect, and for an answer to begin."""
AT_ONCE: Final = 3
"""Connections for answers that are read whole: more of them cost more than they save."""

_PIECE: Final = 65536
_GZIP: Final = 16 + zlib.MAX_WBITS


class NoAnswer(Exception):
    """A request has none; its cause says why."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("no answer")
        self.sent = sent
        """Whether the server may have carried it out all the same."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked, and where below the server's URL."""

    method: str = "GET"
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    stream: bool = False
    """Whether its answer is read as it comes."""
    timeout: float = TIMEOUT
    """Seconds of silence after which the connection counts as lost."""


class Answer:
    """What a server said."""

    def __init__(self, response: http.client.HTTPResponse, carrier: socket.socket) -> None:
        self.code = response.status
        self.headers = response.headers
        self.body = b""
        """All of it, unless it is a stream."""
        self._response = response
        self._carrier = carrier

    @property
    def is_success(self) -> bool:
        return http.client.OK <= self.code < http.client.MULTIPLE_CHOICES

    def read(self) -> None:
        """Read it to its end. Raises what the connection does, and zlib.error."""
        said = self._response.read()
        packed = self.headers.get("Content-Encoding") == "gzip"
        self.body = zlib.decompress(said, _GZIP) if packed else said

    def lines(self, *, whole: bool) -> Iterator[bytes]:
        """The lines of a stream, with their ends.

        Args:
            whole: What comes after the last end of a line is no line.

        Raises:
            NoAnswer: the connection was lost in mid-stream.
        """
        parts: list[bytes] = []
        for piece in self._pieces():
            for line in io.BytesIO(piece):
                parts.append(line)
                if line.endswith(b"\n"):
                    yield b"".join(parts)
                    parts = []
        rest = b"".join(parts)
        if rest and not whole:
            yield rest

    def cut(self) -> None:
        """Let whatever thread reads it see a lost connection. Raises OSError where it is closed already."""
        socket.socket.shutdown(self._carrier, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close its connection: what is left of a stream is not read."""
        self._response.close()
        self._carrier.close()

    def _pieces(self) -> Iterator[bytes]:
        try:
            while piece := self._response.read1(_PIECE):
                yield piece
            if self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(sent=True) from error


class Connections:
    """To one server, with one certificate; any thread may ask."""

    def __init__(
        self, url: SplitResult, route: Route, *, tls: ssl.SSLContext | None, tls_name: str | None
    ) -> None:
        self._url = url
        self._route = route
        self._tls = tls
        self._tls_name = tls_name or url.hostname
        self._host = url.netloc.rpartition("@")[2]
        self._root = f"{url.scheme}://{self._host}" if route.whole else ""
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._turns = threading.Semaphore(AT_ONCE)

    def send(self, request: Request, headers: Iterable[tuple[str, str]]) -> Answer:
        """The answer, read to its end unless it is a stream that succeeds.

        Raises:
            NoAnswer: there is none.
        """
        if request.stream:
            return self._send(request, headers)
        with self._turns:
            return self._send(request, headers)

    def close(self) -> None:
        """Close what nobody asks over."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _send(self, request: Request, headers: Iterable[tuple[str, str]]) -> Answer:
        connection = self._taken() or self._opened()
        carrier = connection.sock
        sent = False
        try:
            carrier.settimeout(request.timeout)
            self._say_head(connection, request, headers)
            sent = True
            with contextlib.suppress(ConnectionError, ssl.SSLEOFError):  # why it hung up is still to be read
                connection.endheaders(request.body)
            answer = Answer(connection.getresponse(), carrier)
            if request.stream and answer.is_success:
                return answer
            answer.read()
        except (OSError, ValueError, http.client.HTTPException, zlib.error) as error:
            connection.close()
            raise NoAnswer(sent=sent) from error
        if connection.sock is not None:  # else the server has it closed
            with self._lock:
                self._idle.append(connection)
        return answer

    def _taken(self) -> http.client.HTTPConnection | None:
        """One that is kept, and that the server has not ended meanwhile."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not readable([connection.sock], 0):
                return connection
            connection.close()

    def _opened(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._url.hostname or "")
        try:
            connection.sock = self._route.connect(TIMEOUT)
            if self._tls is not None:
                connection.sock = self._tls.wrap_socket(connection.sock, server_hostname=self._tls_name)
        except (OSError, ValueError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswer(sent=False) from error
        return connection

    def _say_head(
        self, connection: http.client.HTTPConnection, request: Request, headers: Iterable[tuple[str, str]]
    ) -> None:
        query = f"?{urlencode(request.query)}" if request.query else ""
        target = f"{self._root}{self._url.path.rstrip('/')}/{request.path}{query}"
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        known = {"Host": self._host, "Accept": "application/json", **self._route.headers}
        known |= {} if request.stream else {"Accept-Encoding": "gzip"}
        if request.body is not None:
            known |= {"Content-Type": request.content_type, "Content-Length": str(len(request.body))}
        for name, value in (*known.items(), *headers):
            connection.putheader(name, value.encode())
