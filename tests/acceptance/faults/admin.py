"""Tasks that misbehave in every way that the tests can think of. Copied into a project's folder."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import locale
import os
import resource
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import oneoff

app = oneoff.App("faults")
HOME = Path(__file__).parent


def mark(name: str, text: str = "x") -> None:
    """A line in a file, whole and at once."""
    fd = os.open(HOME / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.write(fd, f"{text}\n".encode())
    os.close(fd)


def wait_for(name: str) -> None:
    """Until the test makes this file; not for ever."""
    deadline = time.monotonic() + 30
    while not (HOME / name).exists() and time.monotonic() < deadline:
        time.sleep(0.01)


@app.task
def noop() -> None:
    mark("ran")


@app.task
def slow(seconds: float = 0.3) -> None:
    mark("ran")
    mark("started")
    time.sleep(seconds)


@app.task
def slow_failure() -> None:
    raise ValueError("x" * 300_000)


@app.task(lock="door")
def locked() -> None:
    mark("ran")
    mark("started")
    wait_for("go")


@app.task
def deaf() -> None:
    """Never looks whether it has to stop, and comes to its end when the test says so."""
    mark("started")
    wait_for("go")


@app.task(timeout=0.3)
def looks(ctx: oneoff.Context) -> None:
    mark("started")
    while not ctx.should_stop:
        time.sleep(0.01)


@app.task
def listens(ctx: oneoff.Context) -> None:
    """Looks whether it has to stop."""
    mark("started")
    while not ctx.sleep(0.5):
        pass


@app.task
def chatty(ctx: oneoff.Context) -> None:
    """Prints for ever, and looks."""
    mark("started")
    while not ctx.should_stop:
        print("a line", flush=True)
        time.sleep(0.01)


def forever_loop() -> None:
    while True:
        pass


def forever_sleep() -> None:
    time.sleep(600)


def forever_select() -> None:
    reader, _ = os.pipe()
    select.select([reader], [], [])


def forever_sql() -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    sqlite3.connect(":memory:").execute(sql).fetchall()


def forever_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def forever_swallowing_errors() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def forever_swallowing_all() -> None:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(0.01)


def forever_async() -> None:
    async def body() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            mark("cleaned")

    asyncio.run(body())


def forever_printing() -> None:
    """To whoever reads nothing: this waits in write(2), holding the lock of the stream."""
    while True:
        sys.stdout.write("x" * 10_000)


def forever_with_own_handler() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(600)


def forever_ignoring_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    mark("deaf")
    time.sleep(600)


def forever_without_the_pipe() -> None:
    """As a daemon does that closes all it has inherited."""
    os.closerange(3, 256)
    time.sleep(600)


FOREVER: dict[str, Callable[[], None]] = {
    name.removeprefix("forever_"): function
    for name, function in globals().items()
    if name.startswith("forever_")
}


@app.task
def forever(how: str) -> None:
    mark("started")
    FOREVER[how]()


@app.task(timeout=0.3)
def forever_timed(how: str) -> None:
    mark("started")
    FOREVER[how]()


@app.task(timeout=0.3)
async def forever_coroutine() -> None:
    try:
        await asyncio.sleep(600)
    finally:
        mark("cleaned")


class Unspeakable(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise SystemExit("not even this")


class Misleading(Exception):
    """Has an attribute that looks like an ExceptionGroup's."""

    exceptions = 5


def bad_raises() -> None:
    raise ValueError("no such flight \udcff \x1b[31m")


def bad_exit_0() -> NoReturn:
    sys.exit()


def bad_exit_3() -> NoReturn:
    sys.exit(3)


def bad_exit_text() -> NoReturn:
    sys.exit("no luck")


def bad_unspeakable() -> NoReturn:
    raise Unspeakable


def bad_misleading() -> NoReturn:
    raise Misleading("odd")


def bad_group() -> NoReturn:
    raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])])


