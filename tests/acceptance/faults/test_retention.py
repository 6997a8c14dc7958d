"""Pruning and erasing with the real command: refused, killed at any step, repeated; the log holds.

With the store in a file, and in PostgreSQL where that is another matter.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oneoff.audit import event as events
from oneoff.audit.merkle import inclusion_proof, verify_inclusion
from oneoff.protocols import Store
from oneoff.runs.run import Actor, Outcome
from oneoff.runs.status import Status
from oneoff.stores import sqlite as sqlite_module
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.sqlite import SqliteStore
from tests.acceptance.cli.test_receipts import script
from tests.acceptance.faults.project import Project, some_quickly
from tests.postgres import Server, database_of, make_store
from tests.records import OBSERVER, PROCESS, make_run

OLD = datetime.now(UTC) - timedelta(days=500)


class OldProject(Project):
    """A project whose events can be as old as they say."""

    server: Server | None = None
    """Where its records are, if not in a file."""

    @property
    def store(self) -> Store:
        """Its store, opened anew."""
        if self.server is None:
            return SqliteStore.open(self.folder / ".oneoff" / "store.db")
        return PostgresStore.open(os.environ["ONEOFF_STORE"])

    def age(self) -> None:
        """The server has recorded each event when it says that it happened."""
        if self.server is not None:
            self.server.execute(
                "ALTER TABLE oneoff.audit_event DISABLE TRIGGER refuse_update",
                "UPDATE oneoff.audit_event SET recorded = time::timestamptz",
                "ALTER TABLE oneoff.audit_event ENABLE ALWAYS TRIGGER refuse_update",
                database=database_of(os.environ["ONEOFF_STORE"]),
            )

    def first(self) -> int:
        """The first event whose body is there."""
        sql = "SELECT min(seq) FROM {}audit_event"
        if self.server is not None:
            rows = self.server.execute(
                sql.format("oneoff."), database=database_of(os.environ["ONEOFF_STORE"])
            )
            return int(rows[0][0])
        with sqlite3.connect(self.folder / ".oneoff" / "store.db") as connection:
            found = connection.execute(sql.format("")).fetchone()
        connection.close()
        return int(found[0])


@pytest.fixture
def project(tmp_path: Path) -> OldProject:
    return OldProject(tmp_path / "project")


@pytest.fixture
def in_postgres(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OldProject]:
    with postgres.database() as name:
        monkeypatch.setenv("ONEOFF_STORE", make_store(postgres, name))
        project = OldProject(tmp_path / "project")
        project.server = postgres
        yield project


@pytest.fixture(params=["project", "in_postgres"], ids=["file", "postgres"])
def anywhere(request: pytest.FixtureRequest) -> OldProject:
    """A project over each of the stores."""
    project: OldProject = request.getfixturevalue(request.param)
    return project


def remember(project: OldProject, run_id: str, at: datetime, name: str = "grace") -> None:
    """A run of long ago."""
    store = project.store
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


def filled(project: OldProject, count: int = 8) -> None:
    """Runs of long ago, and one of today."""
    for number in range(count):
        remember(project, f"old-{number}", OLD + timedelta(days=number))
    assert project.oneoff("run", "noop", "--run-id", "new").returncode == 0
    project.age()


def verified(project: OldProject, *options: str) -> dict[str, object]:
    ended = project.oneoff("audit", "verify", "-o", "json", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def prune(project: OldProject, *options: str, **spec: object) -> tuple[int, str, str]:
    ended = project.oneoff("audit", "prune", "--reason", "yearly", *options, **spec)
    return ended.returncode, ended.stdout, ended.stderr


def test_prune(anywhere: OldProject) -> None:
    """It asks, says what goes, and deletes just that; the rest verifies, and an old checkpoint holds."""
    filled(anywhere)
    before = verified(anywhere)
    code, _, err = prune(anywhere)
    assert code == 3
    assert "Delete events 0 to 23 of the audit log" in err
    assert "--yes" in err
    code, out, _ = prune(anywhere, "--yes")
    assert (code, out.startswith("deleted: events 0 to 23")) == (0, True)
    after = verified(anywhere, "--checkpoint", str(before["checkpoint"]))
    assert after["pruned"]["events"] == 24  # type: ignore[index]
    assert "Events 0 to 23 were pruned on" in anywhere.oneoff("audit", "verify").stdout
    assert [run.id for run in anywhere.runs()] == ["new"]
    assert anywhere.first() == 24
    file = anywhere.folder / ".oneoff" / "store.db"
    assert not file.exists() or b"old-3" not in file.read_bytes()
    assert prune(anywhere, "--yes")[:2] == (0, "nothing is old enough\n")


@pytest.mark.parametrize("before", ["2999-01-01", "399d", "0d"])
def test_what_the_settings_protect(before: str, anywhere: OldProject) -> None:
    """A cut younger than that is refused, a date in the future included, and nothing is deleted."""
    filled(anywhere, 2)
    code, _, err = prune(anywhere, "--yes", "--before", before)
    assert code == 3
    assert "the settings keep every event for 400 days" in err
    assert verified(anywhere)["pruned"] is None


def test_another_time_of_retention(project: OldProject) -> None:
    """The settings say how long; words that are no days are refused."""
    filled(project, 2)
    settings = project.folder / "oneoff.toml"
    text = settings.read_text()
    settings.write_text(f'{text}\n[tool.oneoff.audit]\nretention = "600d"\n')
    assert prune(project, "--yes")[:2] == (0, "nothing is old enough\n")
    settings.write_text(f'{text}\n[tool.oneoff.audit]\nretention = "1 year"\n')
    assert prune(project, "--yes")[0] == 2


def test_input_that_means_nothing(project: OldProject) -> None:
    """An empty log, no reason, a time that is none, somebody unknown."""
    assert project.oneoff("audit", "prune", "--reason", "x", "--yes").stdout == "nothing is old enough\n"
    filled(project, 1)
    assert prune(project, "--yes", "--before", "long ago")[0] == 2
    assert project.oneoff("audit", "prune", "--yes").returncode == 3
    assert project.oneoff("audit", "erase", "nobody", "--reason", "x", "--yes").returncode == 2
    assert project.oneoff("audit", "erase", "grace", "--yes").returncode == 3
    assert project.oneoff("audit", "erase", "grace", "--reason", "x").returncode == 3
    assert verified(project)["pruned"] is None


def test_a_log_that_does_not_fit_is_not_pruned(project: OldProject) -> None:
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


@pytest.mark.parametrize("nth", some_quickly(range(1, 100, 3), every=11))
def test_killed_while_pruning(nth: int, project: OldProject) -> None:
    """Killed at any statement: all is there, or the cut is made and the next command deletes the rest."""
    killed_while_pruning(nth, project)


@pytest.mark.parametrize("nth", some_quickly(range(1, 31), every=10))
def test_killed_while_pruning_in_postgres(nth: int, in_postgres: OldProject) -> None:
    """The same at each message to the server, of which there are fewer."""
    killed_while_pruning(nth, in_postgres)


def killed_while_pruning(nth: int, anywhere: OldProject) -> None:
    filled(anywhere)
    before = verified(anywhere)
    prune(anywhere, "--yes", kill_at_statement=nth)
    found = verified(anywhere, "--checkpoint", str(before["checkpoint"]))
    code, _, _ = prune(anywhere, "--yes")
    assert code == 0
    found = verified(anywhere, "--checkpoint", str(before["checkpoint"]))
    assert found["pruned"]["events"] == 24  # type: ignore[index]
    assert [run.id for run in anywhere.runs()] == ["new"]
    store = anywhere.store
    assert anywhere.first() == 24
    told = [event for event in store.events() if event.columns["type"] == "log.pruned"]
    assert len(told) == 1
    store.close()


def test_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies go in pieces, and between two of them the log is whole and others may write."""
    monkeypatch.setattr(sqlite_module, "_FORGOTTEN_AT_ONCE", 5)
    project = OldProject(tmp_path / "project")
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


