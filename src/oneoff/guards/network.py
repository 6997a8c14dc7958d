"""Which audit events would reach another machine or another process, and which hosts are let through."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from oneoff import own
from oneoff.guards.where import calling

_LOCAL_NAMES = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost", "broadcasthost"})
_DRIVERS = ("psycopg", "psycopg_pool")
"""They look up the server's name before libpq would, which nothing could stop from doing so itself. What they
connect to is the seal's matter."""
_FRAMES = 10
"""How many calls above an event are looked at; four of them are the guard's own."""


class Hosts:
    """The hosts that an environment lets a dry run's task reach, each as ``NAME:PORT``."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = tuple(dict.fromkeys(allowed))
        self._named = [(name.strip("[]").lower(), int(port)) for name, _, port in map(_split, self.allowed)]
        self._known: set[tuple[str, int]] = set()

    @property
    def ports(self) -> frozenset[int]:
        return frozenset(port for _, port in self._named)

    def names(self, host: str) -> bool:
        """Whether a name is that of an allowed host."""
        return any(host.lower() == name for name, _ in self._named)

    def allows(self, address: Any) -> bool:
        """Whether an address of :mod:`socket` is that of an allowed host.

        Its name is looked up again if need be, because the addresses behind a name may change.
        """
        if not isinstance(address, tuple) or len(address) < 2:
            return False
        host, port = address[0], address[1]
        if (host, port) in self._named or (host, port) in self._known:
            return True
        if port not in self.ports:
            return False
        self._resolve()
        return (host, port) in self._known

    def _resolve(self) -> None:
        with own.work():
            for name, port in self._named:
                try:
                    found = socket.getaddrinfo(name, port)
                except OSError:  # then nobody can reach it
                    continue
                self._known.update((str(entry[4][0]), port) for entry in found)


def check(hosts: Hosts, event: str, args: tuple[Any, ...]) -> str | None:
    """What the task would do, in words; None where it may."""
    return CHECKS[event](hosts, *args)


def place(address: Any) -> str:
    """An address in words."""
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    try:
        return os.fsdecode(address).replace("\0", "@") or "an unnamed socket"
    except TypeError:
        return "another place"


def _reach(verb: str) -> Callable[..., str | None]:
    def judge(hosts: Hosts, sock: Any, address: Any = None) -> str | None:
        if (
            address is None or _is_lent(address) or hosts.allows(address)
        ):  # None: over a socket that is connected
            return None
        return f"{verb} {place(address)}"

    return judge


def _is_lent(address: Any) -> bool:
    if own.is_lent(address):
        return True
    try:
        return own.may_write(os.path.realpath(os.fsdecode(address)))  # a unix socket in a lent folder
    except (TypeError, ValueError):
        return False


def _look_up(hosts: Hosts, host: Any, port: Any = None, *rest: Any) -> str | None:
    name = _text(host)
    if _is_local(name) or hosts.names(name) or own.may_look_up(name) or _by_a_driver():
        return None
    return f"look up the name {name}" + (f" to reach its port {port}" if port not in (None, 0, "0") else "")


def _look_up_address(hosts: Hosts, address: Any, *rest: Any) -> str | None:
    return _look_up(hosts, address[0] if isinstance(address, tuple) and address else address)


def _log(hosts: Hosts, *args: Any) -> str | None:
    return "write to the system's log (syslog)"


CHECKS: dict[str, Callable[..., str | None]] = {
    "socket.connect": _reach("connect to"),
    "socket.sendto": _reach("send to"),
    "socket.sendmsg": _reach("send to"),
    "socket.bind": _reach("wait for others at"),
    "socket.getaddrinfo": _look_up,
    "socket.gethostbyname": _look_up,
    "socket.gethostbyaddr": _look_up,
    "socket.getnameinfo": _look_up_address,
    "socket.sethostname": lambda hosts, name: "change this machine's name",
    "syslog.syslog": _log,
}


def _split(text: str) -> tuple[str, str, str]:
    return text.rpartition(":")


def _text(host: Any) -> str:
    if host is None:
        return ""
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)


def _is_local(name: str) -> bool:
    """Whether nobody has to be asked for it."""
    if name.lower() in _LOCAL_NAMES or name == socket.gethostname():
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _by_a_driver() -> bool:
    frames = islice(calling(), _FRAMES)
    return any(frame.f_globals.get("__name__", "").partition(".")[0] in _DRIVERS for frame in frames)
