"""What was open before a dry run's task began: no event tells of what is sent by it.

A connection that Python holds (a pool of a cache, a queue, an HTTP client) is put out of the task's reach:
for the time of the task its descriptor leads to us. What is sent there is thrown away and noted, and
whoever reads finds the end of the stream, as after a server's restart. What C code holds can only be named.
"""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from oneoff import own
from oneoff.guards.network import Hosts, place

_KINDS = frozenset({socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET})
_DRIVERS = (("psycopg", "BaseConnection"), ("psycopg", "Connection"), ("psycopg2.extensions", "connection"))
"""Their connections are databases, and so a seal's matter."""
_CHUNK = 65_536


@dataclass(frozen=True)
class _Aside:
    """One connection out of reach."""

    fd: int
    saved: int
    """The connection itself, under another number."""
    stand_in: os.stat_result
    far: socket.socket


class PutAside:
    """The connections of Python's own that were open when the block began are out of reach in it."""

    def __init__(self, hosts: Hosts, used: Callable[[str], object]) -> None:
        """``used`` is told once for each connection that something was sent over, and where it leads."""
        self._hosts = hosts
        self._used = used
        self._aside: list[_Aside] = []
        self._threads: list[threading.Thread] = []
        self._over = False
        self.places: tuple[str, ...] = ()

    def __enter__(self) -> PutAside:
        with own.work():
            for sock, where in _connected(self._hosts):
                self._put_aside(sock, where)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for aside in self._aside:
            with suppress(OSError):  # the task closed it: then the connection is closed with it
                if os.path.samestat(os.fstat(aside.fd), aside.stand_in):
                    os.dup2(aside.saved, aside.fd, inheritable=os.get_inheritable(aside.saved))
            os.close(aside.saved)
        self._over = True
        for aside in self._aside:
            with suppress(OSError):
                aside.far.shutdown(socket.SHUT_RD)  # what has come is read first; datagrams have no end else
        for thread in self._threads:
            thread.join(1.0)
        for aside in self._aside:
            aside.far.close()

    def _put_aside(self, sock: socket.socket, where: str) -> None:
        fd = sock.fileno()
        near, far = socket.socketpair(socket.AF_UNIX, sock.type)
        with near:
            far.shutdown(socket.SHUT_WR)
            os.set_blocking(near.fileno(), os.get_blocking(fd))
            saved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
            os.set_inheritable(saved, os.get_inheritable(fd))
            os.dup2(near.fileno(), fd, inheritable=False)
        self._aside.append(_Aside(fd, saved, os.fstat(fd), far))
        self.places = tuple(dict.fromkeys((*self.places, where)))
        thread = threading.Thread(target=self._drain, args=[far, where], name="oneoff-aside", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _drain(self, far: socket.socket, where: str) -> None:
        with own.work(), suppress(OSError):  # closed at the end, where a copy of the other end is still open
            while far.recv(_CHUNK) or (far.type == socket.SOCK_DGRAM and not self._over):  # one may be empty
                self._used(where)


def foreign(hosts: Hosts) -> tuple[str, ...]:
    """Where connections lead that C code has open, without those of databases; Linux alone tells."""
    ours = {sock.fileno() for sock in _sockets()} | set(_of_drivers())
    found = dict[str, None]()
    for fd, status in _open_files():
        if stat.S_ISSOCK(status.st_mode) and fd not in ours:
            with suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
                where = _peer(sock, hosts)
                if where is not None:
                    found.setdefault(where)
    return tuple(found)


def standard_streams() -> frozenset[tuple[int, int]]:
    """Which files this process has as its standard streams; whoever started it wants them written."""
    return frozenset(_identity(status) for fd, status in _open_files() if fd <= 2)


def writable_files(but: Iterable[str], streams: Container[tuple[int, int]]) -> tuple[str, ...]:
    """Paths of files that are open for writing, without streams and what begins with one of ``but``."""
    spared = ("/dev/", "/proc/", *but)
    found = dict[str, None]()
    for fd, status in _open_files():
        if not stat.S_ISREG(status.st_mode) or _identity(status) in streams:
            continue
        with suppress(OSError):
            path = str(Path(f"/proc/self/fd/{fd}").readlink())
            writing = fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_WRONLY | os.O_RDWR)
            gone = path.endswith(" (deleted)") or path.startswith("/memfd:")
            if writing and not gone and not path.startswith(spared) and not own.may_write(path):
                found.setdefault(path)
    return tuple(found)


def children() -> tuple[str, ...]:
    """The processes that this one has started and that still run, by number and name; Linux alone tells."""
    found = list[str]()
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for number in listed.read_text().split():
                process = Path("/proc", number)
                if b"resource_tracker" not in process.joinpath("cmdline").read_bytes():
                    found.append(f"{number} ({process.joinpath('comm').read_text().strip()})")
    return tuple(found)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def ports() -> frozenset[int]:
    """Those that this process has a connection to, by whatever code; Linux alone tells."""
    found = set[int]()
    for fd, status in _open_files():
        if stat.S_ISSOCK(status.st_mode):
            with suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
                if sock.family in (socket.AF_INET, socket.AF_INET6):
                    found.add(sock.getpeername()[1])
    return frozenset(found)


def _open_files() -> Iterator[tuple[int, os.stat_result]]:
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with suppress(OSError):  # the one that listed them
                yield int(name), os.fstat(int(name))


def _sockets() -> list[socket.socket]:
    return [thing for thing in gc.get_objects() if issubclass(type(thing), socket.socket)]


def _connected(hosts: Hosts) -> list[tuple[socket.socket, str]]:
    drivers = set(_of_drivers())
    found = []
    for sock in _sockets():
        if sock.fileno() >= 0 and sock.fileno() not in drivers and sock.type in _KINDS:
            where = _peer(sock, hosts)
            if where is not None:
                found.append((sock, where))
    return found


def _peer(sock: socket.socket, hosts: Hosts) -> str | None:
    """Where a connection leads; None where nowhere, to this process itself, or to where the task may reach.

    The name of a unix socket without one is empty: it is one of a pair, both of this process or its children.
    """
    try:
        address = sock.getpeername()
    except OSError:
        return None
    if address in ("", b"") or own.is_lent(address) or hosts.allows(address):
        return None
    return place(address)


def _of_drivers() -> Iterator[int]:
    classes = tuple(
        found
        for module, name in _DRIVERS
        if isinstance(found := getattr(sys.modules.get(module), name, None), type)
    )
    for thing in gc.get_objects() if classes else ():
        if issubclass(type(thing), classes):
            with suppress(Exception):  # closed
                yield thing.fileno()
