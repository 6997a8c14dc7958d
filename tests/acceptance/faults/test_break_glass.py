"""The store cannot be used and a run is needed all the same: allowed, loud, recorded, taken in once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from oneoff.runs.run import BREAK_GLASS
from oneoff.runs.status import Status
from tests.acceptance.faults.project import SETTINGS, Project, some_quickly
from tests.acceptance.faults.test_store_faults import obey_permissions, oneoff

ALLOWED = """
[tool.oneoff.environments.local]
break_glass = true
[tool.oneoff.environments.production]
protected = true
break_glass = true
reason = "OPS-[0-9]+"
[tool.oneoff.environments.strict]
"""
GLASS = ("--break-glass", "--reason", "OPS-1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that allows it; its user's own folder is beside it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    project = Project(tmp_path / "project")
    (project.folder / "oneoff.toml").write_text(SETTINGS + ALLOWED)
    return project


def lose_the_store(project: Project) -> Path:
    """The store's file is something else for a while."""
    store = project.folder / ".oneoff" / "store.db"
    if store.exists():
        store.rename(store.with_suffix(".away"))
    store.mkdir(parents=True)
    return store


def find_it_again(project: Project) -> None:
    store = project.folder / ".oneoff" / "store.db"
    store.rmdir()
    away = store.with_suffix(".away")
    if away.exists():
        away.rename(store)


def records(project: Project) -> list[Path]:
    return sorted(project.folder.parent.rglob("break-glass/*.jsonl"))


def opened(project: Project, run_id: str) -> dict[str, Any]:
    """What the event about it says."""
    listed = project.oneoff("audit", "log", "--run", run_id, "--type", "breakglass.opened", "-o", "json")
    (entry,) = json.loads(listed.stdout)
    data: dict[str, Any] = entry["event"]["data"]
    return data


def test_a_run_without_the_store(project: Project) -> None:
    """Loud; taken in by the next command, once, and open until somebody has reviewed it."""
    assert project.oneoff("run", "noop", "--run-id", "r0").returncode == 0
    lose_the_store(project)
    ended = project.oneoff("run", "noop", *GLASS)
    assert ended.returncode == 0, ended.stderr
    assert project.executions() == 2
    assert ended.stderr.count("!!!") == 6
    assert "checkpoint" not in ended.stderr, "it would be that of no audit log"
    assert "WARNING" not in ended.stderr, "nobody takes it for a log that was replaced"
    (record,) = records(project)
    assert record.parent == project.folder / ".oneoff" / "store.d" / "break-glass"
    assert [
        json.loads(json.loads(line)["entry"])["event"]["type"] for line in record.read_text().splitlines()
    ] == [
        "requested",
        "starting",
        "outcome",
    ]
    held = json.loads(record.read_text().splitlines()[-1])
    assert f"{held['size']}:{held['root']}" in ended.stderr
    assert project.oneoff("runs").returncode == 3
    find_it_again(project)
    listed = project.oneoff("runs")
    assert "which broke the glass: succeeded" in listed.stderr
    assert "noop (break-glass)" in listed.stdout
    assert records(project) == []
    run = project.runs()[0]
    assert (run.launcher, run.status, run.reason) == (BREAK_GLASS, Status.SUCCEEDED, "OPS-1")
    assert project.events(run.id) == ["breakglass.opened", "requested", "starting", "outcome"]
    about = opened(project, run.id)
    assert (about["reason"], about["count"], about["root"]) == ("OPS-1", 3, held["root"])
    assert about["initiator"]["subject"] == run.actor.subject != ""
    assert "runs broke the glass and wait for a review" in project.oneoff("doctor").stdout
    assert project.oneoff("audit", "review", run.id, "--reason", "looked").returncode == 0
    assert project.oneoff("audit", "review", run.id, "--reason", "looked").returncode == 3
    assert project.oneoff("audit", "review", "r0", "--reason", "looked").returncode == 2
    assert "no review is open" in project.oneoff("doctor").stdout


