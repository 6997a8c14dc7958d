"""What every store says when it refuses, in the same words."""

from __future__ import annotations

from oneoff.errors import AlreadyStarted, LockHeld, Refused, RunNotFound, StoreConflict
from oneoff.runs.run import Run
from oneoff.types import RunId, rfc3339


def already_started(run: Run) -> AlreadyStarted:
    return AlreadyStarted(
        f"there is a run {run.id} already",
        next_step=f"`oneoff show {run.id}` shows it; a new run needs another id",
    )


def not_found(run_id: RunId) -> RunNotFound:
    return RunNotFound(f"there is no run {run_id}")


def conflict(run: Run) -> StoreConflict:
    return StoreConflict(
        f"another process changed run {run.id} first",
        next_step=f"`oneoff show {run.id}` shows it as it is now",
    )


def event_recorded(event_id: str) -> StoreConflict:
    return StoreConflict(f"event {event_id} is in the audit log already")


def not_pruned(to: int, start: int, size: int) -> StoreConflict:
    return StoreConflict(
        f"the audit log cannot be pruned up to event {to}: it has the events {start} to {size - 1}",
        next_step="look again with `oneoff audit verify`: somebody else may have pruned it meanwhile",
    )


def too_young(why: str) -> Refused:
    return Refused(
        why,
        next_step="give an earlier --before, or prune later; who owns the store may let events go sooner:"
        " `oneoff store init --owner-url URL --retention DAYS`",
    )


def lock_held(lock: str, holder: Run) -> LockHeld:
    since = f" since {rfc3339(holder.started_at)}" if holder.started_at else ""
    host = f" on {holder.process.host}" if holder.process else ""
    return LockHeld(
        f'the lock "{lock}" is held by run {holder.id} of {holder.task},'
        f" executing{since}{host}",  # without a name: these words are recorded for ever
        next_step=f"wait for it with `oneoff wait {holder.id}`, or end it with `oneoff cancel {holder.id}`",
    )


def filed_too_far(filed: int, size: int) -> str:
    """What is wrong with a log whose index goes beyond its end."""
    return f"its index names event {filed}, and the audit log's head counts {size} events"
