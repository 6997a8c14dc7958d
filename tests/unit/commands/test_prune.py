"""Pruning is stated, signed where there is a key, and done only once what goes is covered outside."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from oneoff.audit import event as events
from oneoff.audit import receipt
from oneoff.audit.merkle import Checkpoint, root_at
from oneoff.audit.note import checkpoint_text, origin_of
from oneoff.audit.retention import Cut
from oneoff.audit.verify import Verification
from oneoff.commands.audit import verify
from oneoff.commands.prune import plan, prune
from oneoff.commands.receipts import find, prove
from oneoff.errors import AnchorFailed, KeyUnusable, Refused, RunNotFound
from oneoff.runs.run import Outcome
from oneoff.runs.status import Status
from oneoff.signing import KeyFile, generate
from tests.fakes import World
from tests.records import ANN, OBSERVER, START, begin, finish, make_run
from tests.unit.commands.test_checkpoints import ListAnchor, anchored

NOW = START + timedelta(days=500)
CUT = 5
"""The first event that stays: the outcome of the second run."""


@pytest.fixture
def old(world: World) -> World:
    """A run of long ago, and one that started then and ended just now."""
    finish(world.store, begin(world.store, make_run("first")))
    run = begin(world.store, make_run("second"))
    ended = run.ended(Outcome(status=Status.SUCCEEDED), NOW)
    world.store.save(ended, events.outcome(ended, OBSERVER, NOW))
    world.clock.at = NOW
    return world


def pruned(world: World) -> Verification:
    """Prune what is old enough; what verification finds then."""
    planned = plan(world.services, NOW - timedelta(days=400))
    prune(world.services, planned, reason="yearly", yes=True)
    return verify(world.services)


def key_in(folder: Path, name: str = "shop.example/audit") -> tuple[Path, str]:
    path = folder / name.replace("/", "-")
    return path, str(generate(name, path))


def test_without_a_key(old: World) -> None:
    """It is said that nobody vouches for the statement, and nothing else is different."""
    found = pruned(old)
    assert (found.problems, found.vouched, old.store.start()) == ((), "unsigned", CUT)
    assert found.pruned is not None and found.pruned.note is None
    assert "the statement of what is pruned is not signed: no key is configured" in old.said


def test_with_a_key(old: World, tmp_path: Path) -> None:
    """The statement has a signed checkpoint at the cut, which the public key alone checks."""
    path, public = key_in(tmp_path)
    anchored(old, key=path)
    found = pruned(old)
    assert (found.problems, found.vouched) == ((), "signed by shop.example/audit")
    anchored(old, verify_keys=(public,))
    assert verify(old.services).vouched == "signed by shop.example/audit"
    anchored(old)
    assert verify(old.services).vouched == "signed, and no key was given to check it with"
    assert verify(old.services, keys=[public]).vouched == "signed by shop.example/audit"


def test_a_key_that_cannot_be_used(old: World, tmp_path: Path) -> None:
    """Nothing is deleted without the signature that the settings want."""
    anchored(old, key=tmp_path / "missing")
    with pytest.raises(KeyUnusable):
        pruned(old)
    assert old.store.start() == 0


def test_a_key_that_is_not_the_one(old: World, tmp_path: Path) -> None:
    """Verification names the event whose signature no known key has made, and it is not pruned further."""
    anchored(old, key=key_in(tmp_path)[0])
    pruned(old)
    other = key_in(tmp_path, "other.example/audit")[1]
    anchored(old, verify_keys=(other,))
    found = verify(old.services)
    assert found.vouched is None
    assert [problem.partition(" is signed by")[0] for problem in found.problems] == [
        "event 6 states what was pruned, and the checkpoint"
    ]
    with pytest.raises(Refused, match="not pruned: event 6 states what was pruned"):
        plan(old.services, NOW - timedelta(days=400))


def wrongly_signed(world: World, key: Path, wrong: str) -> None:
    """The log is cut with a note by the right key that is not of this cut, or with none."""
    root = root_at(CUT, world.store.hashes)
    origin = origin_of("f" * 32 if wrong == "another log" else world.store.log_name())
    at = Checkpoint(CUT - 1 if wrong == "another cut" else CUT, root)
    note = str(KeyFile(key).sign(checkpoint_text(origin, at)))
    if wrong == "no note":
        note = str(at)
    elif wrong == "another text":
        note = note.replace(f"\n{CUT}\n", f"\n{CUT + 1}\n")
    stated = Cut(0, CUT, open=frozenset({make_run("second").id})).statement(root, NOW, "yearly", note)
    world.store.prune(CUT, events.of_log("pruned", ANN, OBSERVER, NOW, **stated))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("another log", "is of the log oneoff/ffff"),
        ("another cut", "its note is of the checkpoint 4:"),
        ("another text", "the signature of shop.example/audit does not fit"),
        ("no note", "its note is none"),
    ],
)
def test_a_note_that_is_not_of_the_cut(old: World, tmp_path: Path, wrong: str, words: str) -> None:
    """A good signature under something else vouches for nothing."""
    path, public = key_in(tmp_path)
    wrongly_signed(old, path, wrong)
    anchored(old, verify_keys=(public,))
    [problem] = verify(old.services).problems
    assert problem.startswith("event 6 states what was pruned, and ")
    assert words in problem


def test_anchors_get_what_goes_before_it_goes(old: World) -> None:
    """A checkpoint over all of it, and after the cut one over the statement."""
    anchor = ListAnchor()
    anchored(old, anchor)
    assert pruned(old).ok
    assert anchor.sizes == [6, 7]


def test_an_anchor_that_fails_keeps_everything(old: World) -> None:
    """What is under no checkpoint outside is not deleted; the failure is recorded."""
    anchored(old, ListAnchor(), ListAnchor(AnchorFailed("no such bucket")))
    with pytest.raises(Refused, match="not every anchor has kept") as caught:
        pruned(old)
    assert "checkpoint --anchor" in caught.value.next_step
    assert (old.store.start(), old.events()[-1]) == (0, "log.anchor_failed")


def test_a_statement_that_stands_twice(old: World) -> None:
    """Who may append may repeat a statement with other words: verification names it."""
    pruned(old)
    stated = old.bodies()[-1]["data"]
    copy: dict[str, Any] = {name: stated[name] for name in ("from", "to", "root", "open")}
    old.store.record(events.of_log("pruned", ANN, OBSERVER, NOW, **copy, reason="another"))
    found = verify(old.services)
    assert found.problems == ("event 7 states again what event 6 states: one of them is false",)
    assert found.pruned is not None and found.pruned.reason == "yearly"


def test_a_statement_that_names_a_run_that_never_was(old: World) -> None:
    """It is a problem in words, not an error of the look."""
    stated = Cut(0, CUT, open=frozenset({make_run("second").id, make_run("ghost").id})).statement(
        root_at(CUT, old.store.hashes), NOW, "yearly", None
    )
    old.store.prune(CUT, events.of_log("pruned", ANN, OBSERVER, NOW, **stated))
    assert verify(old.services).problems == ("run ghost started with a pruned event and has no outcome",)


def test_a_receipt_of_what_is_kept(old: World) -> None:
    """It has the kept events of the run and the statement about the others, and holds."""
    before = old.store.checkpoint()
    pruned(old)
    shown = receipt.check(json.dumps(prove(old.services, find(old.services, "second"))))
    assert (shown.types, shown.whole) == (["outcome"], False)
    assert shown.pruned is not None
    assert (shown.pruned.to, shown.pruned.place, shown.pruned.reason) == (CUT, 6, "yearly")
    assert "the run's events before 5 were pruned: this is the rest of them" in old.said
    earlier = receipt.check(json.dumps(prove(old.services, find(old.services, "second"), kept=before)))
    assert (earlier.whole, earlier.pruned) == (False, None)
    assert "that they were pruned was stated after the checkpoint: left out" in old.said


def test_a_receipt_of_a_run_after_the_cut(old: World) -> None:
    """Nothing of it is gone, and so nothing is said."""
    pruned(old)
    finish(old.store, begin(old.store, make_run("third")))
    made = prove(old.services, find(old.services, "third"))
    assert ("pruned" in made, receipt.check(json.dumps(made)).whole) == (False, True)


def test_a_run_that_is_gone(old: World) -> None:
    """The error says that it may have been pruned, and when; in a log that was not, it does not."""
    with pytest.raises(RunNotFound) as caught:
        find(old.services, "ghost")
    assert "pruned" not in caught.value.message
    kept = old.store.get(make_run("first").id)
    pruned(old)
    for gone in (lambda: find(old.services, "first"), lambda: prove(old.services, kept)):
        with pytest.raises(RunNotFound, match="the events before 5 were pruned on 2027-07-14") as caught:
            gone()
        assert "receipt or an export from before" in caught.value.next_step


@pytest.mark.parametrize("change", ["to", "type", "place", "missing"])
def test_a_receipt_whose_statement_was_changed(old: World, change: str) -> None:
    """It shows nothing; one whose statement was taken out does not say how the run began."""
    pruned(old)
    made: dict[str, Any] = prove(old.services, find(old.services, "second"))
    if change == "missing":
        del made["pruned"]
        shown = receipt.check(json.dumps(made))
        assert (shown.whole, shown.pruned) == (False, None)
        return
    if change == "type":
        made["pruned"] = made["events"][0]
    elif change == "place":
        made["pruned"]["place"] += 1
    else:
        made["pruned"]["event"] = made["pruned"]["event"].replace('"to":5', '"to":4')
    with pytest.raises(receipt.WrongReceipt):
        receipt.check(json.dumps(made))