def test_in_the_users_own_folder(project: Project) -> None:
    """Where nothing can be written beside the store."""
    project.folder.chmod(0o555)
    try:
        ended = oneoff(project, "run", "noop", *GLASS, under=obey_permissions)
    finally:
        project.folder.chmod(0o755)
    assert ended.returncode in (0, 1), ended.stderr  # the task itself cannot write its mark
    (record,) = records(project)
    assert record.is_relative_to(project.folder.parent / "state" / "oneoff")
    assert project.the_run().launcher == BREAK_GLASS
    assert records(project) == []


def test_no_place_at_all(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens unrecorded."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    project.folder.chmod(0o555)
    try:
        ended = oneoff(project, "run", "noop", *GLASS, under=obey_permissions)
    finally:
        project.folder.chmod(0o755)
    assert (ended.returncode, project.executions()) == (3, 0)
    assert "no place to record the run" in ended.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--break-glass",), 3, "breaking the glass wants a reason"),
        (("--env", "strict", *GLASS), 3, "strict does not allow to break the glass"),
        (("--env", "production", *GLASS), 3, "--confirm production"),
        (("--env", "production", "--confirm", "production", "--break-glass", "--reason", "x"), 3, "matches"),
        ((*GLASS, "--detach"), 2, "goes with none of"),
        ((*GLASS, "--dry-run"), 2, "goes with none of"),
        ((*GLASS, "--run-id", "mine"), 2, "goes with none of"),
        (("--reason", "x"), 3, "is a folder"),
    ],
)
def test_refused(options: tuple[str, ...], code: int, words: str, project: Project) -> None:
    """Without permission, reason or confirmation nothing runs."""
    lose_the_store(project)
    ended = project.oneoff("run", "noop", *options)
    assert (ended.returncode, project.executions()) == (code, 0)
    assert words in ended.stderr


def test_in_production(project: Project) -> None:
    """With its confirmation."""
    lose_the_store(project)
    ended = project.oneoff("run", "noop", "--env", "production", "--confirm", "production", *GLASS)
    assert (ended.returncode, project.executions()) == (0, 1)


def test_not_needed(project: Project) -> None:
    """Where the store can be used it is refused, and that is recorded."""
    ended = project.oneoff("run", "noop", *GLASS)
    assert (ended.returncode, project.executions()) == (3, 0)
    assert "run it without --break-glass" in ended.stderr
    assert project.the_run().status is Status.REFUSED


def test_a_full_disk_while_recording(project: Project) -> None:
    """A store that opens and cannot take the intent is no store either."""
    assert project.oneoff("run", "noop").returncode == 0
    store = project.folder / ".oneoff" / "store.db"
    store.chmod(0o444)
    ended = oneoff(project, "run", "noop", *GLASS, under=obey_permissions)
    assert ended.returncode == 0, ended.stderr
    assert project.executions() == 2
    store.chmod(0o600)
    assert project.runs()[0].launcher == BREAK_GLASS


@pytest.mark.parametrize(
    ("step", "nth", "moment", "status"),
    [
        ("reserve", 1, "before", Status.REFUSED),
        ("_work", 1, "before", Status.LOST),
        ("_work", 1, "after", Status.LOST),
    ],
)
def test_killed_in_the_middle(step: str, nth: int, moment: str, status: Status, project: Project) -> None:
    """A record without an end is that of a run that never started, or is lost."""
    lose_the_store(project)
    assert project.oneoff("run", "noop", *GLASS, kill=[step, nth, moment]).returncode == -9
    find_it_again(project)
    run = project.the_run()
    assert (run.status, run.launcher, records(project)) == (status, BREAK_GLASS, [])
    project.events(run.id)


def test_while_it_runs(project: Project) -> None:
    """A run that is at work is left alone until it ends."""
    lose_the_store(project)
    running = project.started("run", "slow", "--seconds", "3", *GLASS)
    find_it_again(project)
    assert project.runs() == []
    assert running.wait(20) == 0
    assert project.the_run().status is Status.SUCCEEDED


