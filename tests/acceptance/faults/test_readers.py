"""Reading needs no write: a full disk, and a user who may only read, see all that was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.faults.project import Project
from tests.acceptance.faults.test_store_faults import obey_permissions, on_small_disk, oneoff, shell

READERS = (
    ("runs",),
    ("runs", "--status", "succeeded"),
    ("show", "r0"),
    ("logs", "r0"),
    ("wait", "r0"),
    ("audit", "log"),
    ("audit", "log", "--run", "r0"),
    ("audit", "verify"),
    ("audit", "checkpoint"),
    ("release",),
)
WITHOUT_LOOKING = (("release",), ("audit", "checkpoint"))
"""What is no verb on runs looks for none whose process is gone."""
NOTE = "shown as it is"


def reader(project: Project, *arguments: str) -> tuple[int, str, str]:
    """Run a command as a user who may write nothing below ``.oneoff``."""
    state = project.folder / ".oneoff"
    everything = [state, *state.rglob("*")]
    modes = {path: path.stat().st_mode for path in everything}
    for path in everything:
        path.chmod(0o550 if path.is_dir() else 0o440)
    try:
        ended = oneoff(project, *arguments, under=obey_permissions)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert [state, *state.rglob("*")] == everything, "a reader leaves nothing behind"
    return ended.returncode, ended.stdout, ended.stderr


def killed(project: Project) -> None:
    """A run whose process is gone, and nobody has looked since."""
    assert project.oneoff("run", "noop", "--run-id", "r1", kill=["_work", 1, "before"]).returncode == -9


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_user_who_may_only_read(arguments: tuple[str, ...], project: Project) -> None:
    """The same as its owner sees, and it is said that nothing can be brought up to date."""
    assert project.oneoff("run", "noop", "--run-id", "r0").returncode == 0
    code, out, err = reader(project, *arguments)
    assert (code, out) == (0, project.oneoff(*arguments).stdout)
    assert err.count(NOTE) == (arguments not in WITHOUT_LOOKING)
    assert "Traceback" not in err


def test_a_user_who_may_only_read_exports(project: Project) -> None:
    """All of the log, and it is said that the log does not know of it."""
    assert project.oneoff("run", "noop", "--run-id", "r0").returncode == 0
    code, out, err = reader(project, "audit", "export")
    assert (code, [json.loads(line)["seq"] for line in out.splitlines()]) == (0, [0, 1, 2])
    assert "does not say that it was exported" in err


def test_a_user_who_may_only_read_runs_nothing(project: Project) -> None:
    """What records something is refused."""
    assert project.oneoff("run", "noop", "--run-id", "r0").returncode == 0
    killed(project)
    for arguments in (("run", "noop"), ("cancel", "r1"), ("rerun", "r0"), ("exec", "--", "true")):
        code, _, err = reader(project, *arguments)
        assert (code, "cannot be opened for writing" in err) == (3, True), arguments
    assert project.executions() == 1


def test_a_killed_run_seen_by_a_reader(project: Project) -> None:
    """It is never shown as running, and nobody waits for it for ever; once somebody may write, it is told."""
    killed(project)
    code, out, err = reader(project, "runs", "-o", "json")
    assert (code, [run["status"] for run in json.loads(out)]) == (0, ["lost"])
    assert err.count(NOTE) == 1
    code, out, _ = reader(project, "wait", "@latest")
    assert (code, "its process is gone" in out) == (7, True)
    assert json.loads(reader(project, "show", "r1", "-o", "json")[1])["status"] == "lost"
    assert json.loads(reader(project, "runs", "--status", "running", "-o", "json")[1]) == []
    (lost,) = json.loads(reader(project, "runs", "--status", "lost", "--limit", "1", "-o", "json")[1])
    assert lost["id"] == "r1"
    assert reader(project, "logs", "-f", "r1")[0] == 0
    assert reader(project, "audit", "verify")[0] == 0
    assert project.events("r1") == ["requested", "starting", "outcome"]


def test_a_log_that_may_not_be_read(project: Project) -> None:
    """The words name the file."""
    assert project.oneoff("run", "noop", "--run-id", "r0").returncode == 0
    log: Path = project.folder / ".oneoff" / "store.d" / "logs" / "r0.log"
    log.chmod(0o000)
    ended = oneoff(project, "logs", "r0", under=obey_permissions_and_searches)
    assert (ended.returncode, "r0.log cannot be read" in ended.stderr) == (3, True), ended.stderr


def obey_permissions_and_searches() -> None:
    """Without CAP_DAC_READ_SEARCH too: what may not be read is not read."""
    import ctypes
    import os

    obey_permissions()
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 2, 0, 0, 0)


def test_doctor_of_a_reader(project: Project) -> None:
    """The store is the one bad finding, and its words are there once."""
    assert project.oneoff("run", "noop").returncode == 0
    code, out, err = reader(project, "doctor", "-o", "json")
    bad = [finding["name"] for finding in json.loads(out) if not finding["ok"]]
    assert (code, bad, err) == (1, ["store"], "")


def test_a_full_disk(project: Project) -> None:
    """Everything can be read, an outcome that waits to be recorded is shown, and nothing runs."""
    lines = on_small_disk(
        project,
        shell(project, "run", "noop", "--run-id", "r0"),
        f"{shell(project, 'run', 'store-breaks', '--how', 'full', '--run-id', 'r1')}; echo code $?",
        *(f"{shell(project, *arguments)} > /dev/null; echo {arguments[0]} $?" for arguments in READERS),
        f"{shell(project, 'wait', 'r1')}; echo waited $?",
        f"{shell(project, 'run', 'noop')}; echo refused $?",
        "rm .oneoff/ballast",
        f"{shell(project, 'runs')} > /dev/null; {shell(project, 'audit', 'verify')}; echo verified $?",
    )
    assert "code 7" in lines, lines
    for arguments in READERS:
        assert f"{arguments[0]} 0" in lines, (lines, project.text("err"))
    assert not [line for line in lines if line.endswith(" 3") and line != "refused 3"]
    assert {"waited 0", "refused 3", "verified 0"} <= set(lines)
    assert NOTE in project.text("err")
    assert "Traceback" not in project.text("err")


def test_a_full_disk_and_no_process_at_work(project: Project) -> None:
    """There is no room for the index that SQLite reads by, and the records are read without it."""
    lines = on_small_disk(
        project,
        shell(project, "run", "noop", "--run-id", "r0"),
        "cat /dev/zero > .oneoff/ballast 2>/dev/null",
        *(f"{shell(project, *arguments)} > /dev/null; echo code $?" for arguments in READERS),
        f"{shell(project, 'run', 'noop')}; echo refused $?",
    )
    assert lines.count("code 0") == len(READERS), (lines, project.text("err"))
    assert lines[-1] == "refused 3"
