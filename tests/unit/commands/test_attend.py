"""``attend``: the records follow what is true, whoever looks, and no run is running for ever."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from oneoff.commands.attend import LEASE, attend, seen, settle
from oneoff.commands.runs import find, get, wait
from oneoff.errors import StoreCorrupted, StoreUnavailable
from oneoff.protocols import RunQuery, Services
from oneoff.runs.document import to_document
from oneoff.runs.run import Outcome, Progress, Run
from oneoff.runs.status import FINAL, Status
from oneoff.types import RunId
from tests.fakes import FAR, OTHER, World
from tests.records import PROCESS, START, begin, finish, later, make_run, note


def stored(world: World, run_id: str = "r1", **changes: object) -> Run:
    """A run of another process of this machine, as it stands."""
    run = make_run(run_id, **{"process": OTHER, **changes})
    return world.store.create(run, note(run))


def leave_behind(world: World, run: Run, status: Status = Status.SUCCEEDED) -> Run:
    """The outcome that a process could not record, in the room set aside for it."""
    ended = replace(
        run.ended(Outcome(status=status, exit_code=0, duration_ms=12), later(5)),
        progress=Progress(done=3),
        dry_run_report={"has_effects": False},
    )
    world.spool.reserve(run.id)
    world.spool.write(run.id, json.dumps(to_document(ended)).encode())
    return ended


class TestGone:
    """A process that is gone."""

    @pytest.mark.parametrize("status", [Status.RUNNING, Status.STOPPING])
    def test_an_executing_run_is_lost(self, world: World, status: Status) -> None:
        """Nobody knows what it did, and the log holds what the belief is founded on."""
        run = stored(world, status=status)
        world.processes.dead.append(OTHER)
        attend(world.services)
        lost = world.store.get(run.id)
        assert lost.status is Status.LOST
        assert lost.ended_at == START
        outcome = world.bodies()[-1]["data"]["outcome"]
        assert outcome["status"] == "lost"
        assert outcome["evidence"] == "no process 99 of that start time on laptop"

    @pytest.mark.parametrize("status", [Status.REQUESTED, Status.LAUNCHED])
    def test_a_run_that_never_started_is_refused(self, world: World, status: Status) -> None:
        """Its task did not start, and that is known."""
        run = stored(world, status=status)
        world.processes.dead.append(OTHER)
        attend(world.services)
        ended = world.store.get(run.id)
        assert ended.status is Status.REFUSED
        assert ended.outcome is not None and "nothing ran" in (ended.outcome.error or "")
        assert world.events() == ["requested", "refused"]

    def test_a_living_run_is_left_alone(self, world: World) -> None:
        """However long it has not beaten: a frozen process of this machine is not gone."""
        run = stored(world, status=Status.RUNNING, heartbeat_at=START)
        world.clock.pass_by(LEASE.total_seconds() * 100)
        attend(world.services)
        assert world.store.get(run.id) == run

    def test_it_is_said_once(self, world: World) -> None:
        """Looking again changes nothing."""
        stored(world, status=Status.RUNNING)
        world.processes.dead.append(OTHER)
        attend(world.services)
        attend(world.services)
        assert world.events() == ["requested", "outcome"]

    def test_a_run_without_a_process_is_left_alone(self, world: World) -> None:
        """There is nothing that could be gone."""
        run = stored(world, status=Status.LAUNCHED, process=None)
        attend(world.services)
        assert world.store.get(run.id) == run

    def test_its_room_is_given_back(self, world: World) -> None:
        """Nobody will write an outcome there any more."""
        run = stored(world, status=Status.RUNNING)
        world.spool.reserve(run.id)
        world.processes.dead.append(OTHER)
        attend(world.services)
        assert world.spool.rooms == {}


class TestElsewhere:
    """A process of another machine, of which only heartbeats can be seen."""

    @pytest.mark.parametrize(
        ("status", "silence", "becomes"),
        [
            (Status.RUNNING, 0.0, Status.RUNNING),
            (Status.RUNNING, LEASE.total_seconds(), Status.RUNNING),
            (Status.RUNNING, LEASE.total_seconds() + 1, Status.LOST),
            (Status.LAUNCHED, LEASE.total_seconds() + 1, Status.REFUSED),
            (Status.REQUESTED, LEASE.total_seconds() * 100, Status.REQUESTED),
        ],
    )
    def test_the_lease_decides(self, world: World, status: Status, silence: float, becomes: Status) -> None:
        """It is gone after a whole lease without a beat; a question may wait for its answer."""
        beat = START if status is Status.RUNNING else None
        run = stored(world, status=status, process=FAR, heartbeat_at=beat)
        world.clock.pass_by(silence)
        attend(world.services)
        assert world.store.get(run.id).status is becomes

    def test_a_beat_keeps_the_lease(self, world: World) -> None:
        """The last beat counts, not the start."""
        run = stored(world, status=Status.RUNNING, process=FAR, heartbeat_at=START, fence=1)
        world.clock.pass_by(50)
        world.store.beat(run.id, 1, world.clock.now(), None)
        world.clock.pass_by(50)
        attend(world.services)
        assert world.store.get(run.id).status is Status.RUNNING

    def test_a_clock_that_jumps_back(self, world: World) -> None:
        """A beat from the future is no silence."""
        run = stored(world, status=Status.RUNNING, process=FAR, heartbeat_at=later(3600))
        attend(world.services)
        assert world.store.get(run.id).status is Status.RUNNING

    def test_the_evidence_is_the_silence(self, world: World) -> None:
        """The log says that no process was looked at."""
        stored(world, status=Status.RUNNING, process=FAR, heartbeat_at=START)
        world.clock.pass_by(61)
        attend(world.services)
        assert (
            world.bodies()[-1]["data"]["outcome"]["evidence"] == "no heartbeat from server for more than 60 s"
        )


class TestRecovered:
    """An outcome that was left on disk."""

    @pytest.mark.parametrize("dead", [False, True])
    def test_it_is_recorded(self, world: World, dead: bool) -> None:
        """With all that belongs to it, marked as recovered, and said; before the process is missed."""
        run = begin(world.store, make_run())
        left = leave_behind(world, run)
        world.processes.dead += [PROCESS] * dead
        attend(world.services)
        found = world.store.get(run.id)
        assert (found.status, found.outcome, found.ended_at) == (Status.SUCCEEDED, left.outcome, later(5))
        assert (found.progress, found.dry_run_report) == (left.progress, left.dry_run_report)
        assert world.events() == ["requested", "starting", "outcome"]
        assert world.bodies()[-1]["data"]["outcome"]["recovered"] is True
        assert world.said == ["recorded the outcome of run r1, left on disk before: succeeded"]
        assert world.spool.rooms == {}

    def test_it_replaces_lost_once(self, world: World) -> None:
        """The process's own word goes before what others believed; then the run has ended for good."""
        run = begin(world.store, make_run())
        world.processes.dead.append(PROCESS)
        attend(world.services)
        assert world.store.get(run.id).status is Status.LOST
        leave_behind(world, run, Status.FAILED)
        attend(world.services)
        leave_behind(world, run, Status.SUCCEEDED)
        attend(world.services)
        assert world.store.get(run.id).status is Status.FAILED
        assert world.events() == ["requested", "starting", "outcome", "outcome"]
        assert world.spool.rooms == {}

    def test_an_older_fence_has_no_say(self, world: World) -> None:
        """Another process took the run since: its outcome is still to come."""
        run = begin(world.store, make_run())
        leave_behind(world, run)
        world.store.save(replace(run, fence=2))
        attend(world.services)
        assert world.store.get(run.id).status is Status.RUNNING
        assert world.spool.rooms == {}

    def test_a_run_of_another_store(self, world: World) -> None:
        """It waits for whoever opens that store."""
        leave_behind(world, make_run("elsewhere", status=Status.RUNNING))
        attend(world.services)
        assert RunId("elsewhere") in world.spool.rooms

    def test_two_that_record_it_at_once(self, world: World) -> None:
        """Whoever loses the race finds it recorded, and says nothing."""
        run = begin(world.store, make_run())
        leave_behind(world, run)
        world.store.before_save = lambda: finish(world.store, world.store.get(run.id))
        attend(world.services)
        assert world.events() == ["requested", "starting", "outcome"]
        assert world.said == []
        assert world.spool.rooms == {}


