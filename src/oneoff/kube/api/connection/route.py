"""The way to an API server: straight there, or through a proxy."""

from __future__ import annotations

import base64
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from oneoff.errors import ClusterUnreachable, UsageError

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_PIECE: Final = 65536


class ProxyRefused(OSError):
    """A proxy answered, and does not let us through."""


class Route(Protocol):
    """How a connection to one server is opened."""

    whole: bool
    """Whether a request has to name the whole URL: a proxy of plain HTTP passes on what it reads."""
    headers: dict[str, str]
    """What a request shows to that proxy."""

    def connect(self, timeout: float) -> socket.socket:
        """A connection, without the server's own TLS. Raises OSError."""


def route_to(url: SplitResult, proxy: str | None, trust: Callable[[], ssl.SSLContext]) -> Route:
    """The way to the server of a URL.

    Args:
        trust: Whom a proxy of HTTPS is believed to be.

    Raises:
        ClusterUnreachable: the proxy's URL is none.
    """
    host, port = url.hostname or "", port_of(url)
    if proxy is None:
        return _Straight(host, port)
    try:
        parts = urlsplit(proxy)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("its URL begins with none of " + ", ".join(f"{name}://" for name in _PORTS))
        if parts.scheme.startswith("socks"):
            return _Socks(host, port, parts)
        return _HttpProxy(host, port, parts, trust, whole=url.scheme == "http")
    except ValueError as error:
        raise ClusterUnreachable(f"{without_password(proxy)} is no proxy: {error}") from error


def port_of(url: SplitResult) -> int:
    """The port of a URL, said or not. Raises ValueError."""
    return url.port or _PORTS.get(url.scheme, 443)


def without_password(proxy: str | None) -> str:
    """The proxy without the password that its URL may hold."""
    return "" if proxy is None else proxy.rpartition("@")[2]


def readable(carriers: Sequence[socket.socket], seconds: float | None) -> list[socket.socket]:
    """Those of them at which something has come, be it their end."""
    waiting = select.poll()  # select() takes no more than 1,024 open files
    for carrier in carriers:
        waiting.register(carrier, select.POLLIN)
    found = {number for number, _ in waiting.poll(None if seconds is None else seconds * 1000)}
    return [carrier for carrier in carriers if carrier.fileno() in found]


class _Straight:
    whole = False

    def __init__(self, host: str, port: int) -> None:
        self.headers: dict[str, str] = {}
        self._address = host, port

    def connect(self, timeout: float) -> socket.socket:
        return _opened(self._address, timeout)


class _HttpProxy:
    """CONNECT (RFC 9110, 9.3.6); for a server of plain HTTP the request itself, with its whole URL."""

    def __init__(
        self, host: str, port: int, proxy: SplitResult, trust: Callable[[], ssl.SSLContext], *, whole: bool
    ) -> None:
        self.whole = whole
        self._shown = _basic(proxy)
        self.headers = self._shown if whole else {}
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._address = proxy.hostname or "", port_of(proxy)
        self._trust = trust if proxy.scheme == "https" else None

    def connect(self, timeout: float) -> socket.socket:
        carrier = _opened(self._address, timeout)
        try:
            if self._trust is not None:
                dressed = self._trust().wrap_socket(carrier, server_hostname=self._address[0])
                carrier = dressed if self.whole else _undressed(dressed)
                carrier.settimeout(timeout)
            if not self.whole:
                self._tunnel(carrier)
        except BaseException:
            carrier.close()
            raise
        return carrier

    def _tunnel(self, carrier: socket.socket) -> None:
        shown = [f"{name}: {value}" for name, value in {"Host": self._target, **self._shown}.items()]
        carrier.sendall("\r\n".join([f"CONNECT {self._target} HTTP/1.1", *shown, "", ""]).encode("ascii"))
        answer = http.client.HTTPResponse(carrier, method="CONNECT")
        try:
            answer.begin()
        except http.client.HTTPException as error:
            raise ProxyRefused(f"its answer is no HTTP: {error}") from error
        finally:
            answer.close()
        if answer.status != http.client.OK:
            raise ProxyRefused(f"{answer.status} {answer.reason}")


class _Socks:
    """SOCKS 5 (RFC 1928), by python-socks; the proxy looks the name up, as for kubectl."""

    whole = False

    def __init__(self, host: str, port: int, proxy: SplitResult) -> None:
        try:
            from python_socks import ProxyError, ProxyType
            from python_socks.sync import Proxy
        except ImportError as error:
            raise UsageError(
                f"a proxy of SOCKS needs python-socks, which cannot be imported: {error}",
                next_step="pip install python-socks",
            ) from error
        self.headers: dict[str, str] = {}
        self._address = host, port
        self._refused = ProxyError
        self._proxy = Proxy(
            ProxyType.SOCKS5,
            proxy.hostname or "",
            port_of(proxy),
            *_login(proxy),
            rdns=True,
        )

    def connect(self, timeout: float) -> socket.socket:
        try:
            return _kept_alive(self._proxy.connect(*self._address, timeout=timeout))
        except self._refused as error:
            raise ProxyRefused(str(error)) from error


def _login(proxy: SplitResult) -> tuple[str | None, str | None]:
    if proxy.username is None:
        return None, None
    return unquote(proxy.username), unquote(proxy.password or "")


def _basic(proxy: SplitResult) -> dict[str, str]:
    user, password = _login(proxy)
    if user is None:
        return {}
    return {"Proxy-Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _opened(address: tuple[str, int], timeout: float) -> socket.socket:
    return _kept_alive(socket.create_connection(address, timeout))


def _kept_alive(carrier: socket.socket) -> socket.socket:
    """Let the system notice within a minute that nobody is there any more, however silent a log is."""
    wanted = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    carrier.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**wanted, "TCP_NODELAY": 1}.items():  # a request's head and body go apart
        if hasattr(socket, name):
            carrier.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return carrier


def _undressed(outer: ssl.SSLSocket) -> socket.socket:
    """A plain end of a TLS connection: Python can put TLS over a socket of the system only."""
    near, far = socket.socketpair()
    threading.Thread(target=_carry, args=(outer, far), daemon=True).start()
    return near


def _carry(outer: ssl.SSLSocket, far: socket.socket) -> None:
    with outer, far, suppress(OSError):
        while True:
            outer.settimeout(0)  # what came may be none of the other end's words, but TLS's own
            for source in (outer,) if outer.pending() else readable((outer, far), None):
                with suppress(ssl.SSLWantReadError):
                    data = source.recv(_PIECE)
                    if not data:
                        return
                    outer.settimeout(None)
                    (far if source is outer else outer).sendall(data)