def bad_recursion() -> None:
    bad_recursion()


def bad_memory() -> None:
    raise MemoryError


def bad_keyboard() -> NoReturn:
    raise KeyboardInterrupt


def bad_generator_exit() -> NoReturn:
    raise GeneratorExit


def bad_stop_iteration() -> NoReturn:
    raise StopIteration


def bad_huge_message() -> NoReturn:
    raise RuntimeError("x" * 1_000_000)


def bad_own_exit() -> None:
    os._exit(0)


def bad_executes() -> None:
    """Another program in the place of the run."""
    os.execvp("sh", ["sh", "-c", "exit 9"])


def bad_abort() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()


def bad_segfault() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def bad_fork() -> None:
    """Both return."""
    os.fork()


def bad_fork_raising() -> None:
    """The child raises, and its streams are closed."""
    if os.fork() == 0:
        sys.stdout.close()
        raise ValueError("in the child")
    os.wait()


def bad_fork_terminated() -> None:
    """As ``multiprocessing.Pool.terminate`` does: a worker gets SIGTERM, and dies of it."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    time.sleep(0.1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    mark("child", str(os.WTERMSIG(status)))
    time.sleep(0.3)


def bad_daemon_thread() -> None:
    def talk() -> None:
        while True:
            os.write(2, b".")
            time.sleep(0.001)

    threading.Thread(target=talk, daemon=True).start()
    time.sleep(0.05)


def bad_background_child() -> None:
    child = subprocess.Popen(["sleep", "60"])
    mark("child", str(child.pid))


def bad_binary() -> None:
    os.write(1, bytes(range(256)))
    os.write(2, b"\xff\xfe\x00")


def bad_50_megabytes() -> None:
    for _ in range(800):
        os.write(1, b"x" * 65_535 + b"\n")


def bad_close_stdout() -> None:
    sys.stdout.close()
    sys.stderr.close()


def bad_close_fds() -> None:
    os.close(1)
    os.close(2)
    (HOME / "precious").open("w").close()


def bad_close_all() -> None:
    os.closerange(3, 256)


def bad_replace_stdout() -> None:
    sys.stdout = sys.stderr = None


def bad_raise_after_closing() -> None:
    sys.stderr.close()
    raise ValueError("nobody hears me")


def bad_chdir() -> None:
    os.chdir("/")


def bad_folder_gone() -> None:
    shutil.rmtree(HOME / ".oneoff")


def bad_handlers() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGRTMIN + 3):
        signal.signal(number, lambda *_: mark("heard"))
    os.kill(os.getpid(), signal.SIGRTMIN + 3)
    signal.set_wakeup_fd(-1)


def bad_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C")
    os.environ.clear()
    os.umask(0o777)


def bad_recursion_limit() -> None:
    sys.setrecursionlimit(120)


def bad_file_limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))


def bad_child_in_a_pool() -> None:
    from multiprocessing import get_context

    with get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]


BAD: dict[str, Callable[[], None]] = {
    name.removeprefix("bad_"): function for name, function in globals().items() if name.startswith("bad_")
}


@app.task
def bad(how: str) -> None:
    BAD[how]()


@app.task
def store_breaks(how: str) -> None:
    """Something happens to the store while the task is at work."""
    mark("ran")
    store = HOME / ".oneoff" / "store.db"
    match how:
        case "removed":
            store.rename(HOME / "aside.db")
        case "replaced":
            shutil.copy(store, HOME / "copy.db")
            (HOME / "copy.db").rename(store)
        case "corrupted":
            for path in (store, Path(f"{store}-wal")):
                size = path.stat().st_size
                with path.open("r+b") as file:
                    file.write(b"\xa5" * size)
        case "full":
            fill()
        case _:
            raise ValueError(how)


def fill() -> None:
    """Take what room is left on the disk of the store."""
    with (HOME / ".oneoff" / "ballast").open("wb", buffering=0) as file:
        for size in (65536, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
