"""The verbs on runs that exist: get, find, wait, follow, cancel."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from oneoff.audit import event
from oneoff.commands.runs import cancel, find, follow_log, get, wait
from oneoff.errors import Refused, RunNotFound, UsageError
from oneoff.logs import log_path
from oneoff.protocols import RunQuery
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import FINAL, Status
from tests.fakes import OTHER, World
from tests.records import OBSERVER, PROCESS, START, begin, finish, later, make_run, note


def stored(world: World, run_id: str, **changes: object) -> Run:
    run = make_run(run_id, **{"process": OTHER, **changes})
    return world.store.create(run, note(run))


class TestGet:
    """A run by what somebody typed."""

    def test_by_id_prefix_and_latest(self, world: World) -> None:
        """The whole id, a beginning that fits one, and the newest of all."""
        old = stored(world, "aa1", process=None)
        new = stored(world, "ab2", process=None, requested_at=later(1))
        assert get(world.services, "aa1") == old
        assert get(world.services, "aa") == old
        assert get(world.services, "@latest") == new

    def test_a_whole_id_goes_before_a_beginning(self, world: World) -> None:
        """An id that others begin with can still be named."""
        short = stored(world, "a", process=None)
        stored(world, "ab", process=None)
        assert get(world.services, "a") == short

    def test_none(self, world: World) -> None:
        """An unknown id, and the newest of nothing."""
        for reference in ("x", "@latest"):
            with pytest.raises(RunNotFound):
                get(world.services, reference)

    def test_several(self, world: World) -> None:
        """The error lists them, the newest first, and no more than five."""
        for number in range(7):
            stored(world, f"a{number}", process=None, requested_at=later(number))
        with pytest.raises(UsageError, match=r"a6, a5, a4, a3, a2$") as caught:
            get(world.services, "a")
        assert not isinstance(caught.value, RunNotFound)

    def test_it_tells_no_lie(self, world: World) -> None:
        """A run whose process is gone is lost for whoever looks at it."""
        stored(world, "a", status=Status.RUNNING)
        world.processes.dead.append(OTHER)
        assert get(world.services, "a").status is Status.LOST
        assert find(world.services, RunQuery(statuses=frozenset({Status.RUNNING}))) == []


class TestWait:
    """Waiting for the end."""

    def test_an_ended_run_is_not_waited_for(self, world: World) -> None:
        """It is given back as it is."""
        run = finish(world.store, begin(world.store, make_run()))
        assert wait(world.services, run) == run

    def test_it_ends_with_the_run(self, world: World) -> None:
        """Once somebody has recorded the outcome."""
        run = begin(world.store, make_run())
        threading.Timer(0.1, lambda: finish(world.store, world.store.get(run.id))).start()
        assert wait(world.services, run).status is Status.SUCCEEDED

    def test_it_ends_with_the_process(self, world: World) -> None:
        """A process that dies meanwhile leaves a lost run, and nobody waits for ever."""
        run = begin(world.store, make_run())
        threading.Timer(0.1, lambda: world.processes.dead.append(PROCESS)).start()
        assert wait(world.services, run).status is Status.LOST


class TestFollow:
    """The log of a run."""

    def test_what_is_there(self, world: World) -> None:
        """Without following, the log as it stands, byte for byte."""
        run = begin(world.store, make_run())
        path = log_path(world.services.settings.state_dir, run.id)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\xff" * 100_000)
        assert b"".join(follow_log(world.services, run, follow=False)) == b"\xff" * 100_000

    def test_until_the_end(self, world: World) -> None:
        """What is written up to the very end is given, and then it stops."""
        run = begin(world.store, make_run())
        path = log_path(world.services.settings.state_dir, run.id)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"one\n")
        chunks = follow_log(world.services, run, follow=True)
        assert next(chunks) == b"one\n"
        with path.open("ab") as log:
            log.write(b"two\n")
        assert next(chunks) == b"two\n"
        with path.open("ab") as log:
            log.write(b"three\n")
        finish(world.store, world.store.get(run.id))
        assert list(chunks) == [b"three\n"]

    def test_a_log_of_another_machine(self, world: World) -> None:
        """The error says where the run was."""
        run = finish(world.store, begin(world.store, make_run()))
        with pytest.raises(RunNotFound, match="it ran on laptop"):
            list(follow_log(world.services, run, follow=False))

    def test_a_run_that_never_started_has_no_log(self, world: World) -> None:
        """That is nothing to be sorry for."""
        run = stored(world, "a", status=Status.REFUSED, outcome=Outcome(status=Status.REFUSED))
        assert list(follow_log(world.services, run, follow=True)) == []


class TestCancel:
    """Asking for the end."""

    @pytest.mark.parametrize("status", [Status.REQUESTED, Status.LAUNCHED])
    def test_before_the_start(self, world: World, status: Status) -> None:
        """It ends at once, and never starts."""
        run = cancel(world.services, stored(world, "a", status=status), force=False, reason="wrong one")
        assert run.status is Status.CANCELLED
        assert run.outcome is not None and run.outcome.error == "cancelled before it started"
        assert world.events() == ["requested", "cancelled"]
        assert world.bodies()[-1]["data"]["request"] == {"force": False, "reason": "wrong one"}

    @pytest.mark.parametrize("status", [Status.RUNNING, Status.STOPPING])
    @pytest.mark.parametrize(("force", "asked"), [(False, "cancel"), (True, "kill")])
    def test_while_it_runs(self, world: World, status: Status, force: bool, asked: str) -> None:
        """It is asked to stop, and stays active until its process says how it ended."""
        run = cancel(world.services, stored(world, "a", status=status), force=force, reason=None)
        assert (run.status, run.stop_requested) == (Status.STOPPING, asked)
        assert world.events() == ["requested", "cancelled"]

    def test_force_is_not_taken_back(self, world: World) -> None:
        """A milder request that comes later leaves it."""
        run = cancel(world.services, stored(world, "a", status=Status.RUNNING), force=True, reason=None)
        assert cancel(world.services, run, force=False, reason=None).stop_requested == "kill"

    @pytest.mark.parametrize("status", sorted(FINAL))
    def test_after_the_end(self, world: World, status: Status) -> None:
        """It is refused, and changes nothing."""
        run = stored(world, "a", status=status, outcome=Outcome(status=status))
        with pytest.raises(Refused, match=f"ended already: {status}"):
            cancel(world.services, run, force=True, reason=None)
        assert world.store.get(run.id) == run

    def test_it_ends_meanwhile(self, world: World) -> None:
        """The outcome was quicker: it stays, and the cancel is refused."""
        run = begin(world.store, make_run())
        world.store.before_save = lambda: finish(world.store, world.store.get(run.id))
        with pytest.raises(Refused, match="succeeded"):
            cancel(world.services, run, force=False, reason=None)
        assert world.events() == ["requested", "starting", "outcome"]

    def test_it_starts_meanwhile(self, world: World) -> None:
        """A run that took the lease in that moment is asked to stop instead."""
        run = stored(world, "a", status=Status.LAUNCHED)

        def start() -> None:
            claimed = run.claimed(OTHER, START)
            world.store.save(claimed, event.starting(claimed, OBSERVER, START))

        world.store.before_save = start
        assert cancel(world.services, run, force=False, reason=None).status is Status.STOPPING
        assert world.events() == ["requested", "starting", "cancelled"]

    def test_by_whom(self, world: World) -> None:
        """The log names who cancelled, not who had asked for the run."""
        services = replace(world.services, actor=replace(world.services.actor, subject="b0b"))
        cancel(services, stored(world, "a", status=Status.RUNNING), force=False, reason=None)
        assert world.bodies()[-1]["data"]["initiator"]["subject"] == "b0b"
