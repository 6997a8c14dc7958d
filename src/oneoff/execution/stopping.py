"""Why and how a task is made to end before it is done: one table, for signals, cancels and time limits."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event, Lock
from typing import Protocol

from oneoff.runs.status import Status


@dataclass(frozen=True)
class Cause:
    """A reason to end a task."""

    status: Status
    """What the run becomes if this ends it."""
    words: str
    grace: float | None
    """Seconds between asking and ending by force; None waits for somebody to insist."""


INTERRUPT = Cause(Status.INTERRUPTED, "interrupted from the keyboard", None)
TERMINATE = Cause(Status.INTERRUPTED, "interrupted by a signal", 20.0)
"""Kubernetes ends a pod by force 30 s after SIGTERM (terminationGracePeriodSeconds); be done before."""
CANCEL = Cause(Status.CANCELLED, "cancelled", None)
TIMEOUT = Cause(Status.TIMED_OUT, "reached its time limit", 10.0)
LEASE_LOST = Cause(Status.LOST, "another process owns the run by now", 0.0)


class Stoppable(Protocol):
    """A command at work."""

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Stop:
    """Whether this task has to end: asked once, seen or not seen, insisted on or not."""

    def __init__(self) -> None:
        self.cause: Cause | None = None
        self.forced = False
        """The task is ended by force from now on."""
        self.seen = False
        """The task looked, and knows that it has to end."""
        self._child: Stoppable | None = None
        self._asked = Event()
        self._telling = Lock()  # a command that starts as it is asked to stop is told once

    def reaches(self, child: Stoppable) -> None:
        """From now on a command is what has to end; one that starts too late is told at once."""
        with self._telling:
            self._child = child
            if self.forced:
                child.kill()
            elif self.cause is not None:
                child.terminate()

    def request(self, cause: Cause) -> None:
        """Ask the task to end at its next safe point; the first cause stays."""
        with self._telling:
            if self.cause is not None:
                return
            self.cause = cause
            self._asked.set()
            if self._child is not None:
                self._child.terminate()

    def force(self) -> None:
        """End the task now."""
        with self._telling:
            self.forced = True
            if self._child is not None:
                self._child.kill()

    def look(self) -> bool:
        """What ``ctx.should_stop`` answers; remembers that the task has seen it."""
        self.seen = self.seen or self._asked.is_set()
        return self.seen

    def wait(self, seconds: float) -> bool:
        """Sleep unless asked to end; for a task that has to wait for something."""
        self._asked.wait(seconds)
        return self.look()