@pytest.mark.parametrize("nth", some_quickly(range(1, 60, 3), every=7))
def test_killed_while_taking_it_in(nth: int, project: Project) -> None:
    """At any statement: nothing is doubled or lost."""
    assert project.oneoff("run", "noop").returncode == 0
    lose_the_store(project)
    assert project.oneoff("run", "noop", *GLASS).returncode == 0
    find_it_again(project)
    project.oneoff("runs", kill_at_statement=nth)
    runs = project.runs()
    assert ([run.launcher == BREAK_GLASS for run in runs], records(project)) == ([True, False], [])
    assert project.events(runs[0].id) == ["breakglass.opened", "requested", "starting", "outcome"]


def test_killed_between_the_commit_and_the_removal(project: Project) -> None:
    """A file that is in the store already is removed, and adds nothing."""
    assert project.oneoff("run", "noop").returncode == 0
    lose_the_store(project)
    assert project.oneoff("run", "noop", *GLASS).returncode == 0
    find_it_again(project)
    (record,) = records(project)
    content = record.read_bytes()
    assert project.oneoff("runs").returncode == 0
    record.write_bytes(content)
    before = project.oneoff("audit", "log", "--type", "breakglass.opened", "-o", "json").stdout
    assert records(project) == []
    runs = project.runs()
    assert len(runs) == 2
    assert project.events(runs[0].id) == ["breakglass.opened", "requested", "starting", "outcome"]
    assert len(json.loads(before)) == 1


def test_no_store_yet(project: Project) -> None:
    """The record waits for a command that makes the store."""
    lose_the_store(project)
    for _ in range(3):
        assert project.oneoff("run", "noop", *GLASS).returncode == 0
    find_it_again(project)
    assert "no store here yet" in project.oneoff("runs").stderr
    assert len(records(project)) == 3, "a verb that only reads makes no store, and takes nothing in"
    assert project.oneoff("doctor").returncode in (0, 1)
    assert project.runs() and not records(project)


def test_taken_in_by_several_at_once(project: Project) -> None:
    """Each run once, whoever is first."""
    assert project.oneoff("run", "noop").returncode == 0
    lose_the_store(project)
    for _ in range(3):
        assert project.oneoff("run", "noop", *GLASS).returncode == 0
    find_it_again(project)
    looking = [project.start("runs") for _ in range(4)]
    assert [process.wait(30) for process in looking] == [0, 0, 0, 0]
    runs = project.runs()
    assert (len(runs), records(project)) == (4, [])
    for run in runs:
        assert project.events(run.id).count("outcome") == 1


def test_a_file_that_was_changed(project: Project) -> None:
    """It is left where it is, and every command says so."""
    assert project.oneoff("run", "noop", "--run-id", "r0").returncode == 0
    lose_the_store(project)
    assert project.oneoff("run", "noop", *GLASS).returncode == 0
    find_it_again(project)
    (record,) = records(project)
    record.write_bytes(record.read_bytes().replace(b"OPS-1", b"OPS-2"))
    listed = project.oneoff("runs")
    assert (listed.returncode, "break-glass" in listed.stdout) == (0, False)
    assert "find out who changed it" in project.oneoff("doctor").stdout
    assert "does not fit, and is not taken in: line 1 was changed" in listed.stderr
    assert records(project) == [record]


def test_a_torn_line(project: Project) -> None:
    """A line that was being written when the power went away counts as not written."""
    lose_the_store(project)
    assert project.oneoff("run", "noop", *GLASS).returncode == 0
    find_it_again(project)
    (record,) = records(project)
    record.write_bytes(record.read_bytes()[:-40])
    assert project.the_run().status is Status.LOST


def test_an_id_that_the_store_has(project: Project) -> None:
    """Another run's record is not taken for it; the file stays."""
    lose_the_store(project)
    assert project.oneoff("run", "noop", *GLASS).returncode == 0
    (record,) = records(project)
    kept = record.with_suffix(".kept")
    shutil.move(record, kept)
    find_it_again(project)
    assert project.oneoff("run", "noop", "--run-id", record.stem).returncode == 0
    shutil.move(kept, record)
    assert "the store has another run" in project.oneoff("runs").stderr
    assert records(project) == [record]
