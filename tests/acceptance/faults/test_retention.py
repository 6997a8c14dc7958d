"""Pruning and erasing with the real command: refused, killed at any step, repeated; the log holds."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oneoff.audit import event as events
from oneoff.audit.merkle import inclusion_proof, verify_inclusion
from oneoff.protocols import Store
from oneoff.runs.run import Actor, Outcome
from oneoff.runs.status import Status
from oneoff.stores import sqlite as sqlite_module
from oneoff.stores.sqlite import SqliteStore
from tests.acceptance.faults.project import Project, some_quickly
from tests.records import OBSERVER, PROCESS, make_run

OLD = datetime.now(UTC) - timedelta(days=500)


def remember(project: Project, run_id: str, at: datetime, name: str = "grace") -> None:
    """A run of long ago."""
    store = SqliteStore.open(project.folder / ".oneoff" / "store.db")
    actor = Actor(kind="human", name=name, claims={"SUDO_USER": name})
    actor = Actor(
        kind="human",
        name=name,
        subject=store.subject(actor),
        claims=actor.claims,
        opaque_claims={"SUDO_USER": store.subject(Actor(kind="claim SUDO_USER", name=name))},
    )
    run = make_run(run_id, requested_at=at, actor=actor)
    run = store.create(run, events.requested(run, OBSERVER, at))
    run = store.save(run.claimed(PROCESS, at), events.starting(run, OBSERVER, at))
    ended = run.ended(Outcome(status=Status.SUCCEEDED, rows={"members": {"deleted": 3}}), at)
    store.save(ended, events.outcome(ended, OBSERVER, at))
    store.close()


def filled(project: Project, count: int = 8) -> None:
    """Runs of long ago, and one of today."""
    for number in range(count):
        remember(project, f"old-{number}", OLD + timedelta(days=number))
    assert project.oneoff("run", "noop", "--run-id", "new").returncode == 0


def verified(project: Project, *options: str) -> dict[str, object]:
    ended = project.oneoff("audit", "verify", "-o", "json", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def prune(project: Project, *options: str, **spec: object) -> tuple[int, str, str]:
    ended = project.oneoff("audit", "prune", "--reason", "yearly", *options, **spec)
    return ended.returncode, ended.stdout, ended.stderr


def test_prune(project: Project) -> None:
    """It asks, says what goes, and deletes just that; the rest verifies, and an old checkpoint holds."""
    filled(project)
    before = verified(project)
    code, _, err = prune(project)
    assert code == 3
    assert "Delete events 0 to 23 of the audit log" in err
    assert "--yes" in err
    code, out, _ = prune(project, "--yes")
    assert (code, out.startswith("deleted: events 0 to 23")) == (0, True)
    after = verified(project, "--checkpoint", str(before["checkpoint"]))
    assert after["pruned"]["events"] == 24  # type: ignore[index]
    assert "Events 0 to 23 were pruned on" in project.oneoff("audit", "verify").stdout
    assert [run.id for run in project.runs()] == ["new"]
    assert b"old-3" not in (project.folder / ".oneoff" / "store.db").read_bytes()
    assert prune(project, "--yes")[:2] == (0, "nothing is old enough\n")


@pytest.mark.parametrize("before", ["2999-01-01", "399d", "0d"])
def test_what_the_settings_protect(before: str, project: Project) -> None:
    """A cut younger than that is refused, a date in the future included, and nothing is deleted."""
    filled(project, 2)
    code, _, err = prune(project, "--yes", "--before", before)
    assert code == 3
    assert "the settings keep every event for 400 days" in err
    assert verified(project)["pruned"] is None


def test_another_time_of_retention(project: Project) -> None:
    """The settings say how long; words that are no days are refused."""
    filled(project, 2)
    settings = project.folder / "oneoff.toml"
    text = settings.read_text()
    settings.write_text(f'{text}\n[tool.oneoff.audit]\nretention = "600d"\n')
    assert prune(project, "--yes")[:2] == (0, "nothing is old enough\n")
    settings.write_text(f'{text}\n[tool.oneoff.audit]\nretention = "1 year"\n')
    assert prune(project, "--yes")[0] == 2


def test_input_that_means_nothing(project: Project) -> None:
    """An empty log, no reason, a time that is none, somebody unknown."""
    assert project.oneoff("audit", "prune", "--reason", "x", "--yes").stdout == "nothing is old enough\n"
    filled(project, 1)
    assert prune(project, "--yes", "--before", "long ago")[0] == 2
    assert project.oneoff("audit", "prune", "--yes").returncode == 3
    assert project.oneoff("audit", "erase", "nobody", "--reason", "x", "--yes").returncode == 2
    assert project.oneoff("audit", "erase", "grace", "--yes").returncode == 3
    assert project.oneoff("audit", "erase", "grace", "--reason", "x").returncode == 3
    assert verified(project)["pruned"] is None


def test_a_log_that_does_not_fit_is_not_pruned(project: Project) -> None:
    """It is evidence."""
    filled(project, 2)
    connection = sqlite3.connect(project.folder / ".oneoff" / "store.db")
    with connection:
        connection.execute("DROP TRIGGER audit_event_update")
        connection.execute("UPDATE audit_event SET task = 'other' WHERE seq = 1")
    connection.close()
    code, _, err = prune(project, "--yes")
    assert code == 3
    assert "the log does not fit, and is not pruned: event 1" in err


@pytest.mark.parametrize("nth", some_quickly(range(1, 200, 7), every=6))
def test_killed_while_pruning(nth: int, project: Project) -> None:
    """Killed at any statement: all is there, or the cut is made and the next command deletes the rest."""
    filled(project)
    before = verified(project)
    prune(project, "--yes", kill_at_statement=nth)
    found = verified(project, "--checkpoint", str(before["checkpoint"]))
    code, _, _ = prune(project, "--yes")
    assert code == 0
    found = verified(project, "--checkpoint", str(before["checkpoint"]))
    assert found["pruned"]["events"] == 24  # type: ignore[index]
    assert [run.id for run in project.runs()] == ["new"]
    store = SqliteStore.open(project.folder / ".oneoff" / "store.db")
    assert store._read("SELECT min(seq) FROM audit_event", {}) == [(24,)]
    told = [event for event in store.events() if event.columns["type"] == "log.pruned"]
    assert len(told) == 1
    store.close()


def test_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies go in pieces, and between two of them the log is whole and others may write."""
    monkeypatch.setattr(sqlite_module, "_FORGOTTEN_AT_ONCE", 5)
    project = Project(tmp_path / "project")
    filled(project)
    services = project.services()
    from oneoff.audit.retention import Cut
    from oneoff.commands.audit import verify

    root = services.store.checkpoint()
    stated = Cut(0, 24).statement(root_before(services.store, 24), OLD, "x", None)
    at = datetime.now(UTC)
    services.store.prune(24, events.of_log("pruned", services.actor, OBSERVER, at, **stated))
    pieces = 0
    while services.store.forget():
        pieces += 1
        assert verify(services, kept=[root]).problems == ()
        services.store.record(events.of_log("queried", services.actor, OBSERVER, at))
    assert pieces == 4
    services.store.close()


