"""What a Python task starts ends with a run that is killed or ended by force, and with no other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from oneoff.runs.status import Status
from tests.acceptance.faults.project import HERE, QUICK, Project, finished
from tests.integration.process.helpers import kill_quietly, runs

STARTED = {
    "popen": 1,
    "grandchild": 2,
    "daemon": 1,
    "system": 1,
    "fork": 1,
    "fork_of_a_fork": 2,
    "fork_that_executes": 1,
    "multiprocessing_fork": 1,
    "multiprocessing_spawn": 1,
    "multiprocessing_forkserver": 1,
    "pool": 2,
    "idle_pool": 2,
}
"""How many processes say that they are there."""
FORCED = ["grandchild", "fork", "multiprocessing_spawn", "pool", "idle_pool"]


class Kin:
    """A project whose tasks start processes."""

    def __init__(self, project: Project) -> None:
        self.project = project
        shutil.copy(HERE / "kin.py", project.folder)

    def start(self, *arguments: str, **spec: object) -> subprocess.Popen[str]:
        return self.project.start("--app", "kin:app", "run", *arguments, **spec)

    def pids(self) -> list[int]:
        return [int(line) for line in self.project.text("pids").splitlines()]

    def children(self, count: int) -> list[int]:
        """All processes that the tasks started, once they are there."""
        self.project.until(lambda: len(self.pids()) == count)
        return self.pids()

    def are_gone(self, pids: list[int]) -> None:
        self.project.until(lambda: not any(map(runs, pids)))

    def end(self) -> None:
        (self.project.folder / "go").touch()

    def watcher_is_gone(self, pid: int) -> None:
        """Whatever it had to do for the run in this process is done."""
        self.project.until(lambda: not watchers(pid))


def watchers(pid: int) -> list[int]:
    """The watchers of the run in this process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if any(b"import watcher" in word for word in words) and str(pid).encode() in words:
                found.append(int(path.parent.name))
    return found


@pytest.fixture
def kin(project: Project) -> Iterator[Kin]:
    kin = Kin(project)
    yield kin
    for pid in kin.pids():
        kill_quietly(pid)


@pytest.mark.parametrize("how", STARTED)
def test_killed(how: str, kin: Kin) -> None:
    """SIGKILL: nothing lives on, in whatever way it was started."""
    process = kin.start("starts", "--how", how)
    pids = kin.children(STARTED[how])
    process.kill()
    finished(process)
    kin.are_gone(pids)
    kin.watcher_is_gone(process.pid)
    assert kin.project.the_run().status is Status.LOST


