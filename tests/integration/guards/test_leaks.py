"""What the audit hook lets through, and what it does around a task. Each way out: tests/acceptance/leaks."""

# ruff: noqa: PTH103, PTH107, PTH123, SIM115
from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
import hashlib
import logging
import logging.handlers
import mmap
import os
import queue
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from oneoff import own
from oneoff.errors import DryRunStopped
from oneoff.guards.audit_hook import AuditHookGuard

_SECRET = "hunter2"


@dataclass
class World:
    """A folder that must not change, and servers that nothing must come to."""

    folder: Path
    tcp: socket.socket
    udp: socket.socket
    unix: socket.socket
    earlier: int
    """A file in the folder that was opened for writing before the dry run."""
    received: list[bytes] = field(default_factory=list)

    @property
    def file(self) -> str:
        return str(self.folder / "data.txt")

    @property
    def new(self) -> str:
        return str(self.folder / "new.txt")

    @property
    def port(self) -> int:
        return int(self.tcp.getsockname()[1])

    @property
    def udp_address(self) -> tuple[str, int]:
        return ("127.0.0.1", int(self.udp.getsockname()[1]))

    def fingerprint(self) -> str:
        """Names, contents, modes, owners, times and attributes of everything in the folder."""
        found = []
        for path in sorted([self.folder, *self.folder.rglob("*")]):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found.append((str(path), status.st_mode, status.st_uid, status.st_mtime_ns, content))
        return hashlib.sha256(repr(found).encode()).hexdigest()

    def came(self) -> list[bytes]:
        """What came to the servers, a connection without a word included."""
        for sock in (self.tcp, self.unix):
            with suppress(BlockingIOError):
                while True:
                    peer, _ = sock.accept()
                    with peer:
                        peer.settimeout(2)
                        self.received.append(peer.recv(100))
        with suppress(BlockingIOError):
            while True:
                self.received.append(self.udp.recv(100))
        return self.received


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / "data.txt").write_text("as it was")
        (folder / "inner").mkdir()
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        unix.bind(str(tmp_path / "u.sock"))
        unix.listen()
        for sock in (tcp, udp, unix):
            sock.setblocking(False)
        earlier = os.open(folder / "data.txt", os.O_RDWR)
        stack.callback(os.close, earlier)
        yield World(folder, tcp, udp, unix, earlier)


