"""What becomes of a record when a Job tells how its run ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oneoff.audit.verify import verify
from oneoff.commands.attend import LEASE
from oneoff.commands.endings import Ending, Recorded, record
from oneoff.errors import AlreadyStarted
from oneoff.runs.intent import KUBERNETES
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import FINAL, Status
from oneoff.types import RunId
from tests.fakes import FAR, World
from tests.records import START, begin, finish, later, make_run, note

JOB = "its Job tells: purge-r1, uid u1: OOMKilled"


def told(status: Status = Status.FAILED, **about: Any) -> Ending:
    """An ending as its Job tells it."""
    outcome = Outcome(status=status, exit_code=137, error="out of memory")
    run = make_run(
        status=status, outcome=outcome, launcher=KUBERNETES, ended_at=later(9), started_at=later(1)
    )
    return Ending(**{"run": run, "evidence": JOB, "started": True, "seen_to_end": True, **about})


def stored(world: World, **changes: Any) -> Run:
    """A run of a pod, as it stands."""
    run = make_run(**{"launcher": KUBERNETES, "process": FAR, "heartbeat_at": START, **changes})
    return world.store.create(run, note(run))


def running(world: World, status: Status = Status.RUNNING) -> Run:
    """One that began, with the log that it has then."""
    run = begin(world.store, make_run(launcher=KUBERNETES))
    if status is Status.LOST:
        return finish(world.store, run, Status.LOST)
    return run if status is Status.RUNNING else world.store.save(run.to(status))


def verified(world: World) -> bool:
    found = verify(world.store.events(), world.store.checkpoint, lambda run_id: False)
    assert found.problems == ()
    return True


@pytest.mark.parametrize("status", [Status.RUNNING, Status.STOPPING, Status.LOST])
@pytest.mark.parametrize(
    "ending", [Status.FAILED, Status.TIMED_OUT, Status.INTERRUPTED, Status.CANCELLED, Status.SUCCEEDED]
)
def test_a_run_that_began_ends_as_its_job_tells(world: World, status: Status, ending: Status) -> None:
    """Once, under a fence that what is left of its process has not; the log has by what it is known."""
    begun = running(world, status)
    recorded = record(world.services, told(ending))
    assert recorded.changed
    assert (recorded.run.status, recorded.run.fence) == (ending, begun.fence + 1)
    assert recorded.run.outcome == Outcome(status=ending, exit_code=137, error="out of memory")
    assert recorded.run.ended_at == later(9)
    outcome = world.bodies("r1")[-1]["data"]["outcome"]
    assert (outcome["evidence"], outcome["recovered"]) == (JOB, status is Status.LOST)
    assert verified(world)
    before = len(world.events())
    assert record(world.services, told(ending)) == Recorded(recorded.run, changed=False)
    assert len(world.events()) == before


def test_a_lost_one_stays_so_and_may_bring_its_own_outcome(world: World) -> None:
    begun = running(world)
    recorded = record(world.services, told(Status.LOST))
    assert (recorded.run.status, recorded.run.fence) == (Status.LOST, begun.fence)
    assert not record(world.services, told(Status.LOST)).changed
    assert finish(world.store, recorded.run, recovered=True).status is Status.SUCCEEDED
    assert verified(world)


@pytest.mark.parametrize("status", sorted(FINAL - {Status.LOST}))
def test_what_the_run_said_itself_stays(world: World, status: Status) -> None:
    stored(world, status=status, outcome=Outcome(status=status))
    assert not record(world.services, told(Status.TIMED_OUT)).changed
    assert world.the_run().status is status
    assert world.events() == ["requested"]


def test_a_process_that_may_live_is_left_to_its_lease(world: World) -> None:
    """Its node has not told that it is gone: only once its heartbeats have stopped, too."""
    unseen = told(Status.TIMED_OUT, seen_to_end=False)
    run = stored(world, status=Status.RUNNING, fence=1)
    world.clock.pass_by(LEASE.total_seconds())
    world.store.beat(run.id, 1, later(30), None)
    assert not record(world.services, unseen).changed
    world.clock.pass_by(LEASE.total_seconds())
    recorded = record(world.services, unseen)
    assert (recorded.run.status, recorded.changed) == (Status.TIMED_OUT, True)
    evidence = world.bodies("r1")[-1]["data"]["outcome"]["evidence"]
    assert evidence == f"{JOB}; no heartbeat from server for more than 60 s"
    assert world.store.beat(run.id, 1, later(200), None) is None  # by which it ends, if it lives


def test_nothing_ran_is_not_said_of_a_task_that_began(world: World) -> None:
    running(world)
    assert not record(world.services, told(Status.REFUSED)).changed
    assert world.the_run().status is Status.RUNNING


@pytest.mark.parametrize("status", [Status.REQUESTED, Status.LAUNCHED])
@pytest.mark.parametrize("cancelled", [False, True])
def test_a_run_that_never_began_is_refused_or_cancelled(
    world: World, status: Status, cancelled: bool
) -> None:
    """Whatever the container did then: the store would know of a start."""
    stored(world, status=status)
    recorded = record(world.services, told(cancelled=cancelled))
    assert recorded.run.status is (Status.CANCELLED if cancelled else Status.REFUSED)
    assert recorded.run.outcome is not None
    assert recorded.run.outcome.error == "nothing ran: out of memory"
    assert world.events() == ["requested", *(["cancelled"] if cancelled else []), "refused"]
    assert verified(world)


@pytest.mark.parametrize(
    ("ending", "about", "status", "events"),
    [
        (Status.FAILED, {}, Status.FAILED, ["requested", "starting", "outcome"]),
        (Status.LOST, {}, Status.LOST, ["requested", "starting", "outcome"]),
        (Status.LOST, {"started": False}, Status.LOST, ["requested", "outcome"]),
        (Status.REFUSED, {"started": False}, Status.REFUSED, ["requested", "refused"]),
        (Status.TIMED_OUT, {"started": False}, Status.REFUSED, ["requested", "refused"]),
        (Status.CANCELLED, {"started": False}, Status.REFUSED, ["requested", "refused"]),
        (
            Status.CANCELLED,
            {"started": False, "cancelled": True},
            Status.CANCELLED,
            ["requested", "cancelled"],
        ),
        (
            Status.CANCELLED,
            {"cancelled": True},
            Status.CANCELLED,
            ["requested", "cancelled", "starting", "outcome"],
        ),
    ],
)
def test_a_run_that_the_store_never_heard_of(
    world: World, ending: Status, about: dict[str, Any], status: Status, events: list[str]
) -> None:
    recorded = record(world.services, told(ending, **about))
    assert (recorded.run.status, recorded.changed) == (status, True)
    assert recorded.run.actor.subject
    assert world.events() == events
    assert verified(world)
    assert not record(world.services, told(ending, **about)).changed
    assert world.events() == events


def test_of_several_attempts_the_last_one_ends(world: World) -> None:
    """The first was cut off, and its Job went on with it under an id of its own."""
    finish(world.store, running(world), Status.INTERRUPTED)
    second = begin(world.store, make_run("r1-2", launcher=KUBERNETES, rerun_of="r1"))
    recorded = record(world.services, told())
    assert (recorded.run.id, recorded.run.status) == (second.id, Status.FAILED)
    assert world.store.get(RunId("r1")).status is Status.INTERRUPTED
    assert verified(world)
    begin(world.store, make_run("r1-3", launcher=KUBERNETES, rerun_of="another"))
    assert not record(world.services, told()).changed


def test_who_cancelled_it_and_why_is_in_the_log_once(world: World) -> None:
    running(world)
    cancelled = told(Status.CANCELLED, cancelled=True, reason="wrong table")
    assert record(world.services, cancelled).run.status is Status.CANCELLED
    record(world.services, cancelled)
    assert world.events() == ["requested", "starting", "cancelled", "outcome"]
    assert world.bodies()[2]["data"]["request"] == {"force": True, "reason": "wrong table"}
    assert verified(world)


def test_also_where_the_run_knew_of_the_signal_alone(world: World) -> None:
    """It recorded its end before anybody could tell it more."""
    finish(world.store, running(world), Status.INTERRUPTED)
    recorded = record(world.services, told(Status.CANCELLED, cancelled=True, reason="wrong table"))
    assert (recorded.run.status, recorded.changed) == (Status.INTERRUPTED, False)
    assert world.events()[-1] == "cancelled"


def test_a_run_of_another_process_is_not_that_of_the_job(world: World) -> None:
    """A local run under the id, or one of another task."""
    for other in ({"launcher": "foreground"}, {"task": "count"}):
        world.store = type(world.store)()
        object.__setattr__(world.services, "store", world.store)
        stored(world, status=Status.RUNNING, **other)
        assert not record(world.services, told()).changed


def test_two_that_tell_it_at_once(world: World) -> None:
    """One is first, and the other changes nothing."""
    running(world)
    first: list[Recorded] = []
    world.store.before_save = lambda: first.append(record(world.services, told()))
    second = record(world.services, told())
    assert (first[0].changed, second.changed) == (True, False)
    assert world.events().count("outcome") == 1


def test_the_process_ends_itself_meanwhile(world: World) -> None:
    """Its own outcome was first, and stays."""
    run = running(world)
    world.store.before_save = lambda: finish(world.store, run)
    recorded = record(world.services, told())
    assert (recorded.run.status, recorded.changed) == (Status.SUCCEEDED, False)


def test_it_is_recorded_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another who had not heard of it either."""
    adopt = world.store.adopt

    def late(run: Run, events: Any) -> None:
        monkeypatch.setattr(world.store, "adopt", adopt)
        adopt(run, events)
        raise AlreadyStarted(f"run {run.id} is there")

    monkeypatch.setattr(world.store, "adopt", late)
    recorded = record(world.services, told())
    assert (recorded.run.status, recorded.changed) == (Status.FAILED, False)


def test_a_bare_command_ends_as_its_job_tells(world: World) -> None:
    """It has no lease: there is nothing else to go by."""
    begun = stored(world, status=Status.RUNNING, process=None, heartbeat_at=None, fence=1)
    recorded = record(world.services, told(Status.REFUSED, seen_to_end=False))
    assert (recorded.run.status, recorded.run.fence) == (Status.REFUSED, begun.fence)


def test_an_ending_travels_as_json() -> None:
    ending = told(Status.CANCELLED, cancelled=True, reason="wrong table")
    assert Ending.read(json.dumps(ending.document())) == ending
    recorded = Recorded(ending.run, changed=True)
    assert Recorded.of(json.loads(json.dumps(recorded.document()))) == recorded
