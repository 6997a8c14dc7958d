"""Everything that a run prints goes to where it went before, and to the run's log."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from oneoff.execution.pipes import PipeEnd
from oneoff.execution.terminal import Terminal, write_all
from oneoff.logs import open_log

STRAGGLER_SECONDS = 0.5
"""How long the end of a run waits for processes that it left behind and that still hold its output."""

_CHUNK = 65_536  # what a pipe holds, so that one read empties it
_NOBODY_LISTENS = frozenset({errno.EPIPE, errno.EIO, errno.ENXIO})


@contextmanager
def passed_on() -> Iterator[Terminal]:
    """Leave what is printed to whoever keeps it: a file, a pod's log. A line is there once it is printed.

    Yields:
        Standard error, for a status line.
    """
    with _line_buffered():
        yield Terminal(2)


@contextmanager
def tee(log_path: Path) -> Iterator[Terminal]:
    """Copy what this process and its children write to descriptors 1 and 2 to a log as well.

    Bytes are passed on as they come, and are in the log before they are on the terminal. Neither a terminal
    that goes away nor a disk that fills up disturbs the task; what is missing is said at the end on stderr.
    A process that outlives the block keeps nobody waiting for longer than :data:`STRAGGLER_SECONDS`; its
    later output goes nowhere. What was written in the last instant before this very process is killed, or
    crashes in C code, may be lost: a thread of it does the copying.

    Yields:
        What stderr was before, for a status line.

    Raises:
        StoreUnavailable: the log cannot be opened.
    """
    with ExitStack() as stack:
        _fill_standard_descriptors()
        log = open_log(log_path)
        stack.callback(os.close, log)
        originals = {fd: os.dup(fd) for fd in (1, 2)}
        for fd in originals.values():
            stack.callback(os.close, fd)
        terminal = Terminal(originals[2])
        pump = _Pump(log, terminal)
        stack.callback(pump.report, log_path, originals[2])
        stack.callback(pump.finish)
        writers = {fd: pump.add(original) for fd, original in originals.items()}
        pump.start()
        stack.enter_context(_line_buffered())
        for fd, writer in writers.items():
            os.dup2(writer, fd)
            os.close(writer)
            stack.callback(os.dup2, originals[fd], fd)
        stack.callback(_flush)
        yield terminal


@contextmanager
def own_streams() -> Iterator[None]:
    """Afterwards ``sys.stdout`` and ``sys.stderr`` are what they were, whatever a task made of them."""
    before = {"stdout": sys.stdout, "stderr": sys.stderr}
    try:
        yield
    finally:
        _fill_standard_descriptors()
        for fd, (name, stream) in enumerate(before.items(), start=1):
            if isinstance(stream, io.TextIOWrapper) and stream.closed:
                stream = os.fdopen(
                    fd, "w", encoding=stream.encoding, errors="backslashreplace", closefd=False
                )
            setattr(sys, name, stream)


def _fill_standard_descriptors() -> None:
    """Where 0, 1 or 2 was closed by the caller, let it lead nowhere: else the next file gets that number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # none, closed by the task, or nobody listens
            stream.flush()


@contextmanager
def _line_buffered() -> Iterator[None]:
    """Python buffers by the block what does not go to a terminal; a run's output is to be seen at once."""
    _flush()
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    before = [(stream, stream.line_buffering) for stream in streams]
    for stream in streams:
        stream.reconfigure(line_buffering=True)
    try:
        yield
    finally:
        for stream, line_buffering in before:
            with suppress(ValueError, OSError):
                stream.reconfigure(line_buffering=line_buffering)


class _Pump(threading.Thread):
    """Copies from pipes to the log and to the descriptors that the pipes stand in for."""

    def __init__(self, log: int, terminal: Terminal) -> None:
        super().__init__(name="oneoff-output", daemon=True)
        self._log = log
        self._terminal = terminal
        self._targets: dict[int, int] = {}
        self._on_terminal = set[int]()
        self._failures: dict[int, OSError] = {}
        self._unlogged = 0
        self._wake, waker = os.pipe()
        self._waker = PipeEnd(waker)
        self._deadline: float | None = None

    def add(self, target: int) -> int:
        """Stand in for a descriptor; the result is the end of a pipe to write to."""
        reader, writer = os.pipe()
        self._targets[reader] = target
        if os.isatty(target):
            self._on_terminal.add(target)
        return writer

    def finish(self) -> None:
        """Copy what is there; nobody in this process writes any more."""
        self._deadline = time.monotonic() + STRAGGLER_SECONDS
        self._waker.say(b".")  # a fork of the task may hold it open: to close it is not enough
        self._waker.close()
        if self.ident is not None:
            self.join()
        os.close(self._wake)
        for reader in self._targets:
            os.close(reader)

    def report(self, log_path: Path, stderr: int) -> None:
        """Say once what did not get where it belongs."""
        notices = []
        for fd, error in self._failures.items():
            if fd == self._log:
                notices.append(f"the run's log {log_path} lacks {self._unlogged:,} bytes: {error.strerror}")
            elif error.errno not in _NOBODY_LISTENS:
                notices.append(f"output could not be written: {error.strerror}")
        with suppress(OSError):
            write_all(stderr, "".join(f"oneoff: {notice}\n" for notice in notices).encode())

    def run(self) -> None:
        _block_signals()
        poller = select.poll()
        for fd in (self._wake, *self._targets):
            poller.register(fd, select.POLLIN)
        open_ends = set(self._targets)
        while open_ends and (timeout := self._patience()) != 0:
            for fd, _ in poller.poll(timeout):
                data = b"" if fd == self._wake else os.read(fd, _CHUNK)
                if data:
                    self._copy(data, self._targets[fd])
                else:
                    poller.unregister(fd)
                    open_ends.discard(fd)
        for fd in open_ends:  # a straggler holds it; what was there when the task ended still counts
            os.set_blocking(fd, False)
            with suppress(BlockingIOError):
                self._copy(os.read(fd, _CHUNK), self._targets[fd])

    def _patience(self) -> float | None:
        """Milliseconds to wait for more; None is for ever."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic()) * 1000

    def _copy(self, data: bytes, target: int) -> None:
        try:
            write_all(self._log, data)
        except OSError as error:
            self._unlogged += len(data)
            self._failures[self._log] = error
        if target in self._failures:
            return
        try:
            if target in self._on_terminal:
                self._terminal.write(target, data)
            else:
                write_all(target, data)
        except OSError as error:
            self._failures[target] = error


def _block_signals() -> None:
    """The main thread handles signals; here a SIGPIPE or SIGTTOU would end or stop the whole process."""
    from signal import SIG_BLOCK, pthread_sigmask, valid_signals

    pthread_sigmask(SIG_BLOCK, valid_signals())
