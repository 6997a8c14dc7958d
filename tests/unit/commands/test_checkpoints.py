"""Checkpoints are stated, signed and anchored, and an anchor that fails changes nothing but the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oneoff.app import App
from oneoff.audit.evidence import Statement
from oneoff.audit.note import Note, VerifyKey
from oneoff.commands.checkpoints import publish, recall, state
from oneoff.commands.run import run
from oneoff.errors import (
    AnchorFailed,
    EvidenceUnfit,
    InvalidSettings,
    KeyUnusable,
    NotConfirmed,
    StoreUnavailable,
    UsageError,
)
from oneoff.runs.status import Status
from oneoff.settings import AuditSettings
from oneoff.signing import generate
from tests.fakes import World


class ListAnchor:
    """Keeps statements in a list; raises what the test wants."""

    name = "list"

    def __init__(self, *errors: BaseException) -> None:
        self.kept: list[tuple[Statement, bool]] = []
        self.errors = list(errors)

    def keep(self, statement: Statement, *, stdout_taken: bool) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.kept.append((statement, stdout_taken))

    @property
    def sizes(self) -> list[int]:
        return [statement.checkpoint.size for statement, _ in self.kept]


def anchored(world: World, *anchors: ListAnchor, **audit: Any) -> None:
    settings = replace(world.services.settings, audit=AuditSettings(**audit))
    world.services = replace(world.services, anchors=anchors, settings=settings)


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, VerifyKey]:
    """A private key's file, and the public half."""
    return tmp_path / "key", generate("shop.example/audit", tmp_path / "key")


def test_after_every_outcome(world: World) -> None:
    """Real or dry, well or badly ended: the anchor has the log with the outcome in it."""
    anchor = ListAnchor()
    anchored(world, anchor)
    run(world.services, world.wish("greet"))
    run(world.services, world.wish("fail", keep_stdout=True))
    run(world.services, world.wish("greet", dry_run=True))
    assert anchor.sizes == [3, 6, 9]
    assert [taken for _, taken in anchor.kept] == [False, True, False]
    assert anchor.kept[-1][0].checkpoint == world.store.checkpoint()


def test_before_the_task_where_it_is_protected(world: World) -> None:
    """The intent is outside the store before anything happens."""
    anchor = ListAnchor()
    anchored(world, anchor)
    seen: list[list[int]] = []

    assert isinstance(world.app, App)

    @world.app.task
    def peek() -> None:
        """Look at what was kept so far."""
        seen.append(anchor.sizes)

    protected: dict[str, Any] = {"environment": "production", "confirm": "production", "reason": "OPS-1"}
    run(world.services, world.wish("peek", **protected))
    run(world.services, world.wish("peek"))
    assert seen == [[2], [2, 3]]
    assert anchor.sizes == [2, 3, 6]


def test_nothing_started_nothing_anchored(world: World) -> None:
    """A refusal is in the log, and under the next checkpoint."""
    anchor = ListAnchor()
    anchored(world, anchor)
    with pytest.raises(NotConfirmed):
        run(world.services, world.wish("purge", {"days": 1}))
    assert anchor.kept == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AnchorFailed("no route"), "no route"),
        (RuntimeError("of a plug-in"), "RuntimeError: of a plug-in"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (AnchorFailed("x" * 10_000), "x" * 500),
    ],
)
def test_an_anchor_that_fails(world: World, error: BaseException, words: str) -> None:
    """The run's outcome is what it was; it is said aloud, recorded in short, and the others are served."""
    bad, good = ListAnchor(error), ListAnchor()
    anchored(world, bad, good)
    assert run(world.services, world.wish("greet")).status is Status.SUCCEEDED
    assert good.sizes == [3]
    assert world.said[-1].startswith("WARNING: ") and words in world.said[-1]
    assert world.events() == ["requested", "starting", "outcome", "log.anchor_failed"]
    data = world.bodies()[-1]["data"]
    assert (data["anchor"], data["error"]) == ("list", words)
    assert data["checkpoint"] == str(good.kept[0][0].checkpoint)


