"""Several processes at once."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time

from oneoff.runs.status import Status
from tests.acceptance.faults.project import Project, all_finished, finished


def test_one_lock_one_run(project: Project) -> None:
    """The other is refused, and told who holds the lock."""
    first = project.started("run", "locked", "--run-id", "r1")
    second = project.oneoff("run", "locked", "--run-id", "r2")
    assert second.returncode == 3
    assert 'the lock "door" is held by run r1' in second.stderr
    (project.folder / "go").touch()
    assert (finished(first), project.executions()) == (0, 1)
    assert project.events("r2") == ["requested", "refused"]


def test_at_the_same_moment(project: Project) -> None:
    """Both are let go just before their claims: exactly one runs."""
    gates = [project.folder / name for name in ("a", "b", "c")]
    processes = [project.start("run", "locked", pause=["save", 1, str(gate)]) for gate in gates]
    for gate in gates:
        project.until(gate.with_suffix(".here").exists)
    for gate in gates:
        gate.touch()
    project.until(lambda: sum(process.poll() == 3 for process in processes) == 2)
    (project.folder / "go").touch()
    assert all_finished(processes) == [0, 3, 3]
    assert project.executions() == 1


def test_ten_at_once_without_a_lock(project: Project) -> None:
    """All of them run, and the log has all of it."""
    assert all_finished([project.start("run", "noop") for _ in range(10)]) == [0] * 10
    assert project.executions() == 10
    runs = project.runs()
    assert len(runs) == 10
    assert {tuple(project.events(run.id)) for run in runs} == {("requested", "starting", "outcome")}


def test_one_id_five_processes(project: Project) -> None:
    """The task's body runs once; the others say so."""
    codes = all_finished([project.start("run", "slow", "--run-id", "r1") for _ in range(5)])
    assert codes.count(0) >= 1
    assert set(codes) <= {0, 3}
    assert project.executions() == 1
    assert project.the_run().status is Status.SUCCEEDED


def test_a_launched_run_is_taken_once(project: Project) -> None:
    """Four processes take up the same launched run: one executes it, and keeps its room."""
    launch = project.folder / "launch"
    launcher = project.start("run", "locked", "--detach", "--run-id", "r1", pause=["save", 2, str(launch)])
    project.until(launch.with_suffix(".here").exists)
    project.until((project.folder / "started").exists)
    others = [project.start("run", "locked", "--run-id", "r1") for _ in range(3)]
    assert all_finished(others) == [3, 3, 3]
    room = project.folder / ".oneoff/store.d/outcomes/r1"
    assert room.exists()
    launch.touch()
    (project.folder / "go").touch()
    assert finished(launcher) == 0
    assert project.oneoff("wait", "r1").returncode == 0
    assert project.executions() == 1
    assert not room.exists()


def test_a_frozen_run_is_not_lost(project: Project) -> None:
    """A stopped process is alive, however long it has not beaten."""
    process = project.started("run", "locked")
    process.send_signal(signal.SIGSTOP)
    assert project.the_run().status is Status.RUNNING
    assert project.oneoff("run", "locked").returncode == 3
    process.send_signal(signal.SIGCONT)
    (project.folder / "go").touch()
    assert finished(process) == 0


def test_a_detached_run_survives_its_launcher_and_its_terminal(project: Project) -> None:
    """SIGKILL to the launcher's whole session, and the terminal closed."""
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        [
            *("setsid", "--ctty", "--wait", "sh", "-c", '"$@"; touch launched; sleep 60', "sh"),
            *project.command("run", "locked", "--detach"),
        ],
        cwd=project.folder,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    project.until((project.folder / "launched").exists)
    project.until((project.folder / "started").exists)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(shell.pid)], capture_output=True, text=True, check=True
    )
    for pid in [*map(int, children.stdout.split()), shell.pid]:
        os.kill(pid, 9)
    shell.wait()
    os.close(master)
    assert project.the_run().status is Status.RUNNING
    (project.folder / "go").touch()
    assert project.oneoff("wait", "@latest").returncode == 0
    assert project.the_run().status is Status.SUCCEEDED


def test_a_clock_that_jumps(project: Project) -> None:
    """Hours forwards and backwards between beats: a run alive here is not lost, and its duration is right."""
    process = project.started("run", "locked", jump=36_000, beat=0.05)
    time.sleep(0.3)
    assert project.the_run().status is Status.RUNNING
    assert project.oneoff("runs", jump=36_000).returncode == 0
    assert project.the_run().status is Status.RUNNING
    (project.folder / "go").touch()
    assert finished(process) == 0
    run = project.the_run()
    assert run.outcome is not None
    assert run.status is Status.SUCCEEDED
    assert 200 < (run.outcome.duration_ms or 0) < 20_000
    assert project.events(run.id) == ["requested", "starting", "outcome"]
