"""The statuses of a run and the only ways from one to the next: one table, nothing else decides."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a run stands."""

    REQUESTED = "requested"
    """The intent is recorded; it is being confirmed, and nothing has started."""
    LAUNCHED = "launched"
    """Confirmed and handed to a launcher; its process has not reported yet."""
    RUNNING = "running"
    """A process holds the lease and the task is at work."""
    STOPPING = "stopping"
    """Somebody asked it to stop; the task is still at work."""
    SUCCEEDED = "succeeded"
    """The task ran to its end."""
    FAILED = "failed"
    """The task raised, or its command exited with a code other than 0."""
    CANCELLED = "cancelled"
    """Somebody asked for the end, and it ended before it was done."""
    TIMED_OUT = "timed_out"
    """It reached the task's time limit."""
    REFUSED = "refused"
    """Not confirmed, against a policy, or impossible to start: nothing ran."""
    INTERRUPTED = "interrupted"
    """A signal ended it before it was done."""
    LOST = "lost"
    """Its process is gone without a word: the outcome is unknown."""


ACTIVE = frozenset({Status.REQUESTED, Status.LAUNCHED, Status.RUNNING, Status.STOPPING})
"""Not ended."""
EXECUTING = frozenset({Status.RUNNING, Status.STOPPING})
"""A process holds the lease, and with it the task's lock."""
FINAL = frozenset(Status) - ACTIVE
"""Ended. Written once, save that ``lost`` gives way to what the process itself says, or its Job."""

_ENDINGS = frozenset(
    {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT, Status.INTERRUPTED}
)

TRANSITIONS: dict[Status, frozenset[Status]] = {
    # requested -> launched     confirmed, and a launcher starts another process for it
    # requested -> running      confirmed, and this very process runs it
    # requested -> refused      not confirmed, policy, lock, no dry run possible; or its requester died first
    # requested -> cancelled    cancelled while it waited for its confirmation
    Status.REQUESTED: frozenset({Status.LAUNCHED, Status.RUNNING, Status.REFUSED, Status.CANCELLED}),
    # launched -> running       its process took the lease
    # launched -> refused       its process could not start: lock, broken app
    # launched -> cancelled     cancelled before its process reported
    # launched -> lost          its process died, or never reported within the lease's time
    Status.LAUNCHED: frozenset({Status.RUNNING, Status.REFUSED, Status.CANCELLED, Status.LOST}),
    # running -> stopping       a cancel was asked for
    # running -> an ending      the process says how it ended
    # running -> refused        a dry run that turned out not to be enforceable; nothing was kept
    # running -> lost           the process is gone
    Status.RUNNING: _ENDINGS | {Status.STOPPING, Status.REFUSED, Status.LOST},
    # stopping -> an ending     also `succeeded`: the task was done before it saw the request
    # stopping -> lost          the process is gone
    Status.STOPPING: _ENDINGS | {Status.REFUSED, Status.LOST},
    # lost -> an ending         the process was alive after all, left its outcome behind on disk, or its Job
    #                           tells how it ended
    Status.LOST: _ENDINGS | {Status.REFUSED},
} | {status: frozenset() for status in _ENDINGS | {Status.REFUSED}}

EXIT_CODES: dict[Status, int] = {
    Status.SUCCEEDED: 0,
    Status.FAILED: 1,
    Status.REFUSED: 3,
    Status.CANCELLED: 5,
    Status.TIMED_OUT: 6,
    Status.LOST: 7,
    Status.INTERRUPTED: 75,  # EX_TEMPFAIL of sysexits.h: trying again later may work
}
"""The exit code of ``oneoff run``, ``wait`` and ``rerun`` for each final status."""
