"""Runs and events for tests, with only what a test cares about spelled out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from oneoff.audit import event as events
from oneoff.audit.event import Event, Observer
from oneoff.protocols import Store
from oneoff.runs.run import Actor, Outcome, Process, Release, Run
from oneoff.runs.status import Status
from oneoff.types import JSONObject, RunId, TaskName

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
OBSERVER = Observer(host="laptop", pid=4711)
ANN = Actor(kind="human", name="ann", subject="5f3759df")
PROCESS = Process(host="laptop", machine="boot/1", pid=4711, started="1234")


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def make_run(run_id: str = "r1", **changes: Any) -> Run:
    run = Run(
        id=RunId(run_id),
        app="shop",
        task=TaskName("purge"),
        status=Status.REQUESTED,
        requested_at=START,
        actor=ANN,
        release=Release(version="1.2", oneoff="0.1.0"),
    )
    return replace(run, **changes)


def note(run: Run | None = None) -> Event:
    """An event for tests that do not care which."""
    return events.requested(run or make_run(), OBSERVER, START)


def begin(store: Store, run: Run) -> Run:
    """Record the run and let it start."""
    run = store.create(run, events.requested(run, OBSERVER, START))
    run = run.claimed(PROCESS, later(1))
    return store.save(run, events.starting(run, OBSERVER, later(1)))


ROWS: JSONObject = {"flights": {"inserted": 0, "updated": 2, "deleted": 1}}


def finish(store: Store, run: Run, status: Status = Status.SUCCEEDED, **about: Any) -> Run:
    """Record how the run ended."""
    run = run.ended(Outcome(status=status, exit_code=0, rows=ROWS, duration_ms=12), later(2))
    return store.save(run, events.outcome(run, OBSERVER, later(2), **about))
