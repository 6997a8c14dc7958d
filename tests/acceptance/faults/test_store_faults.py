"""The store breaks before, at the start of, or during a run: nothing runs unrecorded, no outcome is lost."""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import sqlite3
import subprocess
from collections.abc import Callable

import pytest

from oneoff.runs.status import Status
from tests.acceptance.faults.project import QUICK, Project, all_finished, finished

RECORDED_ONCE = ["requested", "starting", "outcome"]
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def obey_permissions() -> None:
    """Root writes where permissions say no; without this capability it does not (capabilities(7))."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


def oneoff(project: Project, *arguments: str, under: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    """Run the command under a restriction."""
    return subprocess.run(
        project.command(*arguments),
        cwd=project.folder,
        preexec_fn=under,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("existing", [False, True], ids=["no store yet", "a store"])
def test_a_read_only_folder(existing: bool, project: Project) -> None:
    """Nothing runs, and the words name the file."""
    if existing:
        assert project.oneoff("run", "noop").returncode == 0
        (project.folder / ".oneoff" / "store.db").chmod(0o444)
        (project.folder / ".oneoff").chmod(0o555)
    project.folder.chmod(0o555)
    try:
        ended = oneoff(project, "run", "noop", under=obey_permissions)
    finally:
        for path in (project.folder, project.folder / ".oneoff"):
            if path.exists():
                path.chmod(0o755)
    assert (ended.returncode, project.executions()) == (3, int(existing))
    assert ".oneoff" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["logs", "outcomes"])
def test_a_read_only_folder_beside_the_store(name: str, project: Project) -> None:
    """Where neither log nor outcome would have room, nothing runs, and the record says refused."""
    assert project.oneoff("run", "noop").returncode == 0
    folder = project.folder / ".oneoff" / "store.d" / name
    folder.mkdir(exist_ok=True)
    folder.chmod(0o555)
    ended = oneoff(project, "run", "noop", under=obey_permissions)
    folder.chmod(0o755)
    assert (ended.returncode, project.executions()) == (3, 1), ended.stderr
    newest = project.runs()[0]
    assert newest.status is Status.REFUSED
    assert newest.outcome is not None
    assert name in (newest.outcome.error or "")


def test_a_newer_store(project: Project) -> None:
    """Exit code 3, and which way out."""
    assert project.oneoff("run", "noop").returncode == 0
    with sqlite3.connect(project.folder / ".oneoff" / "store.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    ended = project.oneoff("run", "noop")
    assert (ended.returncode, project.executions()) == (3, 1)
    assert "newer oneoff" in ended.stderr


def test_a_store_that_is_locked_for_a_while(project: Project) -> None:
    """The run waits for it, before and after the task."""
    assert project.oneoff("run", "noop").returncode == 0
    connection = sqlite3.connect(project.folder / ".oneoff" / "store.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    process = project.start("run", "slow", **QUICK)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    connection.execute("COMMIT")
    project.until((project.folder / "started").exists)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.8)
    connection.execute("COMMIT")
    connection.close()
    assert finished(process) == 0
    assert project.runs()[0].status is Status.SUCCEEDED


def test_a_locked_store_holds_up_no_time_limit(project: Project) -> None:
    """The heartbeat waits for the lock; the task ends in time, and its record waits."""
    process = project.started("run", "forever-timed", "--how", "sleep", **QUICK)
    connection = sqlite3.connect(project.folder / ".oneoff" / "store.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    connection.execute("COMMIT")
    connection.close()
    assert finished(process) == 6
    outcome = project.the_run().outcome
    assert outcome is not None
    assert (outcome.duration_ms or 0) < 3000


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_the_store_goes_away_during_the_run(how: str, project: Project) -> None:
    """The outcome is printed in full, exit code 7; once the store is back, the next command records it."""
    ended = project.oneoff("run", "store-breaks", "--how", how, "--run-id", "r1")
    assert ended.returncode == 7, ended.stderr
    document = json.loads(ended.stdout.partition("ONEOFF-OUTCOME ")[2])
    assert (document["id"], document["status"]) == ("r1", "succeeded")
    if how == "removed":
        (project.folder / "aside.db").rename(project.folder / ".oneoff" / "store.db")
    all_at_once(project, how)


def all_at_once(project: Project, how: str) -> None:
    """Three commands recover one outcome together: it is recorded exactly once."""
    assert all_finished([project.start("runs") for _ in range(3)]) == [0, 0, 0]
    assert project.the_run().status is Status.SUCCEEDED
    assert project.events("r1") == RECORDED_ONCE
    assert project.oneoff("run", "store-breaks", "--how", how, "--run-id", "r1").returncode == 0
    assert project.executions() == 1


def test_the_store_is_damaged_during_the_run(project: Project) -> None:
    """SQLite may not notice at once; the next command does, and runs nothing."""
    ended = project.oneoff("run", "store-breaks", "--how", "corrupted", "--run-id", "r1")
    assert ended.returncode in {0, 7}, ended.stderr
    assert "succeeded" in (ended.stderr if ended.returncode == 0 else ended.stdout)
    again = project.oneoff("run", "noop")
    assert (again.returncode, project.executions()) == (3, 1)


def on_small_disk(project: Project, *script: str) -> list[str]:
    """Run shell lines with ``.oneoff`` on a disk of 1 MiB of its own; the exit codes, and the last JSON."""
    state = project.folder / ".oneoff"
    state.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    lines = [f"mount -t tmpfs -o size=1m none {shlex.quote(str(state))}", *script]
    ended = subprocess.run(
        [*unshare, "sh", "-c", "\n".join(lines)],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "mount:" not in ended.stderr, ended.stderr
    assert "unshare:" not in ended.stderr, ended.stderr
    (project.folder / "err").write_text(ended.stderr)
    return ended.stdout.splitlines()


def shell(project: Project, *arguments: str, **spec: object) -> str:
    return shlex.join(project.command(*arguments, **spec))


@pytest.mark.parametrize("step", ["create", "reserve", "save"])
def test_a_disk_that_is_full_before_the_task(step: str, project: Project) -> None:
    """At the request, for the outcome's room, at the claim: nothing runs, exit code 3."""
    spec = {"fill": [step, 1, str(project.folder / ".oneoff" / "ballast")]}
    lines = on_small_disk(
        project,
        f"{shell(project, 'run', 'noop', '--run-id', 'r0')} 2>&1; echo code $?",
        f"{shell(project, 'run', 'noop', '--run-id', 'r1', **spec)} 2>&1; echo code $?",
        "rm .oneoff/ballast",
        f"{shell(project, 'runs', '-o', 'json')} | tr -d '\\n'; echo",
        f"{shell(project, 'audit', 'verify')} > /dev/null; echo code $?",
    )
    codes = [line for line in lines if line.startswith("code")]
    assert (codes, project.executions()) == (["code 0", "code 3", "code 0"], 1), lines
    runs = json.loads(next(line for line in lines if line.startswith("[")))
    assert all(run["status"] == "refused" for run in runs if run["id"] == "r1")


