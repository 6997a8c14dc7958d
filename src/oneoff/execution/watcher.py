"""A small process of its own that ends what the function of a run has started, when the run cannot.

Started with ``PID BORN LIFE CONTROL ANSWER MARK`` by :mod:`oneoff.execution.children`, and needs the standard
library only. It kills nothing but processes that belong to the run, and the run's own never:

* those whose variables hold MARK, ``NAME=WORD``: whatever was started with the variables of the run;
* those that hold the writing end of the control pipe: forks of the run's process, whose variables
  ``/proc`` shows as they were before the mark was set. A program that they start has the mark instead.

PID is the run's process, and BORN the ticks from the boot to its start. LIFE is a pidfd of it, or -1 where
the system has none: then it is looked for again and again.

* CONTROL is the reading end of a pipe. ``l`` says that the task has ended by itself: what it left is
  left alone, and this process ends. ``e`` says that it is ended by force: what it started is killed now.
  The pipe's end says nothing, because forks hold it open, and a task may close what it did not open.
* ANSWER is the writing end of a pipe: one byte after each ``e``, when nothing is left.

When the run's process is gone, and ``l`` was not said, what it started is killed.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

LEAVE = b"l"
END = b"e"

_AGAIN_SECONDS = (0.01, 0.1)
"""Between two looks at all processes: at first, and at last where one cannot be killed yet."""
_LIFE_MILLISECONDS = 200
"""Between two looks at the run's process where there is no pidfd."""


class Family:
    """What belongs to the run."""

    def __init__(self, mark: str, control: int, *, by_handle: bool) -> None:
        self._mark = mark.encode()
        self._pipe = _target(f"/proc/self/fd/{control}")
        self._by_handle = by_handle

    def end(self, *, spared: int | None) -> None:
        """Kill until none is left. Two looks find nothing, because a process may fork behind the first."""
        spare = {os.getpid(), spared}
        calm, (pause, longest) = 0, _AGAIN_SECONDS
        while calm < 2:
            pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - as in the guardian
            killed = [pid for pid in pids if pid not in spare and self._kill(pid)]
            calm = 0 if killed else calm + 1
            time.sleep(pause)
            pause = min(pause * 1.5, longest)

    def _kill(self, pid: int) -> bool:
        """Whether it belonged to the run and was sent SIGKILL."""
        if not self._holds(pid):
            return False
        try:
            if self._by_handle:
                return self._kill_by_handle(pid)
            os.kill(pid, signal.SIGKILL)
        except OSError:  # it ended, or it is another user's by now
            return False
        return True

    def _kill_by_handle(self, pid: int) -> bool:
        handle = os.pidfd_open(pid)
        try:
            if not self._holds(pid):  # the number has gone to another process before there was a handle
                return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
        return True

    def _holds(self, pid: int) -> bool:
        """Whether it belongs to the run; a zombie has neither variables nor files."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
                if self._mark in file.read().split(b"\0"):
                    return True
            names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
        except OSError:  # it ended just now, or it is another user's
            return False
        return any(_target(f"/proc/{pid}/fd/{name}") == self._pipe for name in names)


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115
    except OSError:  # closed just now
        return ""


class Run:
    """The run's process: what it says, and whether it is there."""

    def __init__(self, pid: int, born: int, handle: int, control: int) -> None:
        self._pid = pid
        self._born = born
        self._handle = handle
        self._control = control
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)
        if handle >= 0:
            self._poller.register(handle, select.POLLIN)
        os.set_blocking(control, False)
        self._open = True

    def listen(self) -> tuple[bytes, bool]:
        """Wait: what it said, and whether it is gone; what it said last is read after its end is seen."""
        ready = dict(self._poller.poll(None if self._handle >= 0 else _LIFE_MILLISECONDS))
        gone = self._handle in ready if self._handle >= 0 else born(self._pid) != self._born
        return self._read(), gone

    def _read(self) -> bytes:
        if not self._open:
            return b""
        try:
            said = os.read(self._control, 1)
        except BlockingIOError:
            return b""
        if not said:
            self._open = False
            self._poller.unregister(self._control)  # an end is always ready
        return said


def born(pid: int) -> int | None:
    """When it started, in ticks; None where it is gone or a zombie. proc(5), fields 3 and 22 of ``stat``."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def watch(run: Run, pid: int, answer: int, family: Family) -> None:
    """Do as the run's process says, until it has said that all is well, or is gone."""
    while True:
        said, gone = run.listen()
        if said == LEAVE:
            return
        if said == END:
            family.end(spared=pid)
            with suppress(OSError):  # nobody waits for it any more
                os.write(answer, END)
        elif gone:
            family.end(spared=None)
            return


def main(arguments: list[str]) -> None:
    """Watch the run's process."""
    pid, ticks, handle, control, answer = map(int, arguments[:5])
    run = Run(pid, ticks, handle, control)
    watch(run, pid, answer, Family(arguments[5], control, by_handle=handle >= 0))