def test_thirteen_months(anywhere: OldProject) -> None:
    """Clocks that jump, somebody who leaves and comes back: erased, pruned, and every proof still holds."""
    at = datetime.now(UTC) - timedelta(days=430)
    for week in range(60):
        jump = timedelta(hours=(week * 37) % 50 - 25)
        remember(anywhere, f"w{week}", at + timedelta(weeks=week) + jump, "grace" if week % 3 else "heinz")
    anywhere.age()
    store = anywhere.store
    held = store.checkpoint()
    receipts = [
        (event.seq, event.leaf, inclusion_proof(event.seq, held.size, store.hashes))
        for event in store.events()
    ]
    subject = store.subject(Actor(kind="human", name="grace"))
    store.close()
    assert verified(anywhere)["size"] == 180
    ended = anywhere.oneoff("audit", "erase", "grace", "--reason", "asked for it", "--yes", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert (json.loads(ended.stdout)["runs"], subject in json.loads(ended.stdout)["subjects"]) == (40, True)
    names = [run.actor.name for run in anywhere.runs()]
    assert (names.count("grace"), names.count(""), names.count("heinz")) == (0, 40, 20)
    assert "(erased)" in anywhere.oneoff("runs").stdout
    assert "(erased)" in anywhere.oneoff("audit", "log", "--run", "w1").stdout
    for path in (anywhere.folder / ".oneoff").rglob("*"):
        assert not path.is_file() or b"grace" not in path.read_bytes(), path
    assert anywhere.oneoff("audit", "erase", subject, "--reason", "again", "--yes").returncode == 2
    assert prune(anywhere, "--yes")[0] == 0
    found = verified(anywhere, "--checkpoint", str(held))
    assert found["pruned"]["events"] == 15  # type: ignore[index]
    for seq, leaf, proof in receipts:
        assert verify_inclusion(leaf, seq, proof, held)
    store = anywhere.store
    now = store.checkpoint()
    for seq, leaf, _ in receipts:
        assert verify_inclusion(leaf, seq, inclusion_proof(seq, now.size, store.hashes), now)
    assert store.subject(Actor(kind="human", name="grace")) != subject
    store.close()


def test_a_receipt_across_the_cut(anywhere: OldProject, tmp_path: Path) -> None:
    """It holds what is kept and the signed statement about the rest; the command and the script say so."""
    public = anywhere.oneoff("audit", "keygen", "--name", "shop.example", "key").stdout.strip()
    settings = anywhere.folder / "oneoff.toml"
    audit = '[tool.oneoff.audit]\nkey = "key"\nanchors = [{ file = "anchor" }]\n'
    settings.write_text(settings.read_text() + audit)
    store, now = anywhere.store, datetime.now(UTC)
    run = store.create(make_run("long"), events.requested(make_run("long"), OBSERVER, OLD))
    run = store.save(run.claimed(PROCESS, OLD), events.starting(run, OBSERVER, OLD))
    ended = run.ended(Outcome(status=Status.SUCCEEDED), now)
    store.save(ended, events.outcome(ended, OBSERVER, now))
    store.close()
    remember(anywhere, "young", now)
    anywhere.age()

    code, out, err = prune(anywhere, "--yes", "-o", "json")
    assert (code, json.loads(out)["pruned"]) == (0, 2), err
    assert len((anywhere.folder / "anchor").read_text().splitlines()) == 2
    found = anywhere.oneoff("audit", "verify", "--key", public)
    assert (found.returncode, "The statement of that is signed by shop.example." in found.stdout) == (0, True)
    written = anywhere.oneoff("audit", "prove", "long", "-o", "receipt.json")
    assert "the run's events before 2 were pruned" in written.stderr

    receipt = str(anywhere.folder / "receipt.json")
    shown = Project(tmp_path / "elsewhere").oneoff("audit", "check", receipt, "--key", public)
    assert shown.returncode == 0, shown.stderr
    assert "what is kept of the run: events 0 to 1 of the log were pruned on" in shown.stdout
    assert "is event 6, signed by shop.example." in shown.stdout
    ended_script = script(receipt)
    assert (ended_script.returncode, ended_script.stderr) == (0, "")
    assert "the events before 2 were pruned: 'yearly'" in ended_script.stdout
    changed = tmp_path / "changed.json"
    changed.write_text((anywhere.folder / "receipt.json").read_text().replace("yearly", "by mistake"))
    assert script(str(changed)).returncode == 1
    assert anywhere.oneoff("audit", "check", str(changed)).returncode == 1
    other = Project(tmp_path / "elsewhere").oneoff("audit", "keygen", "--name", "other", "key").stdout.strip()
    refused = anywhere.oneoff("audit", "verify", "--key", other)
    assert (refused.returncode, "event 6 states what was pruned, and" in refused.stdout) == (1, True)
    refused = anywhere.oneoff("audit", "check", receipt, "--key", other)
    assert (refused.returncode, "none of that is a known key" in refused.stderr) == (1, True)


def test_a_receipt_of_what_is_gone(project: OldProject) -> None:
    """Nothing can be proven of it; the error says that it was pruned, and when."""
    filled(project, 1)
    assert project.oneoff("audit", "prove", "old-0").returncode == 0
    assert prune(project, "--yes")[0] == 0
    gone = project.oneoff("audit", "prove", "old-0")
    assert (gone.returncode, gone.stdout) == (2, "")
    assert "there is no run 'old-0': the events before 3 were pruned on" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_nobody_is_erased_while_at_work(project: OldProject) -> None:
    """The process would bring the name back."""
    running = project.started("run", "slow", "--seconds", "8")
    user = project.runs()[0].actor.name
    ended = project.oneoff("audit", "erase", user, "--reason", "x", "--yes")
    running.kill()
    running.wait()
    assert ended.returncode == 3
    assert "is under way for them" in ended.stderr


def test_a_reader_who_may_not_write(project: OldProject) -> None:
    """Reads all the same, and is told that nobody will know."""
    from tests.acceptance.faults.test_readers import reader

    filled(project, 1)
    code, out, err = reader(project, "audit", "log")
    assert (code, "succeeded; members: 3 deleted" in out) == (0, True)
    assert "is not recorded" in err
    assert "log.queried" not in project.oneoff("audit", "log").stdout
