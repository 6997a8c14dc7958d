"""What must not change while a dry run goes on, and who must not hear of it: three observers."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.acceptance.leaks.way import Place
from tests.postgres import Server

_SCHEMA = (
    "CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, balance int NOT NULL DEFAULT 0)",
    "INSERT INTO account SELECT n, 'name ' || n, n FROM generate_series(1, 20) n",
    "CREATE SEQUENCE ticket START 7",
    "SELECT lo_from_bytea(4711, 'large')",
)
_CHANNEL = "leaks"
_STATISTICS = ("pg_statistic", "pg_statistic_ext_data")
"""What PostgreSQL writes by itself, whenever it likes."""
_BESIDE_ROWS = (
    "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1",
    "SELECT loid, pageno, data FROM pg_largeobject ORDER BY 1, 2",
    "SELECT gid FROM pg_prepared_xacts ORDER BY 1",
    "SELECT slot_name FROM pg_replication_slots ORDER BY 1",
    "SELECT pid, objid FROM pg_locks WHERE locktype = 'advisory'",
    "SELECT name, setting FROM pg_file_settings ORDER BY 1, 2",
)


class Database:
    """All that is kept in one database of PostgreSQL, seen from outside, and what it tells its listeners.

    Over libpq itself: a connection of psycopg's from before would stand in the way of a dry run.
    """

    def __init__(self, url: str) -> None:
        self._connection = psycopg.pq.PGconn.connect(url.encode())
        self._ask(f"LISTEN {_CHANNEL}")
        catalogues = [name for name in self._tables("pg_catalog") if name not in _STATISTICS]
        self._catalogue = " UNION ALL ".join(
            f"SELECT '{name}', count(*), sum(xmin::text::bigint) FROM pg_catalog.{name}"
            for name in catalogues
        )

    def close(self) -> None:
        self._connection.finish()

    def fingerprint(self) -> Any:
        """Rows, with the numbers of the transactions that wrote them: of every table, and of every catalogue
        (schema, functions, roles, settings of roles); and what is not in rows."""
        rows = {
            name: self._ask(f'SELECT xmin, t::text FROM public."{name}" t ORDER BY 2')
            for name in self._tables("public")
        }
        return rows, self._ask(self._catalogue), [self._ask(query) for query in _BESIDE_ROWS]

    def heard(self) -> list[str]:
        """Notifications that were sent."""
        self._ask("SELECT")  # what was sent comes with the next answer
        heard = list[str]()
        while notification := self._connection.notifies():
            heard.append(repr(notification.extra))
        return heard

    def _tables(self, schema: str) -> list[str]:
        found = self._ask(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            f" AND relnamespace = '{schema}'::regnamespace ORDER BY 1"
        )
        return [(name or b"").decode() for (name,) in found]

    def _ask(self, query: str) -> list[tuple[bytes | None, ...]]:
        result = self._connection.exec_(query.encode())
        assert not result.error_message, result.error_message
        return [
            tuple(result.get_value(row, column) for column in range(result.nfields))
            for row in range(result.ntuples)
        ]


@dataclass(kw_only=True)
class World:
    """The place, and what is seen of it from outside."""

    place: Place
    databases: list[Database]
    servers: list[socket.socket]
    """TCP, unix, unix with packets, and UDP, none of which waits."""
    accepted: list[socket.socket] = field(default_factory=list)

    def fingerprint(self) -> dict[str, Any]:
        return {
            "files": [_files(self.place.folder), _files(self.place.links)],
            "databases": [database.fingerprint() for database in self.databases],
            "served": sorted(file.name for file in self.place.served.parent.iterdir()),
            "shared": Path("/dev/shm", self.place.shared).exists(),
            "process": _process(self.place.process),
        }

    def came(self) -> list[str]:
        """What has come since the last time: connections, bytes, notifications."""
        came = [text for database in self.databases for text in database.heard()]
        for server in self.servers:
            with suppress(BlockingIOError):
                while server.type != socket.SOCK_DGRAM:
                    peer, _ = server.accept()
                    peer.setblocking(False)
                    self.accepted.append(peer)
                    came.append("a connection")
        for sock in (*self.accepted, *self.servers[3:]):
            with suppress(BlockingIOError, ConnectionError):
                while data := sock.recv(1000):
                    came.append(repr(data))
        return came

    def forget(self) -> None:
        """Close what was accepted, and what the way left open."""
        for sock in self.accepted:
            sock.close()
        self.accepted.clear()
        for thing in self.place.kept:
            thing.close()
        self.place.kept.clear()


def _files(folder: Path) -> str:
    """Names, contents, modes, owners, times, attributes and links of everything below it.

    To read a SQLite database with a write-ahead log is to make files beside it and to remove them: of its
    folder the time is left out.
    """
    found = []
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        attributes = [] if path.is_symlink() else os.listxattr(path)
        time = 0 if path.name == "database" else status.st_mtime_ns
        found.append((str(path), status.st_mode, status.st_uid, status.st_nlink, time, attributes, content))
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _process(number: int) -> Any:
    return (
        Path("/proc", str(number), "stat").read_text().split()[2] != "Z",
        os.getpriority(os.PRIO_PROCESS, number),
        os.sched_getaffinity(number),
        os.sched_getscheduler(number),
        resource.prlimit(number, resource.RLIMIT_CORE),
    )


def _make_files(folder: Path) -> None:
    (folder / "inner").mkdir(parents=True)
    (folder / "data.txt").write_text("as it was")
    (folder / "database").mkdir()


def make_sqlite(place: Place, journal: str) -> None:
    """Make the database anew, with this journal mode, and its other names."""
    shutil.rmtree(place.links, ignore_errors=True)
    place.links.mkdir()
    place.sqlite.unlink(missing_ok=True)
    with closing(sqlite3.connect(place.sqlite)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT, balance INT DEFAULT 0)")
        connection.executemany("INSERT INTO account VALUES (?, ?, ?)", [(n, f"n{n}", n) for n in range(20)])
        connection.commit()
    with closing(sqlite3.connect(place.links / "other.db")) as connection:
        connection.execute("CREATE TABLE t (id)")
    (place.links / "soft.db").symlink_to(place.sqlite)
    (place.links / "hard.db").hardlink_to(place.sqlite)


def _listen(stack: ExitStack, unix: str) -> list[socket.socket]:
    tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    local = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    local.bind(unix)
    local.listen()
    packets = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    packets.bind(f"{unix}.packets")
    packets.listen()
    udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    servers = [tcp, local, packets, udp]
    for sock in servers:
        sock.setblocking(False)
    return servers


@contextmanager
def make(base: Path, server: Server) -> Iterator[World]:
    """A world below this folder and in this server."""
    with ExitStack() as stack:
        folder = base / "data"
        _make_files(folder)
        servers = _listen(stack, str(base / "u.sock"))
        names = [stack.enter_context(server.database()) for _ in range(2)]
        server.execute(*_SCHEMA, database=names[0])
        server.execute("CREATE TABLE t (id int)", database=names[1])
        other = stack.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE, process_group=0))
        place = Place(
            folder=folder,
            port=servers[0].getsockname()[1],
            udp_port=servers[3].getsockname()[1],
            unix=str(base / "u.sock"),
            process=other.pid,
            shared=f"oneoff-leak-{os.getpid()}",
            database=server.url(names[0]),
            other=server.url(names[1]),
            served=server.socket / "written",
            links=base / "links",
            psql=str(server.binaries / "psql"),
        )
        make_sqlite(place, "wal")
        databases = [stack.enter_context(closing(Database(server.url(name)))) for name in names]
        yield World(place=place, databases=databases, servers=servers)