@pytest.mark.parametrize("how", ["grandchild", "fork"])
def test_killed_without_pidfd(how: str, kin: Kin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old kernel: the process is looked for by its number and start time."""
    monkeypatch.setenv("KIN_WITHOUT_PIDFD", "1")
    test_killed(how, kin)


def test_killed_after_it_has_closed_all_descriptors(kin: Kin) -> None:
    """The end of the pipe is not the end of the run."""
    process = kin.start("starts", "--then", "close_all")
    pids = kin.children(1)
    kin.project.until(lambda: len(list(Path(f"/proc/{process.pid}/fd").iterdir())) == 3)
    assert all(map(runs, pids))
    process.kill()
    finished(process)
    kin.are_gone(pids)


def test_killed_after_everybody_was_asked_to_end(kin: Kin) -> None:
    """A service that is stopped gets SIGTERM in all of its processes; its watcher stays."""
    process = kin.start("starts", "--how", "fork")
    pids = kin.children(1)
    (watcher,) = watchers(process.pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(watcher, number)
    process.kill()
    finished(process)
    kin.are_gone(pids)


@pytest.mark.parametrize("how", FORCED)
def test_a_second_signal(how: str, kin: Kin) -> None:
    """When the process has ended, nothing of the run is there."""
    process = kin.start("starts", "--how", how, **QUICK)
    pids = kin.children(STARTED[how])
    process.send_signal(signal.SIGINT)
    kin.project.until(lambda: "Ctrl-C once more" in kin.project.text("err"))
    process.send_signal(signal.SIGINT)
    assert finished(process) == 75
    assert not any(map(runs, pids))


@pytest.mark.parametrize("how", ["grandchild", "multiprocessing_fork"])
def test_a_detached_run_is_cancelled_by_force(how: str, kin: Kin) -> None:
    """With the product's own times; the record says so only when nothing is left."""
    assert finished(kin.start("starts", "--how", how, "--detach")) == 0
    pids = kin.children(STARTED[how])
    assert kin.project.oneoff("cancel", "@latest", "--force").returncode == 0
    assert kin.project.oneoff("wait", "@latest").returncode == 5
    assert not any(map(runs, pids))


@pytest.mark.parametrize("then", ["sleep", "resist"])
@pytest.mark.parametrize("how", ["grandchild", "fork"])
def test_a_time_limit(how: str, then: str, kin: Kin) -> None:
    """Also where only leaving the process helps."""
    process = kin.start("starts-timed", "--how", how, "--then", then, **(QUICK | {"timeout_grace": 3}))
    pids = kin.children(STARTED[how])
    assert finished(process) == 6
    assert not any(map(runs, pids))


def test_a_task_that_exits_under_oneoff(kin: Kin) -> None:
    """The run is lost, and so is what it has started."""
    process = kin.start("starts", "--how", "grandchild", "--then", "exit")
    pids = kin.children(2)
    kin.end()
    assert finished(process) == 0
    kin.are_gone(pids)
    assert kin.project.the_run().status is Status.LOST


@pytest.mark.parametrize(("then", "code"), [("end", 0), ("fail", 1)])
@pytest.mark.parametrize("how", ["daemon", "fork"])
def test_a_task_that_ends_by_itself(how: str, then: str, code: int, kin: Kin) -> None:
    """A daemon may be what it was for."""
    process = kin.start("starts", "--how", how, "--then", then)
    pids = kin.children(1)
    kin.end()
    assert finished(process) == code
    kin.watcher_is_gone(process.pid)
    assert all(map(runs, pids))


def test_a_detached_run_that_a_task_has_started(kin: Kin) -> None:
    """It is a run of its own: it goes on, and what it starts ends with it."""
    process = kin.start("calls", "--arguments", "run starts --how fork --detach --run-id inner")
    pids = kin.children(1)
    kin.project.until(lambda: len(watchers(process.pid)) == 1)
    process.kill()
    finished(process)
    kin.watcher_is_gone(process.pid)
    assert all(map(runs, pids))
    assert kin.project.oneoff("cancel", "inner", "--force").returncode == 0
    assert kin.project.oneoff("wait", "inner").returncode == 5
    assert not any(map(runs, pids))


def test_a_run_in_the_foreground_that_a_task_has_started(kin: Kin) -> None:
    """It belongs to the task, and what it has started belongs to it."""
    process = kin.start("calls", "--arguments", "run starts --how grandchild")
    pids = kin.children(2)
    process.kill()
    finished(process)
    kin.are_gone(pids)
    assert {run.status for run in kin.project.runs()} == {Status.LOST}


def test_a_command_in_the_foreground_that_a_task_has_started(kin: Kin) -> None:
    """The same, by way of its guardian."""
    (kin.project.folder / "lingers.sh").write_text("env -i sleep 600 & echo $! >> pids; wait")
    process = kin.start("calls", "--arguments", "exec -- sh lingers.sh")
    pids = kin.children(1)
    process.kill()
    finished(process)
    kin.are_gone(pids)


def test_a_run_of_the_same_id_elsewhere_is_a_stranger(kin: Kin) -> None:
    """Ids are of one store; another one may have the same."""
    process = kin.start("starts", "--run-id", "nightly")
    pids = kin.children(1)
    environ = {**os.environ, "ONEOFF_RUN_ID": "nightly", "ONEOFF_MARK": "0" * 32}
    with subprocess.Popen(["sleep", "600"], env=environ) as stranger:
        process.kill()
        finished(process)
        kin.are_gone(pids)
        kin.watcher_is_gone(process.pid)
        assert stranger.poll() is None
        stranger.kill()


def test_a_task_that_waits_for_all_its_children(kin: Kin) -> None:
    """There is none that it has not started."""
    assert finished(kin.start("waits-for-all")) == 0


def test_a_task_knows_its_run(kin: Kin) -> None:
    """As a command does."""
    assert finished(kin.start("says", "--run-id", "r1")) == 0
    assert "the id is r1\n" in kin.project.text("out")
