"""A small process of its own that starts a command, and sees to it that nothing of it is left behind.

Run as ``python -I -S guardian.py CONTROL STATUS PROGRAM ARGUMENT…`` by :mod:`oneoff.execution.command`, and
imported by nobody else. It is the command's parent, so it alone decides when the command's pid may be given
to another process, and no signal can hit a stranger.

* CONTROL is the reading end of a pipe: each byte is the number of a signal for the command's process group.
  Its end means that the run's process is gone: the whole group is killed.
* STATUS is the writing end of a pipe for lines of text: ``pid N`` (by the command's own process, before it
  becomes the program), then ``started``, then ``exited CODE`` or ``killed SIGNAL``; or ``failed ERRNO``.

The command leads a session and a process group of its own. What it leaves in that group when it ends is
asked to end, then killed. A process that moved to another group by itself (a daemon) is not found.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

GRACE_SECONDS = 2.0
"""Between the SIGTERM and the SIGKILL for what a command left behind."""

_POLL_MILLISECONDS = 20
_SPARED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_REAP_LAST = hasattr(
    os, "waitid"
)  # macOS has it from Python 3.13 on; without it a pid is free for an instant


class ParentGone(Exception):
    """Nobody holds the other end of the control pipe."""


class Group:
    """The process group of the command."""

    def __init__(self, pid: int, control: int, wake: int) -> None:
        self._pid = pid
        self._control = control
        self._wake = wake
        self._status: int | None = None
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)
        self._poller.register(wake, select.POLLIN)

    def wait(self) -> None:
        """Until the command itself has ended."""
        while not self._ended():
            self._listen(None)

    def end_leftovers(self) -> None:
        """Nothing of the group runs afterwards."""
        if not self._leftovers():
            return
        self.send(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while self._leftovers() and time.monotonic() < deadline:
            self._listen(_POLL_MILLISECONDS)
        self.send(signal.SIGKILL)

    def reap(self) -> str:
        """Give the pid back; the result is the line that says how the command ended."""
        if self._status is None:
            self._status = os.waitpid(self._pid, 0)[1]
        code = os.waitstatus_to_exitcode(self._status)
        return f"exited {code}" if code >= 0 else f"killed {-code}"

    def send(self, number: int) -> None:
        """Send a signal to every member."""
        with suppress(OSError):  # all gone, or (macOS) only zombies left
            os.killpg(self._pid, number)
            if number == signal.SIGTERM:
                os.killpg(self._pid, signal.SIGCONT)  # a stopped process hears it only then

    def _listen(self, milliseconds: int | None) -> None:
        for fd, _ in self._poller.poll(milliseconds):
            data = os.read(fd, 512)
            if fd == self._wake:
                continue
            if not data:
                raise ParentGone
            for number in data:
                self.send(number)

    def _ended(self) -> bool:
        if _REAP_LAST:
            return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._status = status
        return bool(pid)

    def _leftovers(self) -> bool:
        try:
            with os.scandir("/proc") as entries:
                return any(_runs_in(self._pid, entry.name) for entry in entries if entry.name.isdigit())
        except FileNotFoundError:  # macOS
            pass
        try:
            os.killpg(self._pid, 0)
        except OSError:
            return False
        return True


def _runs_in(group: int, pid: str) -> bool:
    """Whether the process belongs to the group and is no zombie; proc(5), fields 3 and 5 of ``stat``."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib takes longer to import than the rest
            state, _, its_group = file.read().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):  # it ended just now
        return False
    return int(its_group) == group and state not in (b"Z", b"X")


def start(command: list[str], status: int) -> int | None:
    """The pid of the command, which runs; None where it could not be started, and that is reported."""
    reader, writer = os.pipe()  # closed by the system once the program has taken over
    pid = os.fork()
    if pid == 0:
        _become(command, status, writer)
    os.close(writer)
    failure = os.read(reader, 32)
    os.close(reader)
    if failure:
        os.waitpid(pid, 0)
        _say(status, f"failed {failure.decode()}")
        return None
    _say(status, "started")
    return pid


def _become(command: list[str], status: int, failure: int) -> None:
    try:
        os.setsid()
        _say(status, f"pid {os.getpid()}")
        for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored_by_python, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(failure, str(error.errno).encode())
    finally:
        os._exit(127)


def _say(status: int, line: str) -> None:
    with suppress(OSError):  # nobody listens: the control pipe tells the same
        os.write(status, f"{line}\n".encode())


def _watch_signals() -> int:
    """A descriptor that wakes up when the command ends; signals that are meant for others pass by.

    They are handled, not ignored: the command would inherit that. What the caller ignores stays ignored.
    """
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_SPARED):
        if number is signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    return wake


def _let_go_of_standard_streams() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)


def main(arguments: list[str]) -> None:
    """Start the command, pass signals on, clean up, report."""
    control, status = int(arguments[0]), int(arguments[1])
    for fd in (control, status):
        os.set_inheritable(fd, False)
    wake = _watch_signals()
    if select.select([control], [], [], 0)[0]:
        return  # the run's process is gone already: nothing may start
    pid = start(arguments[2:], status)
    if pid is None:
        return
    _let_go_of_standard_streams()
    group = Group(pid, control, wake)
    try:
        group.wait()
        group.end_leftovers()
    except ParentGone:
        group.send(signal.SIGKILL)
    _say(status, group.reap())


if __name__ == "__main__":
    main(sys.argv[1:])