def test_nothing_can_be_recorded_either(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes no more does not make the outcome worse."""

    def unavailable(*_: object) -> None:
        raise StoreUnavailable("gone")

    anchored(world, ListAnchor(AnchorFailed("no route")))
    monkeypatch.setattr(world.store, "record", unavailable)
    assert not publish(world.services)
    assert "no route" in world.said[-1]
    monkeypatch.setattr(world.store, "checkpoint", unavailable)
    assert not publish(world.services)
    assert "gone" in world.said[-1]


def test_with_a_key_the_anchor_gets_a_note(world: World, key: tuple[Path, VerifyKey]) -> None:
    """It is signed over the origin of this log, and no more than the three lines."""
    anchor = ListAnchor()
    anchored(world, anchor, key=key[0])
    run(world.services, world.wish("greet"))
    (statement, _) = anchor.kept[0]
    note = Note.parse(statement.text)
    assert note.text.splitlines()[:2] == [f"oneoff/{world.store.log_name()}", "3"]
    assert world.services.keys().fits(key[1], note.signatures[0].signature, note.text.encode())
    (evidence,) = recall(world.services, statement.line, [str(key[1])])
    assert (evidence.checkpoint, evidence.vouched) == (statement.checkpoint, "signed by shop.example/audit")


def test_a_key_that_cannot_be_used(world: World, tmp_path: Path) -> None:
    """The anchor gets the checkpoint all the same, unsigned; asked for by hand it is an error."""
    anchor = ListAnchor()
    anchored(world, anchor, key=tmp_path / "none")
    assert run(world.services, world.wish("greet")).status is Status.SUCCEEDED
    assert anchor.kept[0][0].note is None
    assert "was not signed" in world.said[-1] and world.bodies()[-1]["data"]["anchor"] == "signature"
    with pytest.raises(KeyUnusable):
        state(world.services)


def test_whose_signatures_count(world: World, key: tuple[Path, VerifyKey], tmp_path: Path) -> None:
    """The keys that are given, else those of the settings, else one's own."""
    other = generate("shop.example/audit", tmp_path / "other")
    anchored(world, key=key[0])
    text = state(world.services).text
    assert recall(world.services, text)[0].vouched == "signed by shop.example/audit"
    anchored(world, key=tmp_path / "none")
    assert "no key was given" in recall(world.services, text)[0].vouched
    anchored(world, verify_keys=(str(other),))
    with pytest.raises(EvidenceUnfit, match="none of that is a known key"):
        recall(world.services, text)
    anchored(world, verify_keys=(str(other), str(key[1])))
    assert recall(world.services, text)[0].vouched == "signed by shop.example/audit"
    assert recall(world.services, str(world.store.checkpoint()))[0].vouched == "unsigned"


def test_what_cannot_be_meant(world: World) -> None:
    """Nonsense in the place of a checkpoint or a key."""
    with pytest.raises(UsageError, match="'nonsense' is no checkpoint"):
        recall(world.services, "nonsense")
    with pytest.raises(UsageError, match="--key: "):
        recall(world.services, str(world.store.checkpoint()), ["nonsense"])
    with pytest.raises(UsageError, match="no signature"):
        recall(world.services, str(world.store.checkpoint()), [str(VerifyKey("a", bytes(32)))])
    anchored(world, verify_keys=("nonsense",))
    with pytest.raises(InvalidSettings, match="verify_key"):
        recall(world.services, str(world.store.checkpoint()))


def test_a_checkpoint_of_another_log(world: World, tmp_path: Path) -> None:
    """Its origin says so, whatever its size and root."""
    text = state(World(tmp_path).services).text
    with pytest.raises(EvidenceUnfit, match="this store holds the log"):
        recall(world.services, text)
