"""Hears the signals that ask a run to end, from before it is claimed until its outcome is recorded.

A signal's number goes through a pipe that the C-level handler writes (``set_wakeup_fd``), so it is heard even
while the task is deep in a database driver. The task's own thread is touched once at most: to end the task by
force, the handler raises :class:`~oneoff.errors.RunStopped` there. Outside :meth:`Signals.interruptible` a
handler does nothing, so that no signal can come between the task's end and its record.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator
from functools import cache
from types import FrameType, TracebackType
from typing import Any

from oneoff.errors import RunStopped
from oneoff.execution import stopping
from oneoff.execution.stopping import Stop

CAUSES: dict[int, stopping.Cause] = {
    signal.SIGINT: stopping.INTERRUPT,
    signal.SIGTERM: stopping.TERMINATE,
    signal.SIGHUP: stopping.TERMINATE,
}
"""What is heard, and why the task then has to end."""
INSISTING = frozenset({signal.SIGINT, signal.SIGTERM})
"""A second one of these ends the task by force. A terminal that goes away sends SIGHUP twice: the kernel
does, and then the shell."""

_WAKE = b"\0"
_hearing: list[Signals] = []


class Signals:
    """The ear of one run in this process. Off the main thread it is deaf: signals are the app's there."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self._handlers: dict[int, Any] = {}
        self._interruptible = False

    def __enter__(self) -> Signals:
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._ear, False)
        os.set_blocking(self._mouth, False)
        self._poller = select.poll()  # select(2) knows no descriptor above 1023
        self._poller.register(self._ear, select.POLLIN)
        if threading.current_thread() is threading.main_thread():
            self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        for fd in (self._ear, self._mouth):
            with contextlib.suppress(OSError):  # a task may close what it did not open
                os.close(fd)

    def _install(self) -> None:
        _restore_in_forks()
        self._wakeup = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
        for number in CAUSES:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                self._handlers[number] = signal.signal(number, self._on_signal)
        _hearing.append(self)

    def let_go(self) -> None:
        """Signals mean what they did before. In a forked child too: its own are not the run's."""
        if self not in _hearing:
            return
        _hearing.remove(self)
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        with contextlib.suppress(OSError, ValueError):  # the earlier one may be closed by now
            signal.set_wakeup_fd(self._wakeup)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Runs in the task's thread. The supervisor decides; here only the end by force happens."""
        self._pass_on(number)
        if self.stop.forced and self._interruptible:
            self._interruptible = False
            raise RunStopped(self.stop.cause.words if self.stop.cause else "")

    def _pass_on(self, number: int) -> None:
        """An event loop of the task's may have taken the C-level handler's pipe away."""
        with contextlib.suppress(OSError, ValueError):  # our pipe is closed: deaf, but no harm to the task
            current = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
            if current != self._mouth:
                os.write(self._mouth, bytes([number]))
                if current != -1:
                    signal.set_wakeup_fd(current)

    def listen(self, seconds: float) -> bytes:
        """The numbers of the signals that came, after at most this long; for one thread."""
        try:
            self._poller.poll(max(0.0, seconds) * 1000)
            return os.read(self._ear, 64).replace(_WAKE, b"")
        except BlockingIOError:
            return b""

    def wake(self) -> None:
        """End a :meth:`listen` in another thread now."""
        with contextlib.suppress(OSError):
            os.write(self._mouth, _WAKE)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """The part in which :meth:`interrupt` may raise RunStopped, once."""
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """A short part of it in which that does not happen: a commit."""
        before, self._interruptible = self._interruptible, False
        try:
            yield
        finally:
            self._interruptible = before

    def interrupt(self) -> None:
        """From another thread: raise RunStopped in the task's, also where it waits in a system call.

        Does nothing where the task has put a handler of its own in the place of ours: it could be anything.
        """
        if self._interruptible and signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """What comes after a run's outcome takes seconds, and a request to end waits for it.

    A handler that does nothing, because a program that is started meanwhile inherits what is ignored or
    blocked, and no handler.
    """
    mine = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in CAUSES if mine}
    held = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in held:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, before[number] or signal.SIG_DFL)


class _Mask(threading.local):
    """The signals that this thread blocked before it began to fork."""

    before: set[signal.Signals | int] | None = None


_mask = _Mask()


@cache
def _restore_in_forks() -> None:
    os.register_at_fork(before=_hold_back, after_in_parent=_deliver, after_in_child=_forget)


def _hold_back() -> None:
    """A signal to the child must find the handlers that it is to have, not ours."""
    if _hearing:
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, CAUSES)


def _deliver() -> None:
    if _mask.before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)
        _mask.before = None


def _forget() -> None:
    for signals in tuple(_hearing):
        signals.let_go()
    _deliver()
