"""Which app and which code a run is of: a task's name alone does not say what runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oneoff.commands.options import Options
from oneoff.commands.run import Request, refuse, run, task_again
from oneoff.errors import AppBroken, AppNotFound, Refused
from oneoff.protocols import RunQuery
from oneoff.runs.run import Release
from oneoff.runs.status import Status
from oneoff.tasks.code import code_digest
from oneoff.tasks.registry import Registry, task_name
from oneoff.tasks.task import RAW, Task
from oneoff.types import RunId
from tests.fakes import OTHER, World
from tests.records import PROCESS, begin, make_run


class TestTakingUp:
    """The process that was launched for a run."""

    @pytest.mark.parametrize("mine", [True, False], ids=["its own process", "another"])
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"app": "market"}, "run x was asked for in the app market, and this one is shop"),
            ({"release": Release(code="0ld")}, "the code of fail has changed since run x was asked for"),
            ({"release": Release(code=None)}, "the code of fail has changed since run x was asked for"),
        ],
    )
    def test_a_launched_run_of_another_app_or_of_other_code(
        self, world: World, changes: dict[str, Any], words: str, mine: bool
    ) -> None:
        """Nothing starts; the run ends only where this is the process that was to run it."""
        world.launched("fail", **{"process": PROCESS if mine else OTHER} | changes)
        with pytest.raises(Refused, match=words):
            run(world.services, world.wish("fail", run_id=RunId("x")))
        left = world.the_run()
        assert left.status is (Status.REFUSED if mine else Status.LAUNCHED)
        assert left.started_at is None
        assert words in world.refusals()[-1]
        assert (left.outcome is not None and words in (left.outcome.error or "")) is mine

    def test_an_ended_run_whose_code_has_changed_since(self, world: World) -> None:
        """A second start with its id runs nothing, so that it may be repeated after a deploy."""
        first = run(world.services, world.wish("greet", run_id=RunId("x")))
        changed = world.store.save(replace(first, release=replace(first.release, code="0ld")))
        assert run(world.services, world.wish("greet", run_id=RunId("x"))) == changed

    def test_a_raw_command_has_no_app(self, world: World) -> None:
        """It is the same in whatever folder it is started."""
        task = Task(name=RAW, command=("true",))
        launched = world.launched("fail", task=RAW, command=task.command, app="elsewhere")
        world.store.save(replace(launched, release=Release(code=code_digest(task))))
        request = replace(world.wish("greet", run_id=RunId("x")), task=task)
        assert run(world.services, request).status is Status.SUCCEEDED


class TestAnotherApp:
    """The app here is not the one that was meant."""

    def test_a_rerun_in_another_app(self, world: World) -> None:
        """It is refused, recorded, and the app that is wanted is named."""
        earlier = begin(world.store, make_run("old", app="market", task="greet"))
        with pytest.raises(Refused, match="run old is of the app market, and this one is shop") as caught:
            task_again(world.services, earlier, world.app, Options(reason="OPS-1"))
        assert "oneoff --app MODULE:NAME rerun old" in caught.value.next_step
        (new,) = world.store.find(RunQuery(statuses=frozenset({Status.REFUSED})))
        assert (new.app, new.task, new.rerun_of, new.reason) == ("shop", "greet", "old", "OPS-1")

    def test_a_rerun_in_the_same_app(self, world: World) -> None:
        """The task is found."""
        earlier = begin(world.store, make_run("old", task="greet"))
        assert task_again(world.services, earlier, world.app, Options()) is world.app.get("greet")

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (lambda app: Registry("market"), "the app that it finds is market"),
            (lambda app: Registry("shop"), "there is no task 'greet'"),
            (lambda app: with_task("shop", Task(name=task_name("greet"), command=("true",))), "other code"),
            (lambda app: with_task("shop", Task(name=task_name("greet"), function=print)), "cannot be told"),
            (lambda app: raising(AppNotFound("there is no module")), "there is no module"),
            (lambda app: raising(AppBroken("it cannot be imported")), "it cannot be imported"),
        ],
    )
    def test_detached_it_would_be_another(
        self, world: World, found: Callable[[Registry], Registry], words: str
    ) -> None:
        """Nothing is launched, before anybody is asked, and the refusal is recorded."""
        request = replace(world.wish("greet", detach=True), elsewhere=lambda: found(world.app))
        with pytest.raises(Refused):
            run(world.services, request)
        assert (world.the_run().status, world.the_run().started_at) == (Status.REFUSED, None)
        assert words in world.refusals()[-1]
        assert world.launcher.launched == []

    def test_detached_it_is_the_same(self, world: World) -> None:
        """Another object made by the same code is the same app; here in this process nobody looks."""
        same = with_task("shop", world.app.get("greet"))
        run(world.services, replace(world.wish("greet", detach=True), elsewhere=lambda: same))
        assert len(world.launcher.launched) == 1
        run(world.services, replace(world.wish("greet"), elsewhere=lambda: Registry("market")))


class TestNoApp:
    """An app that cannot be loaded."""

    def wish(self, **about: Any) -> Request:
        task = Task(name=task_name("purge"))
        return Request(task=task, registry=Registry("shop.admin:admin"), options=Options(**about))

    def broken(self) -> AppBroken:
        error = AppBroken("shop.admin cannot be imported")
        error.__cause__ = LookupError("no luck")
        return error

    def test_what_was_asked_is_recorded(self, world: World) -> None:
        """As a refused run with the reason, and with what the app raised."""
        with pytest.raises(AppBroken):
            refuse(world.services, self.wish(dry_run=True, reason="why"), self.broken())
        refused = world.the_run()
        assert (refused.task, refused.app, refused.status) == ("purge", "shop.admin:admin", Status.REFUSED)
        assert (refused.dry_run, refused.reason, refused.started_at) == (True, "why", None)
        assert world.refusals() == ["shop.admin cannot be imported: LookupError: no luck"]
        assert world.events() == ["requested", "refused"]

    def test_the_process_of_a_launched_run(self, world: World) -> None:
        """Its own run ends with the reason."""
        world.launched("purge", process=PROCESS)
        with pytest.raises(AppBroken):
            refuse(world.services, self.wish(run_id=RunId("x")), self.broken())
        assert world.the_run().status is Status.REFUSED
        assert "no luck" in world.refusals()[-1]

    def test_the_id_of_a_run_that_is_there(self, world: World) -> None:
        """That one stays as it is."""
        launched = world.launched("purge")
        with pytest.raises(AppBroken):
            refuse(world.services, self.wish(run_id=RunId("x")), self.broken())
        assert world.the_run() == launched
        assert "no luck" in world.refusals()[-1]


def with_task(name: str, task: Task) -> Registry:
    app = Registry(name)
    app.add(task)
    return app


def raising(error: Exception) -> Registry:
    raise error
