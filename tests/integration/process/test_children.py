"""What is done around a task for the sake of its children leaves no trace in this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from oneoff.execution.children import UNWATCHED, Children
from oneoff.execution.stopping import Stop
from tests.integration.process.helpers import open_descriptors


def children(warnings: list[str]) -> Children:
    return Children("r1", Stop(), warn=warnings.append)


def test_variables_descriptors_and_signals_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there was a variable of that name, and where the task has changed it."""
    monkeypatch.setenv("ONEOFF_RUN_ID", "outer")
    monkeypatch.delenv("ONEOFF_MARK", raising=False)
    before = (dict(os.environ), open_descriptors(), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    warnings: list[str] = []
    with pytest.raises(KeyError), children(warnings).watched():
        subprocess.run(["true"], check=True)
        assert os.environ["ONEOFF_RUN_ID"] == "r1"
        assert len(os.environ["ONEOFF_MARK"]) == 32
        os.environ["ONEOFF_RUN_ID"] = "of the task"
        del os.environ["ONEOFF_MARK"]
        raise KeyError
    after = (dict(os.environ), open_descriptors(), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    assert after == before
    assert warnings == []


@pytest.mark.parametrize("started", [False, True])
def test_a_task_that_has_closed_our_descriptors(started: bool) -> None:
    """Files of its own may have their numbers by now: nothing is written to them, and none is closed."""
    before = {int(fd) for fd in open_descriptors()}
    with children([]).watched():
        if started:
            subprocess.run(["true"], check=True)
        taken = {int(fd) for fd in open_descriptors()} - before
        files = []
        for fd in taken:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(fd)
        for _ in taken:
            files.append(os.memfd_create("precious"))
        assert taken & set(files)
        subprocess.run(["true"], check=True)
    assert [os.fstat(fd).st_size for fd in files] == [0] * len(files)
    for fd in files:
        os.close(fd)


@pytest.mark.parametrize("python", ["", "/no/such/python", "/bin/false"])
def test_without_a_watcher_the_task_runs(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said what that means."""
    monkeypatch.setattr(sys, "executable", python)
    warnings: list[str] = []
    with children(warnings).watched():
        assert warnings == []
        subprocess.run(["true"], check=True)
        subprocess.run(["true"], check=True)
    (words,) = warnings
    assert words.startswith(UNWATCHED)
