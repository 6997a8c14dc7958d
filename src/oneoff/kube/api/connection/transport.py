"""Requests to one API server: as whom, what is repeated, and an error of ours for all that is no 2xx."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from oneoff.errors import ClusterError, ClusterUnreachable
from oneoff.kube.api.connection import refusals, tls, unreachable
from oneoff.kube.api.connection.credentials import Login, impersonation
from oneoff.kube.api.connection.http import Answer, Connections, NoAnswer, Request
from oneoff.kube.api.connection.kubeconfig import Target
from oneoff.kube.api.connection.presented import Presented
from oneoff.kube.api.connection.refusals import About
from oneoff.kube.api.connection.route import route_to
from oneoff.kube.api.connection.streams import Streams
from oneoff.kube.api.connection.tls import Pair
from oneoff.version import __version__

_AGENT: Final = f"oneoff/{__version__}"
"""Who asks, for the cluster's own audit log."""
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_NOTHING_DONE: Final = frozenset({429, 503})
"""Where the server says that it has not even begun."""
_REVIEWS: Final = ("/selfsubjectreviews", "/selfsubjectaccessreviews", "/selfsubjectrulesreviews")
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


class Transport:
    """Sends, with credentials, and repeats what may be repeated.

    A read is repeated after a lost connection, and after 429, 500, 502, 503 and 504; a write only where it
    was not sent, or where the server says that it did nothing (429, 503).

    Raises:
        ClusterUnreachable: the proxy's URL is none.
    """

    def __init__(
        self, target: Target, login: Login, *, proxy: str | None = None, pace: Pace | None = None
    ) -> None:
        self._target = target
        self._login = login
        self._about = About(target.server.url, target.context, target.namespace)
        self._url = urlsplit(target.server.url)
        self._proxy = proxy
        self._route = route_to(self._url, proxy, partial(tls.of_proxy, target.server))
        self._pace = pace or Pace()
        self._fixed = [("User-Agent", _AGENT), *impersonation(target.login)]
        self._lock = threading.Lock()
        self._pools: dict[Pair | None, Connections] = {}
        self._answered = False
        self.streams = Streams()

    def send(self, request: Request) -> Answer:
        """A 2xx, with an object of JSON unless it is a stream.

        Raises:
            ClusterError: every other answer, and none.
        """
        start, pauses = time.monotonic(), self._pace.pauses()
        while True:
            answer = self._attempt(request)
            if isinstance(answer, Answer):
                return answer
            pause = max(next(pauses), answer.wait)
            patience = self._pace.patience if self._answered else self._pace.at_first
            if not answer.again or time.monotonic() - start + pause > patience:
                raise answer.error
            (self._pace.sleep or self.streams.pause)(pause)

    def lines(self, request: Request, *, whole: bool) -> Generator[bytes]:
        """The lines of a stream, with their ends.

        Args:
            whole: What comes after the last end of a line is no line.

        Raises:
            StreamLost: the connection was lost in mid-stream.
            ClusterError: as for ``send``.
        """
        answer = self.send(request)
        with self.streams.reading(answer):
            try:
                yield from answer.lines(whole=whole)
            except NoAnswer as error:
                lost = f"the connection to {self._url.hostname} was lost: {error.__cause__}"
                raise StreamLost(lost) from error

    def about(self, path: str = "") -> About:
        """For the words of an error."""
        return replace(self._about, path=path, advice=self._login.advice())

    def close(self) -> None:
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def _attempt(self, request: Request) -> Answer | _Failed:
        read = _is_read(request)
        try:
            presented = self._login.present()
            answer = self._send(request, presented)
            if answer.code == http.client.UNAUTHORIZED:
                fresh = self._login.renew(presented)
                answer = answer if fresh is None else self._send(request, fresh)
        except NoAnswer as error:
            failure = unreachable.of(error, self._target, self._proxy)
            return _Failed(_named(failure, read), failure.again and (read or not failure.sent))
        self._answered = True
        if answer.is_success and (request.stream or answer.body.lstrip()[:1] == b"{"):
            return answer
        return _Failed(
            refusals.of(answer.code, answer.body, self.about(f"/{request.path}")),
            again=_may_be_repeated(answer, read),
            wait=_retry_after(answer),
        )

    def _send(self, request: Request, presented: Presented) -> Answer:
        shown = [] if presented.authorization is None else [("Authorization", presented.authorization)]
        return self._pool(presented.pair).send(request, [*self._fixed, *shown])

    def _pool(self, pair: Pair | None) -> Connections:
        """One a certificate: a plugin gives another one, and streams go on over that they began with."""
        with self._lock:
            if pair not in self._pools:
                server = self._target.server
                context = tls.context(server, pair) if self._url.scheme == "https" else None
                self._pools[pair] = Connections(self._url, self._route, tls=context, tls_name=server.tls_name)
            return self._pools[pair]


def _is_read(request: Request) -> bool:
    return request.method == "GET" or request.path.endswith(_REVIEWS) or request.query.get("dryRun") == "All"


def _may_be_repeated(answer: Answer, read: bool) -> bool:
    """Whether it may be otherwise in a moment, and nothing is done twice."""
    if read:
        return answer.code in _AGAIN
    # A proxy says 503, too, of what it has passed on; it does not say so in JSON.
    own_words = answer.headers.get("Content-Type", "").startswith("application/json")
    return answer.code in _NOTHING_DONE and own_words


def _named(failure: unreachable.Failure, read: bool) -> ClusterError:
    if read or not failure.sent:
        return failure.error
    return ClusterUnreachable(
        f"{failure.error.message}: whether it did what was asked is not known",
        next_step="look before you repeat it",
    )


def _retry_after(answer: Answer) -> float:
    with suppress(ValueError):
        return float(answer.headers.get("Retry-After", 0))
    return 0.0  # a date: the API server gives seconds
