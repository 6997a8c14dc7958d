"""How far a run is: for people at a terminal, for a log, and for the record."""

from __future__ import annotations

import time
from collections.abc import Callable

from oneoff.execution.log import RunLogger
from oneoff.execution.terminal import Terminal, cells, printable
from oneoff.runs.run import Progress
from oneoff.tasks.masking import NO_SECRETS, Mask

BAR_SECONDS = 0.1
"""Between two drawings of the bar on a terminal."""
LINE_SECONDS = 5.0
"""Between two lines where there is no terminal."""

_BAR_CELLS = 30
_MESSAGE = 200
_RATE_AFTER_SECONDS = 1.0


class ProgressMeter:
    """Takes the task's word for how far it is, as often as it likes, and shows it now and then.

    On a terminal it is one line at the foot, gone after :meth:`close`; elsewhere a log line every
    :data:`LINE_SECONDS` and one at the end.
    """

    def __init__(
        self,
        *,
        terminal: Terminal,
        log: RunLogger,
        clock: Callable[[], float] = time.monotonic,
        mask: Mask = NO_SECRETS,
    ) -> None:
        self._terminal = terminal
        self._log = log
        self._clock = clock
        self._mask = mask
        self._interval = BAR_SECONDS if terminal.isatty else LINE_SECONDS
        self._state: tuple[int, int | None, str] | None = None
        self._reported: tuple[int, int | None, str] | None = None
        self._pace = Pace()
        self._checked = clock()
        self._next = self._checked if terminal.isatty else self._checked + LINE_SECONDS

    @property
    def current(self) -> Progress | None:
        """The last word of the task, for the record; None while it said nothing. Safe from any thread."""
        if self._state is None:
            return None
        done, total, message = self._state
        return Progress(done=done, total=total, message=self._mask(message))

    def update(self, done: int, total: int | None = None, message: str = "") -> None:
        """Say how much is done; cheap enough for every row.

        Args:
            done: in units of the task's own, counted from 0.
            total: how much there is, as far as known; stays what it was where it is not given.
            message: what is being done right now; stays until the next update.

        Raises:
            TypeError, ValueError: a count is no number.
        """
        if total is None and self._state is not None:
            total = self._state[1]
        self._state = (int(done), None if total is None else int(total), str(message))
        now = self._clock()
        if self._checked <= now < self._next:
            return
        self._checked = now
        self._next = now + self._interval
        self._show(now)

    def close(self) -> None:
        """Take the bar away, or log the last word."""
        if self._terminal.isatty:
            self._terminal.show("")
        elif self._state != self._reported:
            self._show(self._clock())

    def _show(self, now: float) -> None:
        if (progress := self.current) is None:
            return
        self._pace.note(progress.done, now)
        if self._terminal.isatty:
            self._terminal.show(bar(progress, self._pace, self._terminal.width - 1))
        else:
            parts = [*facts(progress, self._pace), printable(progress.message[:_MESSAGE])]
            self._log.info(", ".join(filter(None, parts)), done=progress.done, total=progress.total)
            self._reported = self._state


class Pace:
    """Units per second since the first one that was seen, so that a resumed run does not count twice."""

    def __init__(self) -> None:
        self._start: tuple[int, float] | None = None
        self._latest = (0, 0.0)

    def note(self, done: int, now: float) -> None:
        """Remember a sighting; one that goes backwards, in count or time, starts afresh."""
        if self._start is None or done < self._latest[0] or now < self._latest[1]:
            self._start = (done, now)
        self._latest = (done, now)

    @property
    def rate(self) -> float | None:
        """Units per second; None where it is too early to say, or nothing moves."""
        if self._start is None:
            return None
        seconds = self._latest[1] - self._start[1]
        units = self._latest[0] - self._start[0]
        return units / seconds if seconds >= _RATE_AFTER_SECONDS and units > 0 else None


def facts(progress: Progress, pace: Pace) -> list[str]:
    """The parts of a progress line: the count, the percentage, the rate, the time left; what is known."""
    done, total, rate = progress.done, progress.total, pace.rate
    parts = [count(done, total)]
    if total is not None and total > 0 and 0 <= done <= total:
        parts.append(f"{100 * done // total}%")
    if rate is not None:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if total is not None and done < total:
            parts.append(f"{clock_time((total - done) / rate)} left")
    return parts


def count(done: int, total: int | None) -> str:
    """``1,200 of 5,000``; an estimate that proved too small is called what it was."""
    if total is None or total < 0:
        return f"{done:,}"
    return f"{done:,} of {total:,}" + (" expected" if done > total else "")


def clock_time(seconds: float) -> str:
    """``0:47``, ``12:03``, ``3:12:03``, ``2d 3h``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24:,}d {hours % 24}h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def bar(progress: Progress, pace: Pace, width: int) -> str:
    """One line for a terminal, at most ``width`` columns: the bar itself goes first where space is short."""
    text = "  ".join(filter(None, [*facts(progress, pace), printable(progress.message[:_MESSAGE])]))
    room = min(_BAR_CELLS, width - cells(text) - 4)
    total = progress.total
    if total is not None and total > 0 and room >= 10:
        filled = room * min(max(progress.done, 0), total) // total
        text = f"[{'#' * filled}{'-' * (room - filled)}]  {text}"
    text = text[: max(width, 0)]
    while text and cells(text) > width:
        text = text[:-1]
    return text