def root_before(store: Store, size: int) -> bytes:
    from oneoff.audit.merkle import root_at

    return root_at(size, store.hashes)


def test_thirteen_months(project: Project) -> None:
    """Clocks that jump, somebody who leaves and comes back: erased, pruned, and every proof still holds."""
    at = datetime.now(UTC) - timedelta(days=430)
    for week in range(60):
        jump = timedelta(hours=(week * 37) % 50 - 25)
        remember(project, f"w{week}", at + timedelta(weeks=week) + jump, "grace" if week % 3 else "heinz")
    store = SqliteStore.open(project.folder / ".oneoff" / "store.db")
    held = store.checkpoint()
    receipts = [
        (event.seq, event.leaf, inclusion_proof(event.seq, held.size, store.hashes))
        for event in store.events()
    ]
    subject = store.subject(Actor(kind="human", name="grace"))
    store.close()
    assert verified(project)["size"] == 180
    ended = project.oneoff("audit", "erase", "grace", "--reason", "asked for it", "--yes", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert (json.loads(ended.stdout)["runs"], subject in json.loads(ended.stdout)["subjects"]) == (40, True)
    names = [run.actor.name for run in project.runs()]
    assert (names.count("grace"), names.count(""), names.count("heinz")) == (0, 40, 20)
    assert "(erased)" in project.oneoff("runs").stdout
    assert "(erased)" in project.oneoff("audit", "log", "--run", "w1").stdout
    for path in (project.folder / ".oneoff").rglob("*"):
        assert not path.is_file() or b"grace" not in path.read_bytes(), path
    assert project.oneoff("audit", "erase", subject, "--reason", "again", "--yes").returncode == 2
    assert prune(project, "--yes")[0] == 0
    found = verified(project, "--checkpoint", str(held))
    assert found["pruned"]["events"] == 15  # type: ignore[index]
    for seq, leaf, proof in receipts:
        assert verify_inclusion(leaf, seq, proof, held)
    store = SqliteStore.open(project.folder / ".oneoff" / "store.db")
    now = store.checkpoint()
    for seq, leaf, _ in receipts:
        assert verify_inclusion(leaf, seq, inclusion_proof(seq, now.size, store.hashes), now)
    assert store.subject(Actor(kind="human", name="grace")) != subject
    store.close()


def test_nobody_is_erased_while_at_work(project: Project) -> None:
    """The process would bring the name back."""
    running = project.started("run", "slow", "--seconds", "8")
    user = project.runs()[0].actor.name
    ended = project.oneoff("audit", "erase", user, "--reason", "x", "--yes")
    running.kill()
    running.wait()
    assert ended.returncode == 3
    assert "is under way for them" in ended.stderr


def test_a_reader_who_may_not_write(project: Project) -> None:
    """Reads all the same, and is told that nobody will know."""
    from tests.acceptance.faults.test_readers import reader

    filled(project, 1)
    code, out, err = reader(project, "audit", "log")
    assert (code, "succeeded; members: 3 deleted" in out) == (0, True)
    assert "is not recorded" in err
    assert "log.queried" not in project.oneoff("audit", "log").stdout
