"""Endings that a run's own process could not record: its Job tells of them, to whoever looks there.

What becomes of the record, by how it stands in the store:

    none                      it is made as its Job tells it: nobody else will
    requested, launched       refused, or cancelled: nothing ran
    running, stopping, lost   as it is told, where the process is surely gone; else it is left to the lease
    any other                 nothing: the run itself knew best, or somebody told it before
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from oneoff.audit import event
from oneoff.audit.event import Event
from oneoff.commands.attend import LEASE
from oneoff.commands.looks import with_subjects
from oneoff.errors import AlreadyStarted, RunNotFound, StoreConflict
from oneoff.protocols import EventQuery, Services
from oneoff.runs.attempts import last_attempt
from oneoff.runs.document import from_document, to_document
from oneoff.runs.intent import KUBERNETES
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import EXECUTING, Status
from oneoff.types import JSONObject


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended, as its Job tells it."""

    run: Run
    """As it stands by that, and as far as the Job knows it."""
    evidence: str
    """By what this is known, for the log."""
    started: bool
    """Its task was seen to begin."""
    seen_to_end: bool
    """So was its end: its process is gone."""
    cancelled: bool = False
    """Whoever tells this has cancelled it."""
    reason: str | None = None
    """Why."""

    def document(self) -> JSONObject:
        return {**vars(self), "run": to_document(self.run)}

    @classmethod
    def read(cls, text: str) -> Ending:
        """The inverse of :meth:`document`, from its JSON; raises what :func:`from_document` raises."""
        found = json.loads(text)
        ending = cls(**{**found, "run": from_document(found["run"])})
        if ending.run.outcome is None:
            raise ValueError(f"the run is {ending.run.status}")
        return ending


@dataclass(frozen=True)
class Recorded:
    """What became of an ending."""

    run: Run
    """As the store has it now."""
    changed: bool

    def document(self) -> JSONObject:
        return {"run": to_document(self.run), "changed": self.changed}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Recorded:
        """The inverse of :meth:`document`."""
        return cls(from_document(document["run"]), bool(document["changed"]))


def record(services: Services, ending: Ending) -> Recorded:
    """Record an ending, once, whoever else tells it at the same time.

    Raises:
        StoreUnavailable: it cannot be recorded.
    """
    while True:
        try:
            run = last_attempt(services.store.get(ending.run.id), services.store.get)
        except RunNotFound:
            try:
                return Recorded(_adopt(services, ending), changed=True)
            except AlreadyStarted:
                continue
        if run.launcher != KUBERNETES or run.task != ending.run.task:  # of another process than that Job's
            return Recorded(run, changed=False)
        try:
            return _settle(services, _with_canceller(services, run, ending), ending)
        except StoreConflict:
            continue


def close(services: Services, run: Run, outcome: Outcome, evidence: str) -> Run:
    """Record the end of a run that is under way and has no process of its own; the run as it stands then."""
    ended = run.ended(outcome, services.clock.now())
    return record(services, Ending(run=ended, evidence=evidence, started=True, seen_to_end=True)).run


def is_open(run: Run) -> bool:
    """Whether its end is still to be recorded, by whoever learns of it from outside."""
    return run.watched or (run.launcher == KUBERNETES and run.process is None and run.status is Status.LOST)


def _settle(services: Services, run: Run, ending: Ending) -> Recorded:
    outcome, at = ending.run.outcome, services.clock.now()
    assert outcome is not None
    if run.status in EXECUTING | {Status.LOST}:
        if outcome.status is run.status or not _holds(services, run, ending, outcome):
            return Recorded(run, changed=False)
        # A Job's times are whole seconds, and of another clock.
        ended = run.ended(outcome, max(ending.run.ended_at or at, run.started_at or run.requested_at))
        if run.process is not None and outcome.status is not Status.LOST:
            # What may be left of the process has an older number from now on, and is ended by that.
            ended = replace(ended, fence=run.fence + 1)
        back = run.status is Status.LOST
        told = event.outcome(ended, services.observer, at, recovered=back, evidence=_evidence(ending, run))
    elif run.active:
        ended = run.ended(_nothing_ran(outcome, ending), at)
        told = event.refused(ended, services.observer, at)
    else:
        return Recorded(run, changed=False)
    return Recorded(services.store.save(ended, told), changed=True)


def _holds(services: Services, run: Run, ending: Ending, outcome: Outcome) -> bool:
    """Whether the process is gone: its node has told so, or the cluster and the lease agree."""
    if run.process is None:
        return True  # a bare command: there is nothing but what its Job tells
    if outcome.status is Status.REFUSED:
        return False  # of a task that has begun
    if ending.seen_to_end:
        return True
    last = run.heartbeat_at or run.requested_at
    return services.clock.now() - last > LEASE


def _evidence(ending: Ending, run: Run) -> str:
    if ending.seen_to_end or run.process is None:
        return ending.evidence
    return f"{ending.evidence}; no heartbeat from {run.process.host} for more than {LEASE.seconds} s"


def _nothing_ran(outcome: Outcome, ending: Ending) -> Outcome:
    status = Status.CANCELLED if ending.cancelled else Status.REFUSED
    return replace(outcome, status=status, error=f"nothing ran: {outcome.error or outcome.status}")


def _with_canceller(services: Services, run: Run, ending: Ending) -> Run:
    """The run once the log has who cancelled it: mostly it has, from before the Job was deleted."""
    if not ending.cancelled or services.store.search(EventQuery(run_id=run.id, type="cancelled", limit=1)):
        return run
    if run.status is not Status.RUNNING:
        services.store.record(_cancelled(services, run, ending))
        return run
    asked = run.to(Status.STOPPING, stop_requested="kill")
    return services.store.save(asked, _cancelled(services, asked, ending))


def _cancelled(services: Services, run: Run, ending: Ending) -> Event:
    by, now = services.actor, services.clock.now()
    return event.cancelled(run, services.observer, now, by=by, force=True, reason=ending.reason)


def _adopt(services: Services, ending: Ending) -> Run:
    """A run of which this store knows nothing: its Job says who asked for it, and what it was."""
    at, observer, told = services.clock.now(), services.observer, ending.run
    assert told.outcome is not None
    run = replace(told, actor=with_subjects(told.actor, services.store))
    if not ending.started and told.status is not Status.LOST:
        outcome = _nothing_ran(told.outcome, ending)
        run = replace(run, outcome=outcome, status=outcome.status, started_at=None)
    wish = replace(run, started_at=None, ended_at=None)
    events = [event.requested(wish, observer, at)]
    if ending.cancelled:
        events.append(_cancelled(services, run, ending))
    if run.status is Status.REFUSED:
        events.append(event.refused(run, observer, at))
    elif ending.started or run.status is Status.LOST:
        if ending.started:
            run = replace(run, fence=1, started_at=run.started_at or run.requested_at)
            events.append(event.starting(replace(run, ended_at=None), observer, at))
        events.append(event.outcome(run, observer, at, recovered=ending.started, evidence=ending.evidence))
    services.store.adopt(run, events)
    return services.store.get(run.id)
