"""HTTP to one API server: who we are, what is repeated, and an error of ours for all that is no answer.

Whatever sends through it, lightkube's client or our own, meets a 2xx or a ClusterError.
"""

from __future__ import annotations

import io
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import httpx2

from oneoff.errors import ClusterError, ClusterUnreachable, UsageError
from oneoff.kube.api.connection import refusals, tls, unreachable
from oneoff.kube.api.connection.credentials import Login, impersonation
from oneoff.kube.api.connection.kubeconfig import Target
from oneoff.kube.api.connection.presented import Presented
from oneoff.kube.api.connection.refusals import About
from oneoff.kube.api.connection.streams import Streams
from oneoff.kube.api.connection.tls import Pair
from oneoff.version import __version__

STREAM: Final = "stream"
"""Extension of a request whose answer is read as it comes."""
TIMEOUT: Final = 10.0
"""Seconds to connect, and for an answer to begin."""

_AGENT: Final = f"oneoff/{__version__}"
"""Who asks, for the cluster's own audit log."""
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_NOTHING_DONE: Final = frozenset({429, 503})
"""Where the server says that it has not even begun."""
_REVIEWS: Final = ("/selfsubjectreviews", "/selfsubjectaccessreviews")
"""Questions that are asked with a POST."""


class StreamLost(ClusterUnreachable):
    """The connection to the API server was lost in mid-stream."""


@dataclass(frozen=True)
class Pace:
    """How long a request is repeated, in seconds, and how often."""

    patience: float = 30.0
    """A server that is restarted is away for about ten."""
    at_first: float = 5.0
    """Where nothing has ever answered, it is more likely the wrong address than a restart."""
    first: float = 0.1
    longest: float = 5.0
    sleep: Callable[[float], None] | None = None
    """In place of a pause that hanging up ends."""

    def pauses(self) -> Iterator[float]:
        """Twice as long each time, less a part by chance, so that clients do not come back all at once."""
        pause = self.first
        while True:
            yield pause * random.uniform(0.5, 1.0)
            pause = min(pause * 2, self.longest)


@dataclass(frozen=True)
class _Failed:
    error: ClusterError
    again: bool
    wait: float = 0.0


