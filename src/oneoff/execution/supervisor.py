"""The thread beside the task: it beats for the lease, hears signals and watches the time limit.

A signal's number reaches this thread through a pipe that the C-level handler writes (``set_wakeup_fd``), so
it is heard even while the task is deep in a database driver. The task's own thread is touched only to end it
by force: then a handler raises :class:`~oneoff.errors.RunStopped` there, and if that does not get through
either, the outcome is recorded from here and the process exits.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from oneoff.errors import RunStopped, StoreUnavailable
from oneoff.execution import stopping
from oneoff.execution.stopping import Stop
from oneoff.protocols import Clock
from oneoff.runs.run import Run

BEAT = 2.0
"""Seconds between two heartbeats; a cancel from another process is seen within this time."""
LAST_GRACE = 5.0
"""Seconds that a task ended by force has for its ``finally`` blocks before the process exits under it."""

SIGNALS = {
    signal.SIGINT: stopping.INTERRUPT,
    signal.SIGTERM: stopping.TERMINATE,
    signal.SIGHUP: stopping.TERMINATE,
}

Beat = Callable[[], Run | None]
"""Says that the run lives; the record as it is now, or None where the lease is lost."""


class Supervisor:
    """Runs beside the task from ``__enter__`` to ``__exit__``."""

    def __init__(
        self,
        stop: Stop,
        *,
        clock: Clock,
        beat: Beat,
        timeout: float | None,
        give_up: Callable[[], None],
    ) -> None:
        self._stop = stop
        self._clock = clock
        self._beat = beat
        self._timeout = timeout
        self._give_up = give_up
        """Records the outcome for a task that does not end, and leaves the process."""
        self._force_at: float | None = None
        self._leave_at: float | None = None
        self._handlers: dict[int, Any] = {}
        self._main = threading.main_thread()
        self._ended = threading.Event()

    def __enter__(self) -> Supervisor:
        self._started = self._clock.monotonic()
        self._deadline = None if self._timeout is None else self._started + self._timeout
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._mouth, False)
        self._hear_signals()
        self._thread = threading.Thread(target=self._watch, name="oneoff-supervisor", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.task_ended()
        self._thread.join()
        self._ignore_signals()
        os.close(self._ear)
        os.close(self._mouth)

    def task_ended(self) -> None:
        """The task is over: no signal may end anything by force from here on."""
        self._ended.set()
        with contextlib.suppress(OSError):
            os.write(self._mouth, b"\0")

    def _hear_signals(self) -> None:
        if threading.current_thread() is not self._main:
            return  # an app may run a task in a thread of its own; signals are then its own affair
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                self._handlers[number] = signal.signal(number, self._on_signal)
        self._wakeup = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)

    def _ignore_signals(self) -> None:
        if self._handlers:
            signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Runs in the task's thread. The watching thread decides; here only the end by force happens."""
        if self._stop.forced and not self._ended.is_set():
            raise RunStopped(self._stop.cause.words if self._stop.cause else "")

    def _watch(self) -> None:
        next_beat = self._clock.monotonic() + BEAT
        while not self._ended.is_set():
            moments = [next_beat, self._deadline, self._force_at, self._leave_at]
            nearest = min(moment for moment in moments if moment is not None)
            ready, _, _ = select.select([self._ear], [], [], max(0.0, nearest - self._clock.monotonic()))
            if ready:
                for number in os.read(self._ear, 64):
                    self._heard(number)
            if self._ended.is_set():
                return
            now = self._clock.monotonic()
            self._act_on_time(now)
            if now >= next_beat:
                self._report()
                next_beat = self._clock.monotonic() + BEAT

    def _heard(self, number: int) -> None:
        cause = SIGNALS.get(signal.Signals(number)) if number else None
        if cause is None or self._stop.forced:
            return
        if self._stop.cause is None:
            self._ask(cause)
        else:
            self._force()

    def _act_on_time(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._ask(stopping.TIMEOUT)
        if self._force_at is not None and now >= self._force_at:
            self._force()
        if self._leave_at is not None and now >= self._leave_at and not self._ended.is_set():
            self._give_up()

    def _ask(self, cause: stopping.Cause) -> None:
        self._stop.request(cause)
        if cause.grace is not None and self._force_at is None:
            self._force_at = self._clock.monotonic() + cause.grace

    def _force(self) -> None:
        self._force_at = None
        self._leave_at = self._clock.monotonic() + LAST_GRACE
        self._stop.force()
        if self._handlers and not self._ended.is_set():
            signal.pthread_kill(self._main.ident or 0, signal.SIGTERM)

    def _report(self) -> None:
        try:
            run = self._beat()
        except StoreUnavailable:
            return  # the task goes on; the lease lasts for many beats, and the outcome has its own way out
        if run is None:
            self._ask(stopping.LEASE_LOST)
        elif run.stop_requested:
            self._ask(stopping.CANCEL)
            if run.stop_requested == "kill" and not self._stop.forced:
                self._force()
