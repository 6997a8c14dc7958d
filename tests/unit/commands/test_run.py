"""``run``: what is asked for is recorded, confirmed, and done or refused; never in between."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from oneoff.commands.run import Request, frozen_parameters, rerun_differences, run
from oneoff.errors import (
    AlreadyStarted,
    DryRunUnavailable,
    InvalidParameters,
    LockHeld,
    NotConfirmed,
    OneoffError,
    ReasonRequired,
    Refused,
    RunNotFound,
    StoreUnavailable,
    UsageError,
)
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import Status
from oneoff.settings import EnvironmentSettings
from oneoff.tasks.secret import SECRET_MARK, Secret
from oneoff.types import RunId
from tests.fakes import FAR, OTHER, FakeConfinement, FakeGuard, World
from tests.records import PROCESS, START, begin, finish, make_run, note

KEY = "s3cr3t-word"


def refused(world: World, request: Request, kind: type[OneoffError]) -> OneoffError:
    """The error of a refusal that the run's record and the audit log tell in the same words."""
    with pytest.raises(kind) as caught:
        run(world.services, request)
    recorded = world.the_run()
    assert recorded.status is Status.REFUSED
    assert recorded.outcome is not None
    assert recorded.outcome.error == caught.value.message
    assert recorded.started_at is None
    assert world.events() == ["requested", "refused"]
    assert world.refusals() == [caught.value.message]
    assert world.spool.rooms == {}
    return caught.value