class TestSettle:
    """Ending a run from outside."""

    @pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
    def test_only_what_was_seen(self, world: World, status: Status) -> None:
        """A run that has moved on since it was looked at is left as it is."""
        outcome = Outcome(status=status) if status in FINAL else None
        run = stored(world, status=status, outcome=outcome)
        left = settle(world.services, run.id, Outcome(status=Status.LOST), only=frozenset({Status.RUNNING}))
        assert left == run
        assert world.events() == ["requested"]

    def test_a_lost_race(self, world: World) -> None:
        """It looks again, and sees that the run has ended."""
        run = begin(world.store, make_run())
        world.store.before_save = lambda: finish(world.store, world.store.get(run.id))
        ended = settle(world.services, run.id, Outcome(status=Status.LOST), only=frozenset({run.status}))
        assert ended.status is Status.SUCCEEDED

    def test_a_race_that_changes_nothing_of_it(self, world: World) -> None:
        """Another change does not save a run whose process is gone."""
        run = begin(world.store, make_run())
        world.store.before_save = lambda: world.store.save(replace(run, stop_requested="cancel"))
        ended = settle(world.services, run.id, Outcome(status=Status.LOST), only=frozenset({run.status}))
        assert (ended.status, ended.stop_requested) == (Status.LOST, "cancel")


