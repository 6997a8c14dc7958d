"""What every command does first: look whether the audit log is still the one that was seen, record outcomes
left behind on disk, and find runs whose process is gone.
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import replace
from datetime import timedelta

from oneoff.audit import event
from oneoff.commands.breakglass import take_in
from oneoff.errors import LogChanged, RunNotFound, StoreConflict, StoreCorrupted, StoreUnavailable
from oneoff.execution.witness import look
from oneoff.protocols import RunQuery, Services
from oneoff.runs.document import from_document
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import ACTIVE, EXECUTING, Status
from oneoff.types import RunId

LEASE = timedelta(seconds=60)
"""Without a heartbeat for this long, a process that cannot be looked at counts as gone."""


def attend(services: Services, *, known: Container[RunId] = ()) -> bool:
    """Bring the records in line with what is true on this machine.

    Args:
        known: Runs of which the verb itself knows how they ended, whatever is left of their processes.

    Returns:
        Whether they are now; False only for a verb that reads alone, which then looks with :func:`seen`.

    Raises:
        LogChanged: the audit log is not the one that was seen before, and the verb would write into it.
    """
    try:
        if not _continues(services):
            return False
        if services.unwritable is not None:
            raise services.unwritable
        _bring_up_to_date(services, known)
    except StoreCorrupted:
        raise
    except StoreUnavailable as error:
        if not services.only_reads:
            raise
        services.say(f"the store cannot be written ({error.message}): shown as it is")
        return False
    return True


def say_no_store(services: Services) -> None:
    """Else an empty list might be taken for that of another folder."""
    if services.no_store:
        services.say(f"there is no store here yet: {services.no_store}")


def require_store(services: Services, undone: str) -> None:
    """Raise StoreUnavailable where there is none: nothing can be said of a log that is not there.

    Args:
        undone: what was wanted, as not done: ``nothing was verified``.
    """
    if services.no_store:
        raise StoreUnavailable(
            f"{undone}: there is no store {services.no_store}",
            next_step="go to the app's folder, or name the store in ONEOFF_STORE; the first run makes one",
        )


def _continues(services: Services) -> bool:
    """Whether the log continues what was seen of it; False only for a verb that reads alone."""
    try:
        discrepancy = look(services).discrepancy
    except StoreCorrupted as error:
        if not services.only_reads:
            raise
        services.say(f"{error.message}: shown as it is")
        return False
    if discrepancy is None:
        return True
    if not services.only_reads:
        raise LogChanged(str(discrepancy))
    services.say(f"WARNING: {discrepancy}: shown as it is; `oneoff audit verify` says what differs")
    return False


def seen(services: Services, run: Run) -> Run:
    """The run as it has to be shown where the store could not be told: ended, if its process is gone."""
    if run.active:
        if not _gone(services, run):
            return run
        again = services.store.get(run.id)  # its last word may have come in between
        if again.version != run.version:
            return seen(services, again)
    if run.status in EXECUTING | {Status.LOST}:
        left = _left_behind(services, run)
        if left is not None:
            return _with_outcome(services, run, left)
    return run.ended(_ending(run), services.clock.now()) if run.active else run


def _left_behind(services: Services, run: Run) -> Run | None:
    """The outcome that the run's process left on disk; None also where this user may not look there."""
    try:
        kept = dict(services.spool.pending()).get(run.id)
    except StoreUnavailable:
        return None
    left = None if kept is None else _document(services, run.id, kept)
    return left if left is not None and left.fence == run.fence else None


def _document(services: Services, run_id: RunId, kept: bytes) -> Run | None:
    try:
        return from_document(json.loads(kept))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        services.say(f"the outcome of run {run_id}, left on disk before, cannot be read: {error!r}")
        return None


def _with_outcome(services: Services, run: Run, left: Run) -> Run:
    return replace(
        run.ended(left.outcome or Outcome(status=left.status), left.ended_at or services.clock.now()),
        dry_run_report=left.dry_run_report,
        effects_report=left.effects_report,
        progress=left.progress,
    )


def _bring_up_to_date(services: Services, known: Container[RunId]) -> None:
    take_in(services)
    _recover(services)
    for run in services.store.find(RunQuery(statuses=ACTIVE)):
        if run.id not in known and _gone(services, run):
            _bury(services, run)


def _bury(services: Services, run: Run) -> None:
    settle(services, run.id, _ending(run), evidence=_evidence(services, run), only=frozenset({run.status}))
    if run.process and services.processes.alive(run.process) is False:
        _recover(services)  # its last act may have been to leave its outcome on disk, a moment ago
        services.spool.release(run.id)


def _gone(services: Services, run: Run) -> bool:
    if run.process is None:
        return False
    alive = services.processes.alive(run.process)
    if alive is not None:
        return not alive
    # Another machine: only its heartbeats can be seen, and a process that never beat is known by its start.
    last = run.heartbeat_at or run.requested_at
    return services.clock.now() - last > LEASE and run.status is not Status.REQUESTED


def _ending(run: Run) -> Outcome:
    if run.status in EXECUTING:
        return Outcome(
            status=Status.LOST, error="its process is gone without a word; what it did is not known"
        )
    hint = f"; `oneoff logs {run.id}` may say why" if run.status is Status.LAUNCHED else ""
    return Outcome(
        status=Status.REFUSED, error=f"its process ended before the task started; nothing ran{hint}"
    )


def _evidence(services: Services, run: Run) -> str:
    process = run.process
    assert process is not None  # _gone says so
    if services.processes.alive(process) is False:
        return f"no process {process.pid} of that start time on {process.host}"
    return f"no heartbeat from {process.host} for more than {LEASE.seconds} s"


def settle(
    services: Services,
    run_id: RunId,
    outcome: Outcome,
    *,
    only: frozenset[Status],
    evidence: str | None = None,
) -> Run:
    """End a run from outside its own process, unless its status is no longer one of ``only``."""
    while True:
        run = services.store.get(run_id)
        if run.status not in only:
            return run
        now = services.clock.now()
        ended = run.ended(outcome, now)
        if outcome.status is Status.REFUSED:
            told = event.refused(ended, services.observer, now)
        else:
            told = event.outcome(ended, services.observer, now, evidence=evidence)
        try:
            saved = services.store.save(ended, told)
        except StoreConflict:
            continue
        if outcome.status is not Status.LOST:  # a lost one may still bring its outcome
            services.spool.release(run_id)
        return saved


def _recover(services: Services) -> None:
    for run_id, kept in services.spool.pending():
        left = _document(services, run_id, kept)
        if left is None:
            continue
        try:
            run = services.store.get(run_id)
        except RunNotFound:  # of another store: it belongs to whoever opens that one
            continue
        while run.status in EXECUTING | {Status.LOST} and run.fence == left.fence:
            ended = _with_outcome(services, run, left)
            told = event.outcome(ended, services.observer, services.clock.now(), recovered=True)
            try:
                run = services.store.save(ended, told)
            except StoreConflict:
                run = services.store.get(run_id)
            else:
                services.say(f"recorded the outcome of run {run_id}, left on disk before: {run.status}")
        services.spool.release(run_id)
