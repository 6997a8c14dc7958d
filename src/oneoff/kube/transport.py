"""HTTP to one API server: who we are, what is repeated, and what an answer that is none of ours means."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator
from typing import Final

import httpx2

from oneoff.errors import ClusterUnreachable
from oneoff.kube import refusals
from oneoff.kube.streams import Streams

STREAM: Final = {"stream": True}
"""Extension of a request whose answer is read as it comes."""

PATIENCE: Final = 30.0
"""Seconds for which a request is repeated."""

_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_NOTHING_DONE: Final = frozenset({429, 503})


class StreamLost(ClusterUnreachable):
    """The connection to the Kubernetes API server was lost in mid-stream."""


class Transport(httpx2.BaseTransport):
    """Sends, repeats what may be repeated, and raises a ClusterError for every answer that is not a 2xx."""

    def __init__(self, inner: httpx2.BaseTransport, headers: dict[str, str], namespace: str) -> None:
        self._inner = inner
        self._headers = headers
        self._namespace = namespace
        self.streams = Streams()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers.update(self._headers)
        read = request.method == "GET"
        until = time.monotonic() + PATIENCE
        pause = 0.1
        while True:
            try:
                response = self._inner.handle_request(request)
                if response.is_error or not request.extensions.get("stream"):
                    response.read()
            except httpx2.HTTPError as error:
                if not read or time.monotonic() > until:
                    raise ClusterUnreachable(f"{request.url.host}: {error}") from error
            else:
                if not response.is_error:
                    return response
                again = _AGAIN if read else _NOTHING_DONE
                if response.status_code not in again or time.monotonic() > until:
                    raise refusals.of(response.status_code, response.content)
                pause = max(pause, float(response.headers.get("Retry-After", 0)))
            self.streams.pause(pause * random.uniform(0.7, 1.0))
            pause = min(pause * 2, 5.0)

    def close(self) -> None:
        self._inner.close()


def lines(response: httpx2.Response) -> Iterator[bytes]:
    """The lines of a stream, with their ends. Raises StreamLost where it breaks."""
    begun: list[bytes] = []
    try:
        for chunk in response.iter_bytes():
            *whole, rest = io.BytesIO(chunk).readlines() or [b""]
            if rest.endswith(b"\n"):
                whole, rest = [*whole, rest], b""
            if whole and begun:
                whole[0] = b"".join([*begun, whole[0]])
                begun = []
            yield from whole
            if rest:
                begun.append(rest)
    except httpx2.HTTPError as error:
        raise StreamLost(f"the connection was lost: {error}") from error
    if begun:
        yield b"".join(begun)
