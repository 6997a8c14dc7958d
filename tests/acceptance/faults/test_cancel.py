"""Cancelled from another process, at any moment of the run."""

from __future__ import annotations

import signal
import time

import pytest

from oneoff.runs.status import Status
from tests.acceptance.faults.project import QUICK, Project, finished


def test_it_is_seen_within_seconds(project: Project) -> None:
    """With the product's own times: one beat, and the task looks."""
    process = project.started("run", "listens")
    began = time.monotonic()
    assert project.oneoff("cancel", "@latest").returncode == 0
    assert finished(process) == 5
    assert time.monotonic() - began < 5
    run = project.the_run()
    assert run.status is Status.CANCELLED
    assert project.events(run.id) == ["requested", "starting", "cancelled", "outcome"]


def test_force_does_not_wait_for_a_safe_point(project: Project) -> None:
    """The task never looks; a first cancel changes nothing, a second one with --force ends it."""
    process = project.started("run", "forever", "--how", "sleep", **QUICK)
    assert project.oneoff("cancel", "@latest").returncode == 0
    time.sleep(0.4)
    assert process.poll() is None
    assert project.oneoff("cancel", "@latest", "--force").returncode == 0
    assert finished(process) == 5
    assert project.the_run().status is Status.CANCELLED


def test_a_command_is_cancelled(project: Project) -> None:
    """It gets SIGTERM."""
    process = project.started("run", "polite", **QUICK)
    assert project.oneoff("cancel", "@latest").returncode == 0
    assert finished(process) == 5
    assert project.text("inner") == "heard\n"


def test_a_signal_comes_before_the_beat(project: Project) -> None:
    """As where a Job is deleted once its run was cancelled: the run knows of the signal alone."""
    process = project.started("run", "listens", beat=60)
    assert project.oneoff("cancel", "@latest").returncode == 0
    process.send_signal(signal.SIGTERM)
    assert finished(process) == 5
    run = project.the_run()
    assert (run.status, run.outcome and run.outcome.error) == (Status.CANCELLED, "interrupted by a signal")


def test_twice(project: Project) -> None:
    """A second cancel is no error while the run goes on, and is refused once it has ended."""
    process = project.started("run", "deaf")
    assert project.oneoff("cancel", "@latest").returncode == 0
    assert project.oneoff("cancel", "@latest").returncode == 0
    (project.folder / "go").touch()
    assert finished(process) == 0
    refused = project.oneoff("cancel", "@latest")
    assert (refused.returncode, "has ended already: succeeded" in refused.stderr) == (3, True)


def test_a_detached_run(project: Project) -> None:
    """It is as near as any other."""
    assert project.oneoff("run", "listens", "--detach").returncode == 0
    project.until((project.folder / "started").exists)
    assert project.oneoff("cancel", "@latest").returncode == 0
    assert project.oneoff("wait", "@latest").returncode == 5


@pytest.mark.parametrize("gate", [["reserve", 1], ["save", 1]], ids=["requested", "claiming"])
def test_before_it_has_started(gate: list[object], project: Project) -> None:
    """Nothing runs, and no room stays behind."""
    on = project.folder / "on"
    process = project.start("run", "noop", pause=[*gate, str(on)])
    project.until(on.with_suffix(".here").exists)
    assert project.oneoff("cancel", "@latest").returncode == 0
    on.touch()
    assert finished(process) == 5
    assert project.executions() == 0
    assert project.events(project.the_run().id) == ["requested", "cancelled"]
    assert list((project.folder / ".oneoff/store.d/outcomes").iterdir()) == []


def test_a_launched_run_whose_process_has_not_reported(project: Project) -> None:
    """Its process finds it cancelled, and runs nothing."""
    on = project.folder / "on"
    launcher = project.start("run", "noop", "--detach", "--run-id", "r1", pause=["save", 2, str(on)])
    project.until(on.with_suffix(".here").exists)
    project.until(lambda: project.the_run().status is Status.SUCCEEDED)
    on.touch()
    assert finished(launcher) == 0
    assert project.executions() == 1