class TestExecution:
    """A run in this process."""

    def test_a_task_runs_between_intent_and_outcome(self, world: World) -> None:
        """Requested, starting and outcome are in the log, and the record says how it was confirmed."""
        done = run(world.services, world.wish("greet", {"name": "Zoë"}, reason="because"))
        assert done.status is Status.SUCCEEDED
        assert world.events() == ["requested", "starting", "outcome"]
        assert (done.parameters, done.reason, done.confirmation) == (
            {"name": "Zoë"},
            "because",
            "none needed",
        )
        assert (done.app, done.environment, done.launcher) == ("shop", "local", "foreground")
        assert (done.process, done.fence) == (PROCESS, 1)
        assert world.spool.rooms == {}

    def test_the_release_is_the_apps_own(self, world: World) -> None:
        """The app's version goes before the project's; the task's package gives the digest."""
        release = run(world.services, world.wish("greet")).release
        assert (release.version, release.commit) == ("1.2", "c0ffee")
        assert release.code is not None and len(release.code) == 64

    def test_a_task_that_raises_has_failed(self, world: World) -> None:
        """Its exception is in the record, with its traceback."""
        ended = run(world.services, world.wish("fail"))
        assert ended.status is Status.FAILED
        assert ended.outcome is not None
        assert ended.outcome.error == "ValueError: no luck"
        assert 'raise ValueError("no luck")' in (ended.outcome.traceback or "")

    def test_a_task_gets_the_apps_handle(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """``ctx.db`` is what the app gave."""
        run(world.services, world.wish("look"))
        assert "the handle is a handle" in capsys.readouterr().err

    def test_a_command_runs(self, world: World) -> None:
        """A command task is judged by its exit code."""
        done = run(world.services, world.wish("build"))
        assert (done.status, done.command) == (Status.SUCCEEDED, ("true",))

    def test_wrong_parameters_leave_no_trace(self, world: World) -> None:
        """What cannot be meant is no run: nothing is recorded."""
        with pytest.raises(InvalidParameters):
            run(world.services, world.wish("purge", {"days": "soon"}))
        assert world.events() == []

    def test_an_unknown_environment_leaves_no_trace(self, world: World) -> None:
        """A name that is no environment is a mistake of the command, with the nearest name."""
        with pytest.raises(UsageError, match="did you mean 'staging'"):
            run(world.services, world.wish("greet", environment="stagin"))
        assert world.events() == []

    def test_nothing_runs_unrecorded(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the intent cannot be recorded, the task does not start."""

        def full(*_: object) -> None:
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(world.spool, "reserve", full)
        refused(world, world.wish("fail"), StoreUnavailable)

    def test_a_store_that_fails_while_it_refuses(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The reader hears of the refusal itself, and not of the store that could not take it."""

        def gone(*_: object) -> None:
            raise StoreUnavailable("the store is gone")

        monkeypatch.setattr(world.store, "save", gone)
        with pytest.raises(NotConfirmed):
            run(world.services, world.wish("purge", {"days": 1}))


class TestConfirmation:
    """Who has to say yes, and how."""

    def test_nobody_to_ask(self, world: World) -> None:
        """Without a terminal the run is refused, and the error names the command that works."""
        error = refused(world, world.wish("purge", {"days": 1}), NotConfirmed)
        assert error.message.startswith("Delete it all?")
        assert error.next_step == "oneoff run purge --yes"
        assert error.exit_code == 3

    @pytest.mark.parametrize(
        ("environment", "options", "answers", "confirmation"),
        [
            (None, {"yes": True}, [], "--yes"),
            (None, {}, [True], "answered"),
            ("staging", {"yes": True}, [], "--yes"),
            ("production", {"confirm": "production"}, [], "--confirm"),
            ("production", {}, ["production"], "environment typed"),
            ("production", {"yes": True}, ["production"], "environment typed"),
        ],
    )
    def test_the_record_says_how(
        self,
        world: World,
        environment: str | None,
        options: dict[str, Any],
        answers: list[Any],
        confirmation: str,
    ) -> None:
        """Each way to confirm is recorded under its own name, in the run and in the audit log."""
        world.asker.answers = answers
        request = world.wish("purge", {"days": 1}, environment=environment, reason="OPS-1", **options)
        done = run(world.services, request)
        assert (done.status, done.confirmation) == (Status.SUCCEEDED, confirmation)
        assert [event["data"]["confirmation"] for event in world.bodies()] == [None, *[confirmation] * 2]

    @pytest.mark.parametrize("answer", [False, KeyboardInterrupt(), EOFError()])
    def test_no_answer_is_a_no(self, world: World, answer: object) -> None:
        """A no, Ctrl-C and Ctrl-D at the question all refuse the run, and say what works without it."""
        world.asker.answers = [answer]
        error = refused(world, world.wish("purge", {"days": 1}), NotConfirmed)
        assert error.next_step == "oneoff run purge --yes"

    def test_a_wrong_word_is_a_no(self, world: World) -> None:
        """A protected environment is confirmed by its own name and nothing else."""
        world.asker.answers = ["prod"]
        request = world.wish("purge", {"days": 1}, environment="production", reason="OPS-1", yes=True)
        error = refused(world, request, NotConfirmed)
        assert error.message == "'prod' is not 'production'"
        assert error.next_step == "oneoff run purge --confirm production"
        assert "Type production" in world.asker.asked[0]

    def test_yes_is_not_enough_in_a_protected_environment(self, world: World) -> None:
        """It wants its name."""
        request = world.wish("greet", environment="production", reason="OPS-1", yes=True)
        with pytest.raises(NotConfirmed, match="Run greet in production"):
            run(world.services, request)
        assert len(world.refusals()) == 1

    @pytest.mark.parametrize(("environment", "named"), [("production", "staging"), (None, "production")])
    def test_another_environments_name_does_not_do(
        self, world: World, environment: str | None, named: str
    ) -> None:
        """Whoever names production and runs elsewhere meant something else, protected or not."""
        request = world.wish("greet", environment=environment, reason="OPS-1", confirm=named)
        error = refused(world, request, NotConfirmed)
        assert f"--confirm {named} does not name the environment" in error.message

    @pytest.mark.parametrize("reason", [None, "", "just so", "OPS-1 and more"])
    def test_a_reason_that_does_not_do(self, world: World, reason: str | None) -> None:
        """The pattern holds for the whole reason; the way out names all that is missing at once."""
        request = world.wish("greet", environment="production", reason=reason)
        error = refused(world, request, ReasonRequired)
        assert error.next_step == "oneoff run greet --reason '…' --confirm production"

    def test_a_dry_run_needs_neither(self, world: World) -> None:
        """What changes nothing is not confirmed, takes no lock, and wants no reason."""
        begin(world.store, make_run("holder", lock="users"))
        request = world.wish("purge", {"days": 1}, environment="production", dry_run=True)
        done = run(world.services, request)
        assert (done.status, done.confirmation, done.lock) == (Status.SUCCEEDED, "none needed", None)


class TestDryRun:
    """A dry run is one, or is refused."""

    def test_its_report_is_kept(self, world: World) -> None:
        """The record holds the report, and the rows of it."""
        done = run(world.services, world.wish("greet", dry_run=True))
        assert done.dry_run_report is not None
        assert done.dry_run_report["has_effects"] is True
        assert done.outcome is not None
        assert done.outcome.rows == {"users": {"inserted": 0, "updated": 0, "deleted": 3}}

    def test_what_the_guard_stopped_makes_it_fail(self, world: World) -> None:
        """Also where the task swallowed it: the report names the guard, the attempt, and what is not held."""
        services = replace(world.services, guard=lambda mask, environment: FakeGuard("a program"))
        done = run(services, world.wish("greet", dry_run=True))
        assert (done.status, done.outcome and done.outcome.error) == (
            Status.FAILED,
            "the dry run held, and the task tried what it may not: a program",
        )
        report: Any = done.dry_run_report
        assert (report["guard"], report["attempts"]) == ("fake", ["a program"])
        assert report["not_covered"] == ["everything"]

    def test_a_real_run_has_no_guard(self, world: World) -> None:
        """What a task starts is its own affair there."""

        def none_wanted(mask: Any, environment: Any) -> Any:
            raise AssertionError

        services = replace(world.services, guard=none_wanted)
        assert run(services, world.wish("greet")).status is Status.SUCCEEDED

    def test_a_command_is_previewed(self, world: World) -> None:
        """What is declared for its dry run runs in its place; the record keeps the command asked for."""
        request = world.wish("build", dry_run=True)
        request = replace(request, task=replace(request.task, dry_run_command=("sh", "-c", "exit 3")))
        done = run(world.services, request)
        assert (done.status, done.command, done.outcome and done.outcome.exit_code) == (
            Status.FAILED,
            ("true",),
            3,
        )
        report: Any = done.dry_run_report
        assert (report["level"], report["command"]) == ("preview", ["sh", "-c", "exit 3"])
        assert report["complete"] is False
        assert "it reaches none" in report["not_covered"][0]

    def test_a_command_gets_databases_that_can_only_be_read(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the variables that the environment names; their ports and those of allowed hosts are open."""
        ports: list[object] = []

        def confine(wanted: Collection[int]) -> FakeConfinement:
            ports.append(set(wanted))
            return FakeConfinement()

        settings = EnvironmentSettings(
            name="local", preview_environ={"URL": "READ"}, dry_run_hosts=("redis:6379",)
        )
        services = replace(
            world.services,
            settings=replace(world.services.settings, environments={"local": settings}),
            confine=confine,
        )
        request = world.wish("build", dry_run=True)
        look = replace(request.task, command=("sh", "-c", '[ "$URL" = postgresql://reader@h ]'))
        request = replace(request, task=look)
        with pytest.raises(DryRunUnavailable, match="READ, which is not set"):
            run(services, request)
        monkeypatch.setenv("READ", "postgresql://writer@h")
        with pytest.raises(DryRunUnavailable, match="can write"):
            run(services, request)
        monkeypatch.setenv("READ", "postgresql://reader@h")
        done = run(services, request)
        assert (done.status, ports) == (Status.SUCCEEDED, [{5432, 6379}])
        report: Any = done.dry_run_report
        assert "redis:6379, which the environment lets through" in report["not_covered"]

    @pytest.mark.parametrize(
        ("wanted", "here"), [("landlock", "copy by fake"), ("audit-hook", "copy by fake")]
    )
    def test_a_dry_run_that_is_held_by_less_than_is_wanted(
        self, world: World, wanted: str, here: str
    ) -> None:
        """It is refused before anything runs, with what would be in force."""
        error = refused(
            world, world.wish("greet", dry_run=True, require_level=("copy", wanted)), DryRunUnavailable
        )
        assert f"level {here} here, and {wanted} is required" in error.message
        assert "require_level of [tool.oneoff.environments.local]" in error.next_step

    def test_an_app_without_a_database(self, world: World) -> None:
        """Its dry run goes on, and reports no database."""
        world.app.database = None
        ended = run(world.services, world.wish("greet", dry_run=True))
        assert ended.status is Status.SUCCEEDED
        assert ended.dry_run_report is not None
        assert ended.dry_run_report["databases"] == []

    def test_several_databases(self, world: World) -> None:
        """Each has its part of the report; rows of tables of one name are counted together in the record."""
        world.app.database = ("shop", "archive")
        ended = run(world.services, world.wish("greet", dry_run=True))
        report: Any = ended.dry_run_report
        assert [database["database"] for database in report["databases"]] == ["shop", "archive"]
        assert ended.outcome is not None
        assert ended.outcome.rows == {"users": {"inserted": 0, "updated": 0, "deleted": 6}}

    @pytest.mark.parametrize("fault", [ConnectionError("no route"), SystemExit("no DSN")])
    def test_a_database_that_cannot_be_opened(self, world: World, fault: BaseException) -> None:
        """What the app's own function raises refuses the dry run, in the function's words."""
        world.app.database = fault
        error = refused(world, world.wish("greet", dry_run=True), DryRunUnavailable)
        assert str(fault) in error.message
        assert error.__cause__ is fault

    def test_an_error_of_ours_from_the_apps_function(self, world: World) -> None:
        """It refuses the run too, whatever its kind: no run waits for ever."""
        world.app.database = UsageError("no such database")
        assert "no such database" in refused(world, world.wish("greet", dry_run=True), UsageError).message


class TestLock:
    """One run at a time under a lock."""

    def test_a_held_lock_refuses(self, world: World) -> None:
        """The refusal says who holds it and how to wait for that run."""
        begin(world.store, make_run("holder", lock="users"))
        with pytest.raises(LockHeld, match=r"run holder of purge, executing since .* on laptop") as caught:
            run(world.services, world.wish("purge", {"days": 1}, yes=True))
        assert "oneoff wait holder" in caught.value.next_step
        assert world.refusals() == [caught.value.message]
        assert set(world.spool.rooms) == set()

    def test_a_dead_holder_holds_nothing(self, world: World) -> None:
        """A holder that died is found out, becomes lost, and the new run starts."""
        holder = begin(world.store, make_run("holder", lock="users"))
        world.processes.dead.append(PROCESS)
        done = run(world.services, world.wish("purge", {"days": 1}, yes=True))
        assert done.status is Status.SUCCEEDED
        assert world.store.get(holder.id).status is Status.LOST

    def test_a_holder_that_dies_at_the_last_moment(self, world: World) -> None:
        """It is looked at again when the lock turns out to be held."""

        def die() -> None:
            holder = make_run("holder", lock="users", status=Status.RUNNING, process=OTHER)
            world.store.create(holder, note(holder))
            world.processes.dead.append(OTHER)

        world.store.before_save = die
        assert run(world.services, world.wish("purge", {"days": 1}, yes=True)).status is Status.SUCCEEDED
        assert world.store.get(RunId("holder")).status is Status.LOST


class TestSameId:
    """The same id started twice runs once."""

    def test_an_id_that_is_none(self, world: World) -> None:
        """An id has to be able to name a Kubernetes Job."""
        with pytest.raises(UsageError, match="no run id"):
            run(world.services, world.wish("greet", run_id=RunId("Not An Id")))
        assert world.events() == []

    def test_an_ended_run_is_not_started_again(self, world: World) -> None:
        """The second start gives back the first one's end."""
        first = run(world.services, world.wish("fail", run_id=RunId("x")))
        second = run(world.services, world.wish("fail", run_id=RunId("x")))
        assert second == replace(first, checkpoint=None)
        assert world.events() == ["requested", "starting", "outcome"]
        assert world.said[-1] == "run x has ended before: failed; it is not started again"

    @pytest.mark.parametrize("status", [Status.REQUESTED, Status.RUNNING, Status.STOPPING])
    def test_a_run_at_work_is_not_started_again(self, world: World, status: Status) -> None:
        """The attempt is refused and recorded, and the run at work is as it was."""
        existing = make_run("x", task="greet", status=status, process=OTHER, parameters={"name": "you"})
        world.store.create(existing, note(existing))
        with pytest.raises(AlreadyStarted, match="on laptop as process 99") as caught:
            run(world.services, world.wish("greet", run_id=RunId("x")))
        assert world.store.get(existing.id).status is status
        assert world.events() == ["requested", "refused"]
        assert world.refusals() == [caught.value.message]
        assert "oneoff wait x" in caught.value.next_step

    @pytest.mark.parametrize(
        ("wish", "words"),
        [
            ({"values": {"name": "bob"}}, "with other parameters"),
            ({"dry_run": True}, "as a real run"),
            ({"environment": "staging"}, "in the environment local"),
        ],
    )
    @pytest.mark.parametrize("status", [Status.LAUNCHED, Status.RUNNING, Status.SUCCEEDED])
    def test_an_id_means_one_wish(
        self, world: World, wish: dict[str, Any], words: str, status: Status
    ) -> None:
        """What differs from the first wish is refused, whatever became of that, and does it no harm."""
        existing = make_run("x", task="greet", status=status, process=OTHER, parameters={"name": "ann"})
        if status is Status.SUCCEEDED:
            existing = replace(existing, outcome=Outcome(status=status))
        existing = world.store.create(existing, note(existing))
        options = {key: value for key, value in wish.items() if key != "values"}
        request = world.wish("greet", wish.get("values"), run_id=RunId("x"), **options)
        with pytest.raises(AlreadyStarted, match=words):
            run(world.services, request)
        assert world.store.get(existing.id) == existing
        assert world.events() == ["requested", "refused"]

    def test_a_real_run_under_the_id_of_a_dry_run(self, world: World) -> None:
        """Nobody may take the success of a dry run for that of the real one."""
        run(world.services, world.wish("greet", run_id=RunId("x"), dry_run=True))
        with pytest.raises(AlreadyStarted, match="as a dry run"):
            run(world.services, world.wish("greet", run_id=RunId("x")))

    def test_another_command_under_the_same_id(self, world: World) -> None:
        """A raw command is part of the wish."""
        run(world.services, world.wish("build", run_id=RunId("x")))
        request = world.wish("build", run_id=RunId("x"))
        with pytest.raises(AlreadyStarted, match="with another command"):
            run(world.services, replace(request, task=replace(request.task, command=("false",))))

    def test_another_task_under_the_same_id(self, world: World) -> None:
        """It is a mistake of the command: nothing is recorded."""
        run(world.services, world.wish("greet", run_id=RunId("x")))
        with pytest.raises(UsageError, match="of the task greet, not purge"):
            run(world.services, world.wish("purge", {"days": 1}, run_id=RunId("x")))
        assert world.events() == ["requested", "starting", "outcome"]

    def test_the_same_id_at_the_same_moment(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever comes second between look and record takes up what the first one left."""
        first = run(world.services, world.wish("greet", run_id=RunId("x")))
        looks = iter([RunNotFound("not yet")])
        get = world.store.get

        def late(run_id: RunId) -> Run:
            for error in looks:
                raise error
            return get(run_id)

        monkeypatch.setattr(world.store, "get", late)
        again = run(world.services, world.wish("greet", run_id=RunId("x")))
        assert again == replace(first, checkpoint=None)

    def test_a_launched_run_is_taken_up(self, world: World) -> None:
        """Its process runs it with the recorded parameters, and nobody is asked again."""
        world.launched("purge", confirmation="--yes", launcher="fake", parameters={"days": 7})
        done = run(world.services, world.wish("purge", run_id=RunId("x")))
        assert (done.status, done.parameters, done.confirmation) == (
            Status.SUCCEEDED,
            {"days": 7},
            "--yes",
        )
        assert (done.process, done.fence) == (PROCESS, 1)

    def test_a_launched_run_that_no_longer_fits(self, world: World) -> None:
        """Where the task has changed so that it cannot start, the run ends as refused."""
        world.launched("purge", parameters={"dayz": 7})
        with pytest.raises(InvalidParameters):
            run(world.services, world.wish("purge", run_id=RunId("x")))
        assert world.store.get(RunId("x")).status is Status.REFUSED

    def test_cancelled_between_request_and_start(self, world: World) -> None:
        """The task does not start, and the run is as whoever cancelled it left it."""

        def cancel() -> None:
            waiting = world.the_run()
            world.store.save(waiting.ended(Outcome(status=Status.CANCELLED), START))

        world.store.before_save = cancel
        assert run(world.services, world.wish("fail")).status is Status.CANCELLED

    def test_started_elsewhere_between_request_and_start(self, world: World) -> None:
        """Two processes that take up the same launched run: one runs it, the other is refused."""
        world.launched("fail")
        world.store.before_save = lambda: world.store.save(world.the_run().claimed(OTHER, START))
        with pytest.raises(AlreadyStarted, match="started meanwhile"):
            run(world.services, world.wish("fail", run_id=RunId("x")))
        assert world.the_run().status is Status.RUNNING


class TestDetached:
    """A run in a process of its own."""

    def test_it_is_launched_once_confirmed(self, world: World) -> None:
        """The launcher gets the record and, apart from it, the secrets; its first report is awaited."""
        world.launcher.then = lambda run: world.store.save(run.claimed(OTHER, START))
        request = world.wish("login", {"token": Secret(KEY)}, secrets={"token": KEY}, detach=True)
        launched = run(world.services, request)
        assert launched.status is Status.RUNNING
        ((record, secrets),) = world.launcher.launched
        assert (record.status, record.launcher, secrets) == (Status.LAUNCHED, "fake", {"token": KEY})

    def test_it_is_not_launched_unconfirmed(self, world: World) -> None:
        """Nobody can be asked later."""
        refused(world, world.wish("purge", {"days": 1}, detach=True), NotConfirmed)
        assert world.launcher.launched == []

    def test_a_process_that_dies_at_once(self, world: World) -> None:
        """It ends as refused, because nothing ran, and says where to read why."""
        world.launcher.then = lambda run: world.processes.dead.append(OTHER)
        ended = run(world.services, world.wish("greet", detach=True, run_id=RunId("x")))
        assert ended.status is Status.REFUSED
        assert ended.outcome is not None and "oneoff logs x" in (ended.outcome.error or "")

    def test_a_process_that_is_slow_to_report(self, world: World) -> None:
        """The command goes on without it after a while, and the run stays launched."""
        world.launcher.then = lambda run: setattr(world.clock, "haste", 11.0)
        assert run(world.services, world.wish("greet", detach=True)).status is Status.LAUNCHED

    def test_a_process_that_cannot_be_started(self, world: World) -> None:
        """The refusal is recorded."""

        def broken(run: Run) -> None:
            raise Refused("No process could be started for the run.")

        world.launcher.then = broken
        refused(world, world.wish("greet", detach=True), Refused)

    def test_letting_go_does_not_end_it(self, world: World) -> None:
        """Ctrl-C while its start is awaited leaves the launched run alone."""

        def interrupt(run: Run) -> None:
            raise KeyboardInterrupt

        world.launcher.then = interrupt
        with pytest.raises(KeyboardInterrupt):
            run(world.services, world.wish("greet", detach=True))
        assert world.the_run().status is Status.LAUNCHED


class TestSecrets:
    """A secret is used and never kept."""

    def test_no_record_holds_it(self, world: World) -> None:
        """Not the run, not an event, not a message."""
        done = run(world.services, world.wish("login", {"token": Secret(KEY)}, secrets={"token": KEY}))
        assert done.parameters == {"token": SECRET_MARK, "old": None}
        assert KEY not in repr(world.bodies())
        assert KEY not in repr(done)
        assert KEY not in "".join(world.said)

    def test_no_error_holds_it(self, world: World) -> None:
        """A secret of the wrong kind is named, not shown."""
        with pytest.raises(InvalidParameters) as caught:
            run(world.services, world.wish("login", {"token": KEY.encode()}))
        assert KEY not in str(caught.value)


class TestRerun:
    """Running again what has run before."""

    def test_it_says_where_it_comes_from(self, world: World) -> None:
        """The new run has the old one's parameters and its id."""
        first = run(world.services, world.wish("greet", {"name": "Zoë"}))
        again = run(world.services, world.wish("greet", frozen_parameters(first), rerun_of=first))
        assert (again.rerun_of, again.parameters) == (first.id, first.parameters)
        assert world.bodies(again.id)[0]["data"]["rerun_of"] == first.id

    def test_the_same_code_differs_in_nothing(self, world: World) -> None:
        """There is nothing to say then."""
        first = run(world.services, world.wish("greet"))
        assert rerun_differences(world.services, first, world.app, world.app.get("greet")) == []

    def test_each_difference_is_told(self, world: World) -> None:
        """Version, commit and the task's package are compared."""
        first = run(world.services, world.wish("greet"))
        earlier = replace(first, release=replace(first.release, version="1.1", commit=None, code="0ld"))
        told = rerun_differences(world.services, earlier, world.app, world.app.get("greet"))
        assert told[0] == "version: 1.1 then, 1.2 now"
        assert told[1].startswith("commit: ") and "c0ffee now" in told[1]
        assert told[2].startswith("the task's package")


def test_others_and_their_machines_are_left_alone(world: World) -> None:
    """A run of another machine that beats is neither ended nor hindered by a run here."""
    other = begin(world.store, make_run("far", process=FAR))
    world.store.save(replace(other, process=FAR))
    run(world.services, world.wish("greet"))
    assert world.store.get(other.id).status is Status.RUNNING
    finish(world.store, world.store.get(other.id))
