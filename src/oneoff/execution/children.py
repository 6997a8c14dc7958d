"""What the function of a run starts does not outlive a run that is killed or ended by force."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from oneoff import starts
from oneoff.execution.pipes import PipeEnd
from oneoff.execution.signals import CAUSES
from oneoff.execution.stopping import Stop
from oneoff.execution.watcher import END, LEAVE, born
from oneoff.runs.marks import MARK, RUN_ID, environ_of
from oneoff.runs.status import EXIT_CODES

END_SECONDS = 2.0
"""How long a forced end waits until nothing is left: a pool of this process replaces its dead, and a process
may be unable to die. They are killed when this process ends."""
EXIT_SECONDS = 2.0
"""How long Python may take to end after that."""
UNWATCHED = "what the task starts may outlive it: the process that watches it could not be started"

_WATCHER = """
import posix, sys
if posix.fork():
    posix._exit(0)
sys.path.append(sys.argv[1])
import watcher
watcher.main(sys.argv[2:])
"""
"""Forks before anything else: then it is no child of the run's process, and a task that waits for all of its
children does not wait for this one. The run waits for the fork only, which takes 8 ms."""


class Children:
    """The processes that a run's function starts; safe from any thread."""

    def __init__(self, run_id: str, stop: Stop, *, warn: Callable[[str], None]) -> None:
        self._run_id = run_id
        self._stop = stop
        self._warn = warn
        self._control: PipeEnd | None = None
        self._answer: PipeEnd | None = None
        self._ending = threading.Lock()  # no pipe is closed under whoever waits for an answer
        self._launching = threading.RLock()
        self._launch: Callable[[], None] | None = None
        """Starts the process that watches; None where it runs, or there is nothing to watch."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While the block lasts, a process of its own ends the children if this one is killed.

        It is started before the first child is, so that a task without any does not pay for it. At the end of
        the block they are left alone, a daemon that is meant to stay among them; where the task was ended by
        force, they are killed before the block is left, and what was missed, when this process ends.
        """
        word = os.urandom(16).hex()
        with ExitStack() as stack:
            if Path("/proc/self/environ").exists():  # else a child cannot be told from a stranger: macOS
                self._prepare(f"{MARK}={word}", stack)
            try:
                with _variables({RUN_ID: self._run_id, MARK: word}):
                    yield
            finally:
                if self._stop.forced:
                    self.end()
                    _exit_in_time(EXIT_CODES[self._stop.cause.status] if self._stop.cause else 1)
                else:
                    self._say(LEAVE)
                with self._ending:
                    stack.close()

    def end(self) -> None:
        """Kill them all; nothing of them runs afterwards, except what cannot die within some seconds."""
        self._watch()  # what C code started was not seen
        with self._ending:
            if self._say(END) and self._answer is not None:
                self._answer.hear(END_SECONDS)

    def _say(self, word: bytes) -> bool:
        return self._control is not None and self._control.say(word)

    def _prepare(self, mark: str, stack: ExitStack) -> None:
        """Have the pipes, which a fork is known by; the watcher is started before the first child."""
        theirs = stack.enter_context(ExitStack())
        control, self._control = _pipe(theirs, stack, writes=True)
        answer, self._answer = _pipe(theirs, stack, writes=False)
        self._launch = lambda: self._start(mark, control, answer, theirs)
        starts.listen(self._before_a_start)
        stack.callback(starts.forget, self._before_a_start)

    def _before_a_start(self, event: str, args: tuple[Any, ...]) -> None:
        if event != "os.exec":
            self._watch()

    def _watch(self) -> None:
        with self._launching:
            launch, self._launch = self._launch, None  # it starts a process itself
            if launch is None:
                return
            try:
                launch()
            except OSError as error:
                self._warn(f"{UNWATCHED}: {error.strerror}")

    def _start(self, mark: str, control: PipeEnd, answer: PipeEnd, theirs: ExitStack) -> None:
        with theirs:
            pipes = (control.fd, answer.fd)  # first: nothing takes the numbers that a task has closed
            handles = (_own_handle(theirs), *pipes)
            pid = os.getpid()
            numbers = map(str, (pid, born(pid), *handles))
            with _signals_blocked():
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _WATCHER, str(Path(__file__).parent), *numbers, mark],
                    pass_fds=[fd for fd in handles if fd >= 0],
                    env=environ_of(self._run_id, os.environ),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            if process.wait() != 0:
                self._warn(UNWATCHED)


def _pipe(theirs: ExitStack, ours: ExitStack, *, writes: bool) -> tuple[PipeEnd, PipeEnd]:
    """Their end and ours, which writes or reads."""
    reader, writer = os.pipe()
    far, near = map(PipeEnd, (reader, writer) if writes else (writer, reader))
    theirs.callback(far.close)
    ours.callback(near.close)
    return far, near


def _own_handle(stack: ExitStack) -> int:
    """A pidfd of this process; -1 where the system has none, or does not allow it."""
    try:
        handle = os.pidfd_open(os.getpid())
    except (AttributeError, OSError):
        return -1
    stack.callback(os.close, handle)
    return handle


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """For ever in what is started here: who signals all processes of a service does not mean this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, CAUSES)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_in_time(code: int) -> None:
    """Python ends a ``multiprocessing`` pool at its exit, and a killed worker may have held a lock of it."""
    ending = threading.Event()

    def leave() -> None:
        ending.wait()
        time.sleep(EXIT_SECONDS)
        os._exit(code)

    atexit.register(ending.set)  # the last to be registered is the first to be called
    threading.Thread(target=leave, name="oneoff-leaving", daemon=True).start()


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    """Set for the block, for this process and for what it starts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