def _in_a_thread(work: Callable[[], Any]) -> None:
    """The thread swallows what it gets, as a pool's future does."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        error = pool.submit(work).exception()
    if error is not None:
        raise error


def _datagram(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"one", world.udp_address)


def test_what_is_allowed_goes_on(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """To read, to look, to make temporary files, to print, to log, to import, to signal oneself."""
    module = world.folder / "fresh_module.py"
    module.write_text("VALUE = 1\n")
    before = world.fingerprint()
    guard = AuditHookGuard()
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()
    previous = signal.signal(signal.SIGUSR1, lambda number, frame: heard.put(number))
    with guard, guard.around_task():
        assert Path(world.file).read_text() == "as it was"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "a")
            file.write_text("x")
            file.chmod(0o600)
            file.rename(Path(folder, "b"))
            os.mkfifo(Path(folder, "c"))
        with tempfile.NamedTemporaryFile() as named, tempfile.TemporaryFile() as unnamed:
            named.write(b"x")
            unnamed.write(b"x")
            unnamed.truncate(10)
            mmap.mmap(unnamed.fileno(), 10).close()
        with open(os.devnull, "w") as nowhere:
            nowhere.write("x")
        os.makedirs(world.folder, exist_ok=True)
        with suppress(FileNotFoundError):
            os.remove(world.new)
        logging.StreamHandler().emit(logging.LogRecord("a", 40, "", 1, "logged", None, None))
        print("printed")
        sys.path.insert(0, str(world.folder))
        import fresh_module  # type: ignore[import-not-found]

        assert fresh_module.VALUE == 1
        assert socket.getaddrinfo("localhost", 80)
        assert socket.getfqdn()
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getppid(), 0)
        asyncio.run(asyncio.sleep(0))
        threading.Thread(target=print, args=["x"]).start()
        ctypes.CDLL(None).getpid()
        mmap.mmap(-1, 10).close()
    sys.path.remove(str(world.folder))
    signal.signal(signal.SIGUSR1, previous)
    assert guard.attempts == ()
    assert world.fingerprint() == before
    assert heard.get(timeout=15) == signal.SIGUSR1
    assert "logged" in capfd.readouterr().err


def test_the_folder_for_temporary_files_is_gone_afterwards() -> None:
    """And TMPDIR and bytecode are as they were."""
    before = (tempfile.gettempdir(), os.environ.get("TMPDIR"), sys.dont_write_bytecode)
    guard = AuditHookGuard()
    with guard, guard.around_task():
        path = Path(tempfile.mkdtemp(), "kept")
        path.write_text("x")
        assert os.environ["TMPDIR"] == tempfile.gettempdir() != before[0]
    assert not path.exists()
    assert before == (tempfile.gettempdir(), os.environ.get("TMPDIR"), sys.dont_write_bytecode)


def test_oneoffs_own_work_is_let_through(world: World) -> None:
    """In the thread that says so, and in no other; what it lends, the task may use."""
    guard = AuditHookGuard()
    lent = ("127.0.0.1", world.port)
    with guard, guard.around_task():
        with own.work():
            Path(world.new).write_text("x")
            with pytest.raises(DryRunStopped):
                _in_a_thread(lambda: Path(world.new).write_text("x"))
        with own.lent_folder(world.folder):
            Path(world.new).unlink()
        with own.lent_socket(lent), socket.create_connection(lent):
            pass
    assert len(guard.attempts) == 1


def test_hosts_of_the_environment_are_let_through(world: World) -> None:
    """By name and by address, at that port alone; the report names them as not covered."""
    guard = AuditHookGuard(hosts=[f"localhost:{world.port}"])
    with guard, guard.around_task():
        with socket.create_connection(("localhost", world.port)) as by_name:
            by_name.sendall(b"1")
        with socket.create_connection(("127.0.0.1", world.port)) as by_address:
            by_address.sendall(b"2")
        with pytest.raises(DryRunStopped):
            _datagram(world)
    assert world.came() == [b"1", b"2"]
    assert guard.not_covered[0] == f"localhost:{world.port}, which the environment lets through"


def test_a_connection_from_before_is_out_of_reach(world: World) -> None:
    """A pool of a queue or a cache: what is sent by it does not arrive, and is named; then it works again."""
    with socket.create_connection(("127.0.0.1", world.port)) as pooled:
        served, _ = eventually_accepted(world.tcp)
        with served:
            served.settimeout(2)
            guard = AuditHookGuard()
            with guard, guard.around_task():
                pooled.sendall(b"delete all")
                assert pooled.recv(10) == b""
            assert f"send to 127.0.0.1:{world.port} over a connection from before" in guard.attempts[0]
            assert any("from before the dry run" in gap for gap in guard.not_covered)
            pooled.sendall(b"after")
            assert served.recv(100) == b"after"


def eventually_accepted(server: socket.socket) -> tuple[socket.socket, Any]:
    server.settimeout(2)
    return server.accept()


def test_a_connection_from_before_may_be_closed(world: World) -> None:
    """The number may belong to something else by the end, which stays; the connection is closed for good."""
    pooled = socket.create_connection(("127.0.0.1", world.port))
    number = pooled.fileno()
    served, _ = eventually_accepted(world.tcp)
    guard = AuditHookGuard()
    with guard, guard.around_task():
        pooled.close()
        reused = os.open(world.file, os.O_RDONLY)
        assert reused == number
    assert os.read(reused, 5) == b"as it"
    os.close(reused)
    served.settimeout(2)
    assert served.recv(10) == b""
    served.close()
    assert guard.attempts == ()


def test_a_connection_to_an_allowed_host_stays(world: World) -> None:
    """It is one of those that are not covered."""
    with socket.create_connection(("127.0.0.1", world.port)) as pooled:
        served, _ = eventually_accepted(world.tcp)
        with served:
            guard = AuditHookGuard(hosts=[f"127.0.0.1:{world.port}"])
            with guard, guard.around_task():
                pooled.sendall(b"x")
            assert served.recv(10) == b"x"


def test_files_that_are_open_for_writing_are_named(world: World) -> None:
    """No event tells of what is written to them; oneoff's own are not the task's."""
    guard = AuditHookGuard()
    with guard, guard.around_task():
        os.pwrite(world.earlier, b"AS", 0)
    assert f"{world.file}, which was open for writing before the dry run" in guard.not_covered
    ours = AuditHookGuard(own_files=[str(world.folder)])
    with ours, ours.around_task():
        pass
    assert not any(world.file in gap for gap in ours.not_covered)


def test_secrets_in_paths_and_addresses_are_masked(world: World) -> None:
    """Before the text is cut."""
    guard = AuditHookGuard(mask=lambda text: text.replace(_SECRET, "********"))
    with guard, guard.around_task():
        with pytest.raises(DryRunStopped):
            Path(world.folder, "x" * 180, _SECRET).open("w")
        with pytest.raises(DryRunStopped):
            socket.getaddrinfo(f"{_SECRET}.example", 1)
    assert len(guard.attempts) == 2
    assert _SECRET not in str(guard.attempts)


def test_a_task_that_tries_for_ever(world: World) -> None:
    """The report keeps the first hundred different attempts and counts the others."""
    guard = AuditHookGuard()
    with guard, guard.around_task():
        for number in range(150):
            with suppress(BaseException):
                open(world.folder / str(number), "w")
    assert len(guard.attempts) == 101
    assert guard.attempts[-1] == "and 50 other attempts"


def test_functions_are_as_they_were_afterwards() -> None:
    """Those that raise no event by themselves are wrapped only meanwhile."""
    before = os.mkfifo
    guard = AuditHookGuard()
    with guard:
        assert os.mkfifo is not before
    assert os.mkfifo is before
