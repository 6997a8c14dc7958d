"""SIGKILL at every step of the run protocol: the next command says the truth, and nothing runs twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from oneoff.runs.status import FINAL, Status
from tests.acceptance.faults.project import Project, all_finished, finished

KILLED = -9
PROTOCOL = ("create 1", "reserve 1", "save 1", "_work 1", "save 2", "release 1")
"""What a run does, in order: intent, room for the outcome, claim, work, outcome, the room given back."""
NEVER_STARTED, LOST, SUCCEEDED = Status.REFUSED, Status.LOST, Status.SUCCEEDED
TRUTH = {
    ("create", 1, "before"): (None, 0),
    ("create", 1, "after"): (NEVER_STARTED, 0),
    ("reserve", 1, "before"): (NEVER_STARTED, 0),
    ("reserve", 1, "after"): (NEVER_STARTED, 0),
    ("save", 1, "before"): (NEVER_STARTED, 0),
    ("save", 1, "after"): (LOST, 0),
    ("_work", 1, "before"): (LOST, 0),
    ("_work", 1, "after"): (LOST, 1),
    ("save", 2, "before"): (LOST, 1),
    ("save", 2, "after"): (SUCCEEDED, 1),
    ("release", 1, "before"): (SUCCEEDED, 1),
    ("release", 1, "after"): (SUCCEEDED, 1),
}
"""After a kill there: the status that the next command finds, and how often the task's body ran."""
EVENTS = {
    NEVER_STARTED: ["requested", "refused"],
    LOST: ["requested", "starting", "outcome"],
    SUCCEEDED: ["requested", "starting", "outcome"],
}


def test_these_are_all_steps(project: Project) -> None:
    """A step that is added to the protocol has to be added here."""
    project.oneoff("run", "noop", trace=str(project.folder / "trace"))
    assert project.text("trace").splitlines() == list(PROTOCOL)
    assert {f"{name} {nth}" for name, nth, _ in TRUTH} == set(PROTOCOL)


@pytest.mark.parametrize(("step", "truth"), TRUTH.items(), ids=[" ".join(map(str, step)) for step in TRUTH])
def test_killed_at_a_step(
    step: tuple[str, int, str], truth: tuple[Status | None, int], project: Project
) -> None:
    """The record is true, the log is whole, and the same id does not run twice."""
    status, executions = truth
    killed = project.oneoff("run", "noop", "--run-id", "r1", kill=step)
    assert killed.returncode == KILLED
    assert project.executions() == executions
    if status is None:
        assert project.runs() == []
        assert project.oneoff("run", "noop", "--run-id", "r1").returncode == 0
        return
    again = project.oneoff("run", "noop", "--run-id", "r1")
    assert (again.returncode, project.executions()) == (
        {NEVER_STARTED: 3, LOST: 7, SUCCEEDED: 0}[status],
        executions,
    )
    assert "is not started again" in again.stderr
    assert project.the_run().status is status
    assert project.events("r1") == EVENTS[status]


def test_killed_in_the_task_its_lock_is_free(project: Project) -> None:
    """`wait` says 7, and the next run takes the lock."""
    process = project.started("run", "locked", "--run-id", "r1")
    process.kill()
    finished(process)
    assert project.oneoff("wait", "r1").returncode == 7
    (project.folder / "go").touch()
    assert project.oneoff("run", "locked").returncode == 0
    assert project.executions() == 2


def test_the_holder_was_killed_just_now(project: Project) -> None:
    """The lock is found free also where the dead run was not looked at before it was asked for."""
    process = project.started("run", "locked")
    pause = str(project.folder / "on")
    second = project.start("run", "locked", pause=["reserve", 1, pause])
    project.until(lambda: (project.folder / "on.here").exists())
    process.kill()
    finished(process)
    (project.folder / "go").touch()
    (project.folder / "on").touch()
    assert finished(second) == 0


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_killed_before_every_statement(first: bool, tmp_path: Path) -> None:
    """Inside the transactions too, and while the store is made: there is no step at which it goes wrong."""
    for nth in range(1, 200):
        project = Project(tmp_path / str(nth))
        if not first:
            assert project.oneoff("run", "noop", "--run-id", "r0").returncode == 0
        ended = project.oneoff("run", "noop", "--run-id", "r1", kill_at_statement=nth)
        before = project.executions()
        again = project.oneoff("run", "noop", "--run-id", "r1")
        assert again.returncode in {0, 3, 7}
        assert project.executions() <= 2 - first
        assert all(run.status in FINAL for run in project.runs())
        events = project.events("r1")
        assert ("starting" in events) == any(run.id == "r1" and run.started_at for run in project.runs())
        if again.returncode == 3:
            assert project.executions() == before == 1 - first
        if ended.returncode == 0:
            assert nth > 15
            return
        assert ended.returncode == KILLED
    raise AssertionError("a run takes fewer statements")


@pytest.mark.slow
def test_killed_at_any_time(project: Project) -> None:
    """Many processes at once, with a lock and without: every start has one end, and one id runs once."""
    chance = random.Random(20260301)
    for number in range(40):
        task = chance.choice(["noop", "locked", "slow"])
        (project.folder / "go").touch()
        processes = [
            project.start("run", task, "--run-id", f"r{number}", kill_within=chance.uniform(0.05, 0.6))
            for _ in range(3)
        ]
        all_finished(processes)
        before = project.executions()
        assert before <= number + 1
        runs = {run.id: run for run in project.runs()}
        assert all(run.status in FINAL for run in runs.values())
        if (known := runs.get(f"r{number}")) is not None:  # type: ignore[call-overload]  # a plain str
            assert project.oneoff("run", task, "--run-id", known.id).returncode in {0, 3, 7}
        assert project.executions() == before
    for run in project.runs():
        assert project.events(run.id).count("starting") <= 1
        assert project.events(run.id).count("outcome") <= 1
