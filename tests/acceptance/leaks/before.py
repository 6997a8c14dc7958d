"""Ways that rest on something from before the dry run: no event tells of what is done with it."""

from __future__ import annotations

import mmap
import os
import queue
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.acceptance.leaks.way import Ends, Group, Held, Place, Way, held_by

_WRITE = "UPDATE account SET balance = balance + 1000"


@contextmanager
def _file(at: Place) -> Iterator[int]:
    number = os.open(at.file, os.O_RDWR)
    yield number
    os.close(number)


@contextmanager
def _mapped(at: Place) -> Iterator[mmap.mmap]:
    with Path(at.file).open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        yield memory


def _map(at: Place) -> None:
    with mmap.mmap(at.earlier, 0) as memory:
        memory[0:2] = b"XX"


def _write_memory(at: Place) -> None:
    at.earlier[0:2] = b"aS"


def _connected(kind: socket.SocketKind, address: Callable[[Place], Any]) -> Callable[[Place], Any]:
    @contextmanager
    def connect(at: Place) -> Iterator[socket.socket]:
        family = socket.AF_UNIX if isinstance(address(at), str) else socket.AF_INET
        with socket.socket(family, kind) as sock:
            sock.connect(address(at))
            yield sock

    return connect


_tcp = _connected(socket.SOCK_STREAM, lambda at: ("127.0.0.1", at.port))


class _Queue:
    """A queue of jobs with a connection of its own, as it is made at import."""

    def __init__(self, broker: socket.socket) -> None:
        self._broker = broker

    def delay(self, job: str) -> None:
        self._broker.sendall(job.encode())


@contextmanager
def _queue(at: Place) -> Iterator[_Queue]:
    with _tcp(at) as broker:
        yield _Queue(broker)


@contextmanager
def _worker(at: Place) -> Iterator[Callable[[Callable[[], Any]], None]]:
    """A thread that does what it is told, as one that sends logs or reports errors."""
    told: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
    done = threading.Event()

    def work() -> None:
        while (job := told.get()) is not None:
            with suppress(BaseException):
                job()
            done.set()

    def tell(job: Callable[[], Any]) -> None:
        told.put(job)
        done.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    yield tell
    told.put(None)
    thread.join()


@contextmanager
def _shell(at: Place) -> Iterator[Callable[[str], None]]:
    """A process that does what it is told, as a pool of workers."""
    with subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdin and shell.stdout
        stdin, stdout = shell.stdin, shell.stdout

        def tell(line: str) -> None:
            stdin.write(f"{line}\necho\n".encode())
            stdin.flush()
            stdout.readline()

        yield tell


@contextmanager
def _sqlite(at: Place) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(at.sqlite)) as connection:
        yield connection


@contextmanager
def _postgres(at: Place) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(at.database, autocommit=True) as connection:
        yield connection


def _insert(at: Place) -> None:
    with at.earlier:
        at.earlier.execute(_WRITE)


