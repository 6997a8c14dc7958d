"""Which events may go, and what verification says of a log whose beginning is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from oneoff.audit import event as events
from oneoff.audit.merkle import completed, root_at
from oneoff.audit.retention import OPEN_LIMIT, Cut, longest
from oneoff.audit.verify import Verification, verify
from oneoff.runs.run import Outcome
from oneoff.runs.status import Status
from oneoff.stores.memory import MemoryStore
from oneoff.types import RunId
from tests.records import ANN, OBSERVER, PROCESS, START, begin, finish, later, make_run

DAY = timedelta(days=1)


def aged(store: MemoryStore, run_id: str, days: float) -> None:
    """A run that began and ended so many days after the beginning of time."""
    at = START + days * DAY
    run = store.create(make_run(run_id, requested_at=at), events.requested(make_run(run_id), OBSERVER, at))
    run = store.save(run.claimed(PROCESS, at), events.starting(run, OBSERVER, at))
    ended = run.ended(Outcome(status=Status.SUCCEEDED), at)
    store.save(ended, events.outcome(ended, OBSERVER, at))


def planned(store: MemoryStore, days: float, *under_way: str) -> Cut:
    whole = [RunId(run_id) for run_id in under_way]
    return longest(store.events(), store.start(), START + days * DAY, under_way=whole)


def cut_at(store: MemoryStore, to: int, /, **wrong: Any) -> None:
    """Prune, perhaps with a false statement."""
    cut = Cut(store.start(), to, open=wrong.pop("open", frozenset()))
    stated = cut.statement(root_at(to, store.hashes), START, "old", None) | wrong
    store.prune(to, events.of_log("pruned", ANN, OBSERVER, START, **stated))


def hashes(store: MemoryStore, end: int | None = None) -> Iterator[bytes]:
    for seq in range(store.start() if end is None else end):
        places = completed(seq)
        yield b"".join(store.hashes(places)[place] for place in places)


def checked(store: MemoryStore, **about: Any) -> Verification:
    given: dict[str, Any] = {"pruned": hashes(store)} | about
    return verify(store.events(), store.checkpoint, lambda _: False, **given)


@pytest.fixture
def store() -> MemoryStore:
    """Ten runs, one a day, of three events each."""
    store = MemoryStore()
    for day in range(10):
        aged(store, f"r{day}", day)
    return store


def test_the_longest_beginning(store: MemoryStore) -> None:
    """All that is older, and no more; its times and how many runs start in it."""
    cut = planned(store, 4)
    assert (cut.start, cut.to, cut.count, cut.runs, cut.open) == (0, 12, 12, 4, frozenset())
    assert (cut.oldest, cut.newest) == ("2026-03-01T12:00:00.000000Z", "2026-03-04T12:00:00.000000Z")
    assert planned(store, 0).count == planned(MemoryStore(), 9).count == 0
    assert planned(store, 99).to == 30


def test_a_run_that_is_under_way_stays_whole(store: MemoryStore) -> None:
    """However old it is."""
    assert planned(store, 9, "r2").to == 6


def test_clocks_that_jumped(store: MemoryStore) -> None:
    """The beginning ends with the first event that is too young, also where older ones follow."""
    aged(store, "early", -50)
    aged(store, "future", 900)
    aged(store, "old again", 2)
    assert planned(store, 4).to == 12
    assert planned(store, 100).to == 33
    assert planned(store, 1000).to == 39
    assert planned(store, 100).oldest == "2026-01-10T12:00:00.000000Z"


def test_a_run_across_the_cut() -> None:
    """It started before and ended after: the statement names it, and it is waited for."""
    store = MemoryStore()
    long = begin(store, make_run("long"))
    aged(store, "other", 5)
    cut = longest(store.events(), 0, START + DAY, under_way=())
    assert (cut.to, cut.open) == (2, frozenset({RunId("long")}))
    cut_at(store, 2, open=cut.open)
    assert checked(store).problems == ("run long started with a pruned event and has no outcome",)
    finish(store, long)
    assert checked(store).problems == ()
    again = longest(store.events(), 2, START + 9 * DAY, under_way=(), opened=cut.open)
    assert again.open == frozenset()


def test_too_many_runs_across_the_cut() -> None:
    """The event has to name them: the cut is made before there are too many."""
    store = MemoryStore()
    for number in range(OPEN_LIMIT + 5):
        begin(store, make_run(f"r{number}"))
    cut = longest(store.events(), 0, START + DAY, under_way=())
    assert (len(cut.open), cut.to) == (OPEN_LIMIT, 2 * OPEN_LIMIT + 1)


def test_a_pruned_log_fits(store: MemoryStore) -> None:
    """It says what is gone; checkpoints from before the cut, at it and after it hold."""
    remembered = []
    grown = MemoryStore()
    for day in range(10):
        remembered.append(grown.checkpoint())
        aged(grown, f"r{day}", day)
    cut_at(grown, 12)
    for checkpoint in remembered:
        found = checked(grown, kept=[checkpoint])
        assert (found.problems, found.held) == ((), checkpoint)
    assert (found.size, found.root) == (31, grown.checkpoint().root)
    assert found.pruned and (found.pruned.to, found.pruned.by, found.pruned.reason) == (
        12,
        ANN.subject,
        "old",
    )
    cut_at(grown, 31)
    found = checked(grown, kept=remembered)
    assert found.ok and found.pruned and found.pruned.to == 31
    assert found.held == remembered[-1]


def test_a_remembered_checkpoint_of_another_beginning(store: MemoryStore) -> None:
    """What was rewritten before it was pruned is seen."""
    other = MemoryStore()
    for day in range(10):
        aged(other, f"x{day}", day)
    remembered = other.checkpoint()
    cut_at(store, 12)
    assert "was rewritten" in checked(store, kept=[replace(remembered, size=6)]).problems[0]


def test_a_hash_of_a_pruned_event_that_was_changed(store: MemoryStore) -> None:
    """The subtree above it tells, and so do the statement and a checkpoint from before."""
    remembered = store.checkpoint()
    cut_at(store, 12)
    changed = [bytes(32) if place == 5 else leaf for place, leaf in enumerate(hashes(store))]
    problems = checked(store, pruned=changed, kept=[remembered]).problems
    for words in (
        "hash over the events 4 to 5",
        "the 12 pruned events had the root",
        "was rewritten",
    ):
        assert any(words in found for found in problems), problems


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"root": 64 * "0"}, "the 12 pruned events had the root 0000"),
        ({"to": 15}, "event 30 says that the events before 15 were pruned, and the log begins with event 12"),
        ({"to": 9}, "the events before 12 are gone, and no event says that they were pruned"),
        ({"open": ["r99"]}, "run r99 started with a pruned event and has no outcome"),
        ({"to": "x"}, "event 30 does not say what was pruned"),
    ],
)
def test_a_false_statement(store: MemoryStore, wrong: dict[str, Any], problem: str) -> None:
    """A statement that does not fit what is there is named."""
    cut_at(store, 12, **wrong)
    assert any(found.startswith(problem) for found in checked(store).problems), checked(store).problems


def test_a_beginning_that_is_missing(store: MemoryStore) -> None:
    """Without an event that says so, or without its hashes, it was no pruning."""
    told = list(store.events())
    found = verify(told[12:], store.checkpoint, lambda _: False, pruned=hashes(store, 12))
    assert found.problems == ("the events before 12 are gone, and no event says that they were pruned",)
    found = verify(told[12:], store.checkpoint, lambda _: False)
    assert found.problems[0] == "event 0 is missing: event 12 comes in its place"


def test_an_outcome_without_a_start_after_the_cut(store: MemoryStore) -> None:
    """It has to be one of those that the statement names; a lost run may come back."""
    stray = begin(MemoryStore(), make_run("stray"))
    ended = stray.ended(Outcome(status=Status.SUCCEEDED), later(9))
    store.record(events.outcome(ended, OBSERVER, later(9)))
    cut_at(store, 12)
    assert checked(store).problems == ("event 30 is an outcome of run stray without a start of its own",)
    assert RunId("stray") not in checked(store).pruned.open  # type: ignore[union-attr]
