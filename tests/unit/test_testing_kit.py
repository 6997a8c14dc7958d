"""``oneoff.testing``: what an app's developer uses in unit tests."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from oneoff import App, Context, Secret, testing
from oneoff.errors import DryRunUnavailable, InvalidParameters, TaskNotFound
from oneoff.tasks.task import Task
from oneoff.types import TaskName

HANDLE = object()
app = App("shop", database=HANDLE)
sent: list[str] = []


@app.task
def purge(ctx: Context, older_than: timedelta = timedelta(days=90), names: list[str] | None = None) -> Any:
    """Use all that a context has."""
    ctx.log.info("purging", older_than=older_than)
    for done in range(3):
        if ctx.should_stop:
            return "stopped"
        ctx.progress(done + 1, 3, "users")
    answer = ctx.effect("notify support", sent.append, "done", dry_result="dry")
    return ctx.db, older_than, names, answer, ctx.dry_run


@app.task
async def later(n: int) -> int:
    """An async task."""
    await asyncio.sleep(0)
    return n + 1


@app.task
def login(token: Secret) -> str:
    """A secret."""
    return token.reveal()


@app.task
def boast(ctx: Context, token: Secret) -> None:
    """Tell a secret in every way that a context has."""
    ctx.log.info(f"with {token.reveal()}")
    ctx.progress(1, 2, token.reveal())
    ctx.effect(f"send {token.reveal()}", sent.append, token.reveal())


@app.task
def fail() -> None:
    """Raise."""
    raise LookupError("not there")


app.add(Task(name=TaskName("build"), command=("true",)))


@pytest.fixture(autouse=True)
def nothing_sent() -> None:
    """Each test begins with an empty outbox."""
    sent.clear()


def test_run_calls_the_task() -> None:
    """It gives back what the function returned, logged and counted, and does what goes outside."""
    result = testing.run(app, "purge", {"older_than": timedelta(days=1), "names": ["ann"]})
    assert result.value == (HANDLE, timedelta(days=1), ["ann"], None, False)
    assert "purging" in result.log
    assert [(state.done, state.total, state.message) for state in result.progress] == [
        (1, 3, "users"),
        (2, 3, "users"),
        (3, 3, "users"),
    ]
    assert (sent, result.effects) == (["done"], ())


def test_dry_run_holds_effects_back() -> None:
    """The task knows that it is dry, and the effect is reported and not done."""
    result = testing.dry_run(app, "purge")
    assert result.value == (HANDLE, timedelta(days=90), None, "dry", True)
    assert [(effect.description, effect.call) for effect in result.effects] == [
        ("notify support", "list.append"),
    ]
    assert sent == []


def test_it_says_that_no_guard_is_in_force() -> None:
    """Nobody may take a unit test for a dry run that the database enforces."""
    assert testing.run(app, "later", {"n": 1}).guard == "none"
    assert testing.dry_run(app, "purge").guard == "none"


def test_another_database() -> None:
    """A test gives the task a database of its own, even an empty one."""
    assert testing.run(app, "purge", db="a test's own").value[0] == "a test's own"
    assert testing.run(app, "purge", db=[]).value[0] == []


def test_a_stop_is_seen() -> None:
    """The task can be tested for heeding a request to stop."""
    assert testing.run(app, "purge", stop=True).value == "stopped"


def test_an_async_task() -> None:
    """It runs to its end."""
    assert testing.run(app, "later", {"n": 41}).value == 42


def test_a_secret_reaches_the_task() -> None:
    """As a Secret, as the task gets it in a run."""
    assert testing.run(app, "login", {"token": Secret("k3y")}).value == "k3y"
    assert testing.run(app, "login", {"token": "k3y"}).value == "k3y"
    assert testing.parse(app, "login", {"token": "k3y"}) == {"token": Secret("k3y")}


def test_what_a_task_raises_comes_through() -> None:
    """So that ``pytest.raises`` works."""
    with pytest.raises(LookupError, match="not there"):
        testing.run(app, "fail")


def test_parse_reads_texts() -> None:
    """As the command line reads them, defaults filled in."""
    assert testing.parse(app, "purge", {"older_than": "7d"}) == {
        "older_than": timedelta(days=7),
        "names": None,
    }


def test_parse_reports_every_problem() -> None:
    """All at once, as the command line does."""
    with pytest.raises(InvalidParameters) as caught:
        testing.parse(app, "purge", {"older_than": "soon", "nmes": "ann"})
    assert {problem.parameter for problem in caught.value.problems} == {"older_than", "nmes"}


def test_wrong_values() -> None:
    """A value of the wrong type is refused before the task is called."""
    with pytest.raises(InvalidParameters):
        testing.run(app, "later", {"n": "many"})


def test_an_unknown_task() -> None:
    """The nearest name is named."""
    with pytest.raises(TaskNotFound, match="did you mean purge"):
        testing.run(app, "purg")


def test_a_command_is_no_function() -> None:
    """Running another program is no unit test."""
    for call in (testing.run, testing.dry_run):
        with pytest.raises(DryRunUnavailable, match="is a command"):
            call(app, "build")


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no store, no log and no other file."""
    monkeypatch.chdir(tmp_path)
    testing.run(app, "purge")
    testing.dry_run(app, "purge")
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_masked() -> None:
    """In all that a result tells, as in a real run."""
    result = testing.dry_run(app, "boast", {"token": Secret("hunter2")})
    assert "with ********" in result.log
    assert [progress.message for progress in result.progress] == ["********"]
    assert [effect.description for effect in result.effects] == ["send ********"]
    assert "hunter2" not in str(result)
