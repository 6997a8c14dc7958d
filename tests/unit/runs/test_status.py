from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from oneoff.runs.run import Actor, InvalidTransition, Outcome, Process, Release, Run
from oneoff.runs.status import ACTIVE, EXECUTING, EXIT_CODES, FINAL, TRANSITIONS, Status
from oneoff.types import RunId, TaskName

NOW = datetime(2026, 11, 23, 3, 42, 53, tzinfo=UTC)
RUN = Run(
    id=RunId("r1"),
    app="shop",
    task=TaskName("noop"),
    status=Status.REQUESTED,
    requested_at=NOW,
    actor=Actor(kind="human", name="somebody"),
    release=Release(),
)
PROCESS = Process(host="h", machine="m", pid=1, started="2")


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_a_run_changes_only_as_the_table_says(before: Status, after: Status) -> None:
    """Every pair of statuses is either in the table and works, or is refused."""
    run = replace(RUN, status=before)
    if after in TRANSITIONS[before]:
        assert run.to(after).status is after
    else:
        with pytest.raises(InvalidTransition):
            run.to(after)


def test_every_status_is_in_the_table_and_either_active_or_final() -> None:
    """No status is forgotten anywhere."""
    assert set(TRANSITIONS) == set(Status)
    assert set(Status) == ACTIVE | FINAL
    assert not ACTIVE & FINAL
    assert set(EXIT_CODES) == FINAL
    assert EXECUTING < ACTIVE


def test_a_final_status_is_final_save_lost() -> None:
    """Only `lost` may be replaced, and only by an ending that the process itself brings."""
    for status in FINAL - {Status.LOST}:
        assert TRANSITIONS[status] == frozenset()
    assert TRANSITIONS[Status.LOST] <= FINAL - {Status.LOST}


def test_every_active_status_can_end() -> None:
    """From everywhere there is a way to an ending, so no run has to stay alive for ever."""
    for status in ACTIVE:
        assert TRANSITIONS[status] & FINAL


def test_a_claim_makes_the_run_run_under_the_next_fence() -> None:
    """The fence counts the processes that took the run."""
    claimed = replace(RUN, fence=4).claimed(PROCESS, NOW)
    assert (
        claimed.status,
        claimed.fence,
        claimed.process,
        claimed.started_at,
    ) == (Status.RUNNING, 5, PROCESS, NOW)


def test_an_outcome_decides_the_status() -> None:
    """Status and outcome can never disagree."""
    ended = RUN.claimed(PROCESS, NOW).ended(Outcome(status=Status.TIMED_OUT), NOW)
    assert ended.status is Status.TIMED_OUT
    assert not ended.active