class Transport(httpx2.BaseTransport):
    """Sends, with credentials, and repeats what may be repeated.

    A read is repeated after a lost connection, and after 429, 500, 502, 503 and 504; a write only where it
    was not sent, or where the server says that it did nothing (429, 503).
    """

    def __init__(
        self, target: Target, login: Login, *, proxy: str | None = None, pace: Pace | None = None
    ) -> None:
        self._target = target
        self._login = login
        self._about = About(target.server.url, target.context, target.namespace)
        self._proxy = proxy
        self._pace = pace or Pace()
        self._fixed = impersonation(target.login)
        self._lock = threading.Lock()
        self._pools: dict[Pair | None, httpx2.HTTPTransport] = {}
        self._answered = False
        self.streams = Streams()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        start, pauses = time.monotonic(), self._pace.pauses()
        while True:
            answer = self._attempt(request)
            if isinstance(answer, httpx2.Response):
                return answer
            pause = max(next(pauses), answer.wait)
            patience = self._pace.patience if self._answered else self._pace.at_first
            if not answer.again or time.monotonic() - start + pause > patience:
                raise answer.error
            (self._pace.sleep or self.streams.pause)(pause)

    def about(self, path: str = "") -> About:
        """For the words of an error."""
        return replace(self._about, path=path, advice=self._login.advice())

    def close(self) -> None:
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def _attempt(self, request: httpx2.Request) -> httpx2.Response | _Failed:
        read = _is_read(request)
        try:
            presented = self._login.present()
            response = self._send(request, presented)
            if response.status_code == httpx2.codes.UNAUTHORIZED:
                fresh = self._login.renew(presented)
                response = response if fresh is None else self._send(request, fresh)
        except httpx2.HTTPError as error:
            failure = unreachable.of(error, self._target, self._proxy)
            return _Failed(_named(failure, read), failure.again and (read or not failure.sent))
        self._answered = True
        if response.is_success and (request.extensions.get(STREAM) or response.content.lstrip()[:1] == b"{"):
            return response
        return _Failed(
            refusals.of(response.status_code, response.content, self.about(request.url.path)),
            again=_may_be_repeated(response, read),
            wait=_retry_after(response),
        )

    def _send(self, request: httpx2.Request, presented: Presented) -> httpx2.Response:
        headers = [(name, value) for name, value in request.headers.multi_items() if name != "user-agent"]
        headers += [("User-Agent", _AGENT), *self._fixed]
        if presented.authorization is not None:
            headers.append(("Authorization", presented.authorization))
        extensions = dict(request.extensions)
        if self._target.server.tls_name:
            extensions["sni_hostname"] = self._target.server.tls_name
        dressed = httpx2.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=extensions
        )
        response = self._pool(presented.pair).handle_request(dressed)
        if not (response.is_success and request.extensions.get(STREAM)):
            try:
                response.read()
            finally:
                response.close()
        return response

    def _pool(self, pair: Pair | None) -> httpx2.HTTPTransport:
        """One a certificate: a plugin gives another one, and streams go on over that they began with."""
        with self._lock:
            if pair not in self._pools:
                self._pools[pair] = self._made(pair)
            return self._pools[pair]

    def _made(self, pair: Pair | None) -> httpx2.HTTPTransport:
        try:
            return httpx2.HTTPTransport(
                verify=tls.context(self._target.server, pair), proxy=self._proxy, socket_options=_keepalive()
            )
        except ImportError as error:
            raise UsageError(str(error), next_step="pip install 'httpx2[socks]'") from error
        except (ValueError, httpx2.InvalidURL) as error:
            raise ClusterUnreachable(f"{unreachable.named(self._proxy)} is no proxy: {error}") from error


def lines(response: httpx2.Response, *, whole: bool) -> Iterator[bytes]:
    """The lines of a stream, with their ends. Raises StreamLost where it breaks.

    Args:
        whole: what comes after the last end of line is no line.
    """
    parts: list[bytes] = []
    try:
        for chunk in response.iter_bytes():
            for line in io.BytesIO(chunk):
                parts.append(line)
                if line.endswith(b"\n"):
                    yield b"".join(parts)
                    parts = []
    except httpx2.HTTPError as error:
        raise StreamLost(f"the connection to {response.request.url.host} was lost: {error}") from error
    rest = b"".join(parts)
    if rest and not whole:
        yield rest


def _is_read(request: httpx2.Request) -> bool:
    return (
        request.method == "GET"
        or request.url.path.endswith(_REVIEWS)
        or request.url.params.get("dryRun") == "All"
    )


def _may_be_repeated(response: httpx2.Response, read: bool) -> bool:
    """Whether it may be otherwise in a moment, and nothing is done twice."""
    if read:
        return response.status_code in _AGAIN
    # A proxy says 503, too, of what it has passed on; it does not say so in JSON.
    own_words = response.headers.get("Content-Type", "").startswith("application/json")
    return response.status_code in _NOTHING_DONE and own_words


def _named(failure: unreachable.Failure, read: bool) -> ClusterError:
    if read or not failure.sent:
        return failure.error
    return ClusterUnreachable(
        f"{failure.error.message}: whether it did what was asked is not known",
        next_step="look before you repeat it",
    )


def _retry_after(response: httpx2.Response) -> float:
    with suppress(ValueError):
        return float(response.headers.get("Retry-After", 0))
    return 0.0  # a date: the API server gives seconds


def _keepalive() -> list[tuple[int, int, int]]:
    """Let the system notice within a minute that nobody is there any more, however silent a log is."""
    wanted = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    return [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *(
            (socket.IPPROTO_TCP, getattr(socket, name), value)
            for name, value in wanted.items()
            if hasattr(socket, name)
        ),
    ]