class TestReaders:
    """A verb that only reads, where the store cannot be written."""

    @pytest.fixture
    def reading(self, world: World) -> Services:
        return replace(world.services, only_reads=True, unwritable=StoreUnavailable("no room"))

    def test_it_is_said(self, world: World, reading: Services) -> None:
        """The records are not up to date, and the caller knows; whoever records something is refused."""
        assert attend(world.services) is True
        assert attend(reading) is False
        assert world.said == ["the store cannot be written (no room): shown as it is"]
        with pytest.raises(StoreUnavailable, match="no room"):
            attend(replace(reading, only_reads=False))

    def test_a_disk_that_is_full_only_now(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The store could be opened, and the change is what it cannot take."""
        run = stored(world, status=Status.RUNNING)
        world.processes.dead.append(OTHER)
        reading = replace(world.services, only_reads=True)

        def full(run: Run, event: object = None) -> Run:
            raise StoreUnavailable("no room")

        monkeypatch.setattr(world.store, "save", full)
        assert get(reading, run.id).status is Status.LOST
        assert wait(reading, run).status is Status.LOST
        with pytest.raises(StoreUnavailable):
            attend(world.services)

    def test_a_damaged_store_is_not_shown(self, world: World, reading: Services) -> None:
        """What is in it cannot be believed."""
        with pytest.raises(StoreCorrupted):
            attend(replace(reading, unwritable=StoreCorrupted("bad pages")))

    @pytest.mark.parametrize(
        ("status", "shown"),
        [
            (Status.REQUESTED, Status.REFUSED),
            (Status.LAUNCHED, Status.REFUSED),
            (Status.RUNNING, Status.LOST),
            (Status.STOPPING, Status.LOST),
            (Status.LOST, Status.LOST),
            (Status.SUCCEEDED, Status.SUCCEEDED),
        ],
    )
    def test_a_process_that_is_gone(
        self, world: World, reading: Services, status: Status, shown: Status
    ) -> None:
        """The run is judged as if it could be recorded, and found by the status it is shown with."""
        run = stored(world, status=status)
        world.processes.dead.append(OTHER)
        assert get(reading, run.id).status is shown
        assert [each.status for each in find(reading, RunQuery())] == [shown]
        assert len(find(reading, RunQuery(statuses=frozenset({shown}), limit=1))) == 1
        if status is not shown:
            assert find(reading, RunQuery(statuses=frozenset({status}))) == []
        assert world.store.get(run.id) == run

    def test_a_living_run(self, world: World, reading: Services) -> None:
        """It runs."""
        run = stored(world, status=Status.RUNNING)
        assert get(reading, run.id) == run

    def test_an_outcome_left_on_disk(self, world: World, reading: Services) -> None:
        """It is known, though not recorded; that of an older fence has no say."""
        run = begin(world.store, make_run())
        left = leave_behind(world, run)
        world.processes.dead.append(PROCESS)
        found = get(reading, run.id)
        assert (found.status, found.outcome, found.ended_at) == (Status.SUCCEEDED, left.outcome, later(5))
        assert world.store.get(run.id) == run
        world.store.save(replace(run, fence=2))
        assert get(reading, run.id).status is Status.LOST

    def test_its_last_word_comes_in_between(self, world: World, reading: Services) -> None:
        """A run that ends between the look at the record and the look at the process is not lost."""
        run = begin(world.store, make_run())
        world.processes.dead.append(PROCESS)
        finish(world.store, run)
        assert seen(reading, run).status is Status.SUCCEEDED