@contextmanager
def _function(at: Place) -> Iterator[None]:
    """Functions of the database that hide what they do."""
    with psycopg.connect(at.database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION dblink")
        connection.execute(
            "CREATE FUNCTION hidden_write() RETURNS text LANGUAGE sql SECURITY DEFINER AS"
            f" $$ SELECT dblink_exec('{at.database}', 'UPDATE account SET balance = balance + 1') $$".encode()
        )
        connection.execute(
            "CREATE FUNCTION hidden_set() RETURNS bigint LANGUAGE sql AS $$ SELECT setval('ticket', 500) $$"
        )
    try:
        yield
    finally:
        with psycopg.connect(at.database, autocommit=True) as connection:
            connection.execute("DROP FUNCTION hidden_write(), hidden_set(); DROP EXTENSION dblink")


def _call(statement: str) -> Callable[[Place], None]:
    def task(at: Place) -> None:
        with at.engine.begin() as connection:
            connection.execute(sa.text(statement))

    return task


@contextmanager
def _session(at: Place) -> Iterator[Session]:
    with Session() as session:
        yield session


def _session_from_before(at: Place) -> None:
    at.earlier.bind = at.engine
    at.earlier.execute(sa.text(_WRITE))
    at.earlier.commit()


_OVER = "over a connection from before the dry run"
_WRITTEN = Way(
    "file-from-before",
    "writes to a file that was open",
    lambda at: os.pwrite(at.earlier, b"AS", 0),
    "{file}, which was open for writing before the dry run",
    before=_file,
    held=Held.NOTHING,
    ends=Ends.NAMED,
)
_TOLD = Way(
    "process-from-before",
    "tells a process that was started what to do",
    lambda at: at.earlier(f"echo y >>'{at.file}'"),
    "which was started before the dry run, and does what it is told",
    before=_shell,
    held=Held.NOTHING,
    ends=Ends.NAMED,
)

BEFORE = Group(
    title="What was there before",
    ways=(
        Way(
            "pooled-socket",
            "sends by a socket of a pool",
            lambda at: at.earlier.sendall(b"delete"),
            _OVER,
            before=_tcp,
        ),
        Way(
            "pooled-queue",
            "a queue's `.delay()` by its own connection",
            lambda at: at.earlier.delay("mail"),
            _OVER,
            before=_queue,
        ),
        Way(
            "pooled-datagrams",
            "sends by a UDP socket",
            lambda at: at.earlier.send(b"delete"),
            _OVER,
            before=_connected(socket.SOCK_DGRAM, lambda at: ("127.0.0.1", at.udp_port)),
        ),
        Way(
            "pooled-unix-socket",
            "… by a unix socket",
            lambda at: at.earlier.sendall(b"delete"),
            _OVER,
            before=_connected(socket.SOCK_STREAM, lambda at: at.unix),
        ),
        Way(
            "pooled-packets",
            "… one of packets",
            lambda at: at.earlier.send(b"delete"),
            _OVER,
            before=_connected(socket.SOCK_SEQPACKET, lambda at: f"{at.unix}.packets"),
        ),
        Way(
            "worker-thread",
            "has a thread from before write a file",
            lambda at: at.earlier(Path(at.new).touch),
            "change the times of {new}",
            before=_worker,
        ),
        Way(
            "mmap", "maps a file into memory that was open", _map, "map {file} into its memory", before=_file
        ),
        Way(
            "ftruncate",
            "cuts it off",
            lambda at: os.ftruncate(at.earlier, 1),
            "truncate {file}",
            before=_file,
        ),
        Way(
            "fchmod",
            "changes its mode",
            lambda at: os.fchmod(at.earlier, 0o600),
            "change the mode of {file}",
            before=_file,
        ),
        _WRITTEN,
        Way(
            "mapped-before",
            "writes to memory that was mapped",
            _write_memory,
            "{file}, which was open for writing before the dry run",
            before=_mapped,
            held=Held.NOTHING,
            ends=Ends.NAMED,
        ),
        _TOLD,
        *(
            replace(
                way,
                name=f"{way.name}-strict",
                does=f"{way.does}, where `--require-level landlock` is given",
                held=Held.REFUSED,
                ends=Ends.REFUSED,
                require="landlock",
                process=True,
            )
            for way in (_WRITTEN, _TOLD)
        ),
    ),
)

SQLITE_BEFORE = Group(
    title="SQLite, opened before",
    database="sqlite",
    ways=held_by(
        Held.REFUSED,
        Ends.REFUSED,
        Way(
            "sqlite-from-before",
            "writes by a connection that was open",
            _insert,
            "opened before the dry run",
            before=_sqlite,
        ),
    ),
)

POSTGRES_BEFORE = Group(
    title="PostgreSQL, from before",
    database="postgres",
    ways=(
        Way(
            "postgres-from-before",
            "writes by a connection that was open",
            _insert,
            "was opened before the dry run began, and may write",
            before=_postgres,
            held=Held.REFUSED,
            ends=Ends.REFUSED,
        ),
        Way(
            "connection-at-import",
            "… that was opened at import, under `oneoff run`",
            _insert,
            "read-only transaction",
            before=_postgres,
            held=Held.SEALED,
            ends=Ends.ERROR,
            process=True,
        ),
        Way(
            "session-at-import",
            "a session of SQLAlchemy that was made at import",
            _session_from_before,
            "account",
            before=_session,
            held=Held.SEALED,
            ends=Ends.UNDONE,
        ),
        Way(
            "function-with-dblink",
            "calls a function of the database that hides `dblink`",
            _call("SELECT hidden_write()"),
            "what functions of the database do outside the transaction",
            before=_function,
            held=Held.NOTHING,
            ends=Ends.NAMED,
        ),
        Way(
            "function-with-setval",
            "… `setval`",
            _call("SELECT hidden_set()"),
            "sequence ticket moved from",
            before=_function,
            held=Held.NOTHING,
            ends=Ends.NAMED,
        ),
        Way(
            "nextval",
            "draws a number",
            _call("SELECT nextval('ticket')"),
            "sequence ticket moved from",
            held=Held.NOTHING,
            ends=Ends.NAMED,
        ),
    ),
)
