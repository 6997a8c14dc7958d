"""Tasks that start processes in every way that the tests can think of. Copied into a project's folder."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import oneoff

app = oneoff.App("kin")
HOME = Path(__file__).parent
ONEOFF = Path(sys.executable).with_name("oneoff")
LINGER = "echo $$ >> pids; exec sleep 600"

if "KIN_WITHOUT_PIDFD" in os.environ:  # as on an old kernel
    del os.pidfd_open


def note() -> None:
    """Say which process this is."""
    fd = os.open(HOME / "pids", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.write(fd, f"{os.getpid()}\n".encode())
    os.close(fd)


def linger() -> None:
    """Stay, whatever signal comes."""
    note()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


def shell(script: str) -> None:
    subprocess.Popen(["sh", "-c", script], cwd=HOME)


def start_popen() -> None:
    shell(LINGER)


def start_grandchild() -> None:
    shell(f"sh -c '{LINGER}' & {LINGER}")


def start_daemon() -> None:
    """In a session of its own, with a parent that is gone."""
    shell(f"setsid sh -c '{LINGER}' < /dev/null > /dev/null 2>&1 &")


def start_system() -> None:
    os.system(f"cd '{HOME}'; sh -c '{LINGER}' &")


def start_fork() -> None:
    if os.fork() == 0:
        linger()


def start_fork_of_a_fork() -> None:
    if os.fork() == 0:
        os.fork()
        linger()


def start_fork_that_executes() -> None:
    if os.fork() == 0:
        os.chdir(HOME)
        os.execvp("sh", ["sh", "-c", LINGER])


def start_multiprocessing_fork() -> None:
    multiprocessing.get_context("fork").Process(target=linger).start()


def start_multiprocessing_spawn() -> None:
    multiprocessing.get_context("spawn").Process(target=linger).start()


def start_multiprocessing_forkserver() -> None:
    multiprocessing.get_context("forkserver").Process(target=linger).start()


def start_pool() -> None:
    pool = multiprocessing.get_context("fork").Pool(2)
    for _ in range(2):
        pool.apply_async(linger)
    POOLS.append(pool)


def start_idle_pool() -> None:
    """Its workers wait for work, one of them holding the lock of the queue."""
    pool = multiprocessing.get_context("fork").Pool(2, initializer=note)
    POOLS.append(pool)


POOLS: list[object] = []
"""A pool ends with its last reference."""
START: dict[str, Callable[[], None]] = {
    name.removeprefix("start_"): function for name, function in globals().items() if name.startswith("start_")
}


def then_sleep() -> None:
    time.sleep(600)


def then_resist() -> None:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(0.01)


def then_close_all() -> None:
    os.closerange(3, 256)
    time.sleep(600)


def then_end() -> None:
    while not (HOME / "go").exists():
        time.sleep(0.01)


def then_fail() -> None:
    then_end()
    raise ValueError("of the task's own")


def then_exit() -> None:
    then_end()
    os._exit(0)


THEN: dict[str, Callable[[], None]] = {
    name.removeprefix("then_"): function for name, function in globals().items() if name.startswith("then_")
}


@app.task
def starts(how: str = "popen", then: str = "sleep") -> None:
    START[how]()
    THEN[then]()


@app.task(timeout=0.3)
def starts_timed(how: str = "popen", then: str = "sleep") -> None:
    START[how]()
    THEN[then]()


@app.task
def calls(arguments: str) -> None:
    """Run another oneoff, and stay."""
    subprocess.run([ONEOFF, "--app", "kin:app", *arguments.split()], cwd=HOME, check=False)
    time.sleep(600)


@app.task
def waits_for_all() -> None:
    """As the manual of wait(2) does: until there is no child."""
    for _ in range(2):
        if os.fork() == 0:
            os._exit(0)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


@app.task
def says() -> None:
    print(f"the id is {os.environ['ONEOFF_RUN_ID']}")