def test_a_disk_that_fills_up_during_the_task(project: Project) -> None:
    """The outcome goes to the room set aside; the next command that finds space records it, once."""
    lines = on_small_disk(
        project,
        f"{shell(project, 'run', 'store-breaks', '--how', 'full', '--run-id', 'r1')}; echo code $?",
        "rm .oneoff/ballast",
        f"{shell(project, 'runs')} > /dev/null & {shell(project, 'runs')} > /dev/null; wait",
        f"{shell(project, 'runs', '-o', 'json')} | tr -d '\\n'; echo",
        f"{shell(project, 'audit', 'log', '-o', 'json')} | grep -c run.outcome",
        f"{shell(project, 'audit', 'verify')} > /dev/null; echo code $?",
    )
    assert "code 7" in lines, (lines, project.text("err"))
    assert any(line.startswith("ONEOFF-OUTCOME") for line in lines)
    (run,) = json.loads(next(line for line in lines if line.startswith("[")))
    assert run["status"] == "succeeded"
    assert lines[-2:] == ["1", "code 0"]


def test_an_outcome_that_cannot_be_read_stops_nothing(project: Project) -> None:
    """A newer oneoff may have written it: it is left alone, and said."""
    from oneoff.stores.spool import FileSpool
    from oneoff.types import RunId

    assert project.oneoff("run", "noop").returncode == 0
    spool = FileSpool(project.folder / ".oneoff" / "store.d")
    spool.reserve(RunId("r9"))
    spool.write(RunId("r9"), b'{"strange": 1}')
    ended = project.oneoff("runs")
    assert (ended.returncode, "cannot be read" in ended.stderr) == (0, True)
