"""Tasks that do what no task should: the run still ends with the truth."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import pytest

from oneoff.runs.status import Status
from tests.acceptance.faults.project import Project

FAILED, SUCCEEDED, LOST = Status.FAILED, Status.SUCCEEDED, Status.LOST
ENDINGS: dict[str, tuple[int, Status, str]] = {
    "raises": (1, FAILED, "ValueError: no such flight"),
    "exit_0": (0, SUCCEEDED, ""),
    "exit_3": (1, FAILED, "exited with code 3"),
    "exit_text": (1, FAILED, "no luck"),
    "unspeakable": (1, FAILED, "admin.Unspeakable"),
    "misleading": (1, FAILED, "admin.Misleading: odd"),
    "group": (1, FAILED, "ExceptionGroup: several"),
    "recursion": (1, FAILED, "RecursionError"),
    "memory": (1, FAILED, "MemoryError"),
    "keyboard": (75, Status.INTERRUPTED, "KeyboardInterrupt"),
    "generator_exit": (1, FAILED, "GeneratorExit"),
    "stop_iteration": (1, FAILED, "StopIteration"),
    "huge_message": (1, FAILED, "RuntimeError: xxx"),
    "fork": (0, SUCCEEDED, ""),
    "fork_raising": (0, SUCCEEDED, ""),
    "fork_terminated": (0, SUCCEEDED, ""),
    "child_in_a_pool": (0, SUCCEEDED, ""),
    "daemon_thread": (0, SUCCEEDED, ""),
    "background_child": (0, SUCCEEDED, ""),
    "binary": (0, SUCCEEDED, ""),
    "50_megabytes": (0, SUCCEEDED, ""),
    "close_stdout": (0, SUCCEEDED, ""),
    "close_fds": (0, SUCCEEDED, ""),
    "replace_stdout": (0, SUCCEEDED, ""),
    "raise_after_closing": (1, FAILED, "ValueError: nobody hears me"),
    "chdir": (0, SUCCEEDED, ""),
    "handlers": (0, SUCCEEDED, ""),
    "locale": (0, SUCCEEDED, ""),
    "recursion_limit": (0, SUCCEEDED, ""),
    "file_limit": (7, SUCCEEDED, ""),
    "close_all": (7, SUCCEEDED, ""),
    "own_exit": (0, LOST, "its process is gone"),
    "executes": (9, LOST, "its process is gone"),
    "abort": (-6, LOST, "its process is gone"),
    "segfault": (-11, LOST, "its process is gone"),
}
"""The command's exit code, the status and the beginning of the error that the next command finds."""


SLOW = {"close_all"} | {  # SQLite tries for 10 s with its files closed; the others are variants
    *("exit_0", "exit_text", "memory", "generator_exit", "stop_iteration", "misleading", "chdir"),
    *("recursion_limit", "daemon_thread", "child_in_a_pool", "abort"),
}


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=[pytest.mark.slow] if how in SLOW else []) for how in ENDINGS]
)
def test_the_record_is_true(how: str, project: Project) -> None:
    """One end, in the record and in the audit log, which is whole."""
    code, status, words = ENDINGS[how]
    ended = project.oneoff("run", "bad", "--how", how)
    assert ended.returncode == code, ended.stderr
    run = project.the_run()
    assert run.outcome is not None
    assert run.status is status
    assert words in (run.outcome.error or "")
    assert project.events(run.id) == ["requested", "starting", "outcome"]
    assert "oneoff/execution" not in ended.stderr
    if how == "background_child":
        with suppress(ProcessLookupError):
            os.kill(int(project.text("child")), 9)
    if how == "fork_terminated":
        assert project.text("child") == "15\n"


@pytest.mark.parametrize("how", ["close_stdout", "close_fds", "replace_stdout", "raise_after_closing"])
def test_the_document_is_printed_all_the_same(how: str, project: Project) -> None:
    """What a task does to its streams is over when it ends."""
    document = json.loads(project.oneoff("run", "bad", "--how", how, "-o", "json").stdout)
    assert document["status"] == ENDINGS[how][1]
    assert project.text("precious") == ""


@pytest.mark.parametrize("how", ["raise_after_closing", "close_fds", "handlers", "close_stdout"])
def test_detached_too(how: str, project: Project) -> None:
    """There its streams are the log itself."""
    code, status, _ = ENDINGS[how]
    assert project.oneoff("run", "bad", "--how", how, "--detach").returncode in {0, code}
    assert project.oneoff("wait", "@latest").returncode == code
    assert project.the_run().status is status
    assert project.text("precious") == ""


def test_a_task_that_deletes_the_records(project: Project) -> None:
    """The outcome is printed in full: that is all that can be done."""
    ended = project.oneoff("run", "bad", "--how", "folder_gone")
    assert ended.returncode == 7
    assert '"status": "succeeded"' in ended.stdout.partition("ONEOFF-OUTCOME ")[2]
    assert "keep it" in ended.stderr
    again = project.oneoff("run", "noop")
    assert again.returncode == 3, "nobody takes a new, empty log for the one that was there"
    assert "the audit log was replaced" in again.stderr
    assert project.oneoff("audit", "accept", "--yes", "--reason", "a task deleted it").returncode == 0
    assert project.oneoff("run", "noop").returncode == 0


def test_a_daemon_is_not_the_run(project: Project) -> None:
    """A child of a fork that outlives the run writes nothing into its record."""
    ended = project.oneoff("run", "bad", "--how", "fork")
    assert ended.stderr.count("succeeded") == 1
