"""A time limit holds, whatever the task does."""

from __future__ import annotations

import pytest

from oneoff.runs.status import Status
from tests.acceptance.faults.project import QUICK, Project

HOWS = ["loop", "sleep", "sql", "swallowing_errors", "swallowing_all", "async", "with_own_handler"]


def check(project: Project, task: str, *arguments: str, code: int = 6) -> None:
    ended = project.oneoff("run", task, *arguments, **QUICK)
    assert ended.returncode == code, ended.stderr
    run = project.the_run()
    assert run.outcome is not None
    assert (run.status, run.outcome.error) == (Status.TIMED_OUT, "reached its time limit")
    assert project.events(run.id) == ["requested", "starting", "outcome"]


@pytest.mark.parametrize("how", HOWS)
def test_a_function_that_never_ends(how: str, project: Project) -> None:
    """Exit code 6, and the record says so; also where only leaving the process helps."""
    check(project, "forever-timed", "--how", how)


def test_a_task_that_looks(project: Project) -> None:
    """It ends at its safe point, and has not succeeded."""
    check(project, "looks")


def test_a_coroutine_is_cancelled_with_its_cleaning_up(project: Project) -> None:
    """Its `finally` runs."""
    check(project, "forever-coroutine")
    assert project.executions("cleaned") == 1


def test_a_command_that_ignores_sigterm(project: Project) -> None:
    """It is killed after the grace, and nothing of it runs on."""
    check(project, "stubborn")


@pytest.mark.slow
def test_a_task_that_closes_all_descriptors(project: Project) -> None:
    """As a daemon does: the store's are gone too, and the next command records the outcome."""
    check(project, "forever-timed", "--how", "without_the_pipe", code=7)
