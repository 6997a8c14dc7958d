"""The threads beside the task: they beat for the lease, hear signals and watch the time limit.

One thread decides; another one asks the store, which may be locked for long, and must hold up nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from oneoff import own
from oneoff.errors import OneoffError
from oneoff.execution import signals as hearing
from oneoff.execution import stopping
from oneoff.execution.signals import Signals
from oneoff.protocols import Clock
from oneoff.runs.run import Run

BEAT = 2.0
"""Seconds between two heartbeats; a cancel from another process is seen within this time."""
LAST_GRACE = 5.0
"""Seconds that a task ended by force has for its ``finally`` blocks before the process exits under it."""
LONGEST_WAIT = 3600.0

Beat = Callable[[], Run | None]
"""Says that the run lives; the record as it is now, or None where the lease is lost."""


def _at_work(loop: Callable[[], None]) -> None:
    with own.work():
        loop()


class Supervisor:
    """Runs beside the task from ``__enter__`` to ``__exit__``."""

    def __init__(
        self,
        signals: Signals,
        *,
        clock: Clock,
        beat: Beat,
        timeout: float | None,
        asked: Callable[[stopping.Cause], None],
        give_up: Callable[[], None],
    ) -> None:
        self._signals = signals
        self._stop = signals.stop
        self._clock = clock
        self._beat = beat
        self._timeout = timeout
        self._asked = asked
        """Told once, when the task is first asked to end; must not wait for anything."""
        self._give_up = give_up
        """Records the outcome for a task that does not end, and leaves the process."""
        self._force_at: float | None = None
        self._leave_at: float | None = None
        self._wanted: list[tuple[stopping.Cause, bool]] = []
        """What the store asks for: a cause, and whether to end by force."""
        self._ended = threading.Event()

    def __enter__(self) -> Supervisor:
        self._deadline = None if self._timeout is None else self._clock.monotonic() + self._timeout
        self._listen(0)  # what came before the task started
        self._threads = [
            threading.Thread(target=_at_work, args=[self._watch], name="oneoff-supervisor", daemon=True),
            threading.Thread(target=_at_work, args=[self._report], name="oneoff-heartbeat", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._signals.wake()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            moments = (self._deadline, self._force_at, self._leave_at)
            nearest = min((moment for moment in moments if moment is not None), default=None)
            self._listen(LONGEST_WAIT if nearest is None else nearest - self._clock.monotonic())
            if self._ended.is_set():
                return
            while self._wanted:
                self._obey(*self._wanted.pop(0))
            self._act_on_time(self._clock.monotonic())

    def _listen(self, seconds: float) -> None:
        try:
            numbers = self._signals.listen(seconds)
        except OSError:  # the task closed the pipe; time and the store are still watched
            self._ended.wait(min(max(0.0, seconds), BEAT))
            return
        for number in numbers:
            self._heard(number)

    def _heard(self, number: int) -> None:
        cause = hearing.CAUSES.get(number)
        if cause is None:  # a handler of the task's own
            return
        if self._stop.cause is None:
            self._ask(cause)
        elif number in hearing.INSISTING:
            self._force()

    def _obey(self, cause: stopping.Cause, force: bool) -> None:
        self._ask(cause)
        if force:
            self._force()

    def _act_on_time(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._ask(stopping.TIMEOUT)
        if self._force_at is not None and now >= self._force_at:
            self._force()
        if self._leave_at is not None and now >= self._leave_at and not self._ended.is_set():
            self._leave_at = None
            self._give_up()

    def _ask(self, cause: stopping.Cause) -> None:
        first = self._stop.cause is None
        self._stop.request(cause)
        if first:
            self._asked(cause)
        if cause.grace is not None and self._force_at is None and not self._stop.forced:
            self._force_at = self._clock.monotonic() + cause.grace

    def _force(self) -> None:
        self._force_at = None
        if self._stop.forced:
            return
        self._leave_at = self._clock.monotonic() + LAST_GRACE
        self._stop.force()
        if not self._ended.is_set():
            self._signals.interrupt()

    def _report(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                run = self._beat()
            except OneoffError:
                continue  # the lease lasts for many beats, and the outcome has its own way out
            if run is None:
                self._wanted.append((stopping.LEASE_LOST, False))
            elif run.stop_requested:
                self._wanted.append((stopping.CANCEL, run.stop_requested == "kill"))
            else:
                continue
            self._signals.wake()
