"""Verification names what is wrong; nothing that is right is called wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from oneoff.audit import event as events
from oneoff.audit.event import Event, StoredEvent
from oneoff.audit.merkle import Checkpoint, Frontier, leaf_hash
from oneoff.audit.verify import PROBLEM_LIMIT, Verification, verify
from oneoff.runs.run import Outcome
from oneoff.runs.status import Status
from oneoff.stores.memory import MemoryStore
from tests.records import ANN, OBSERVER, PROCESS, START, begin, finish, later, make_run


@pytest.fixture
def store() -> MemoryStore:
    """A log of ten events: three runs that succeeded, and one that was refused."""
    store = MemoryStore()
    for number in range(3):
        finish(store, begin(store, make_run(f"r{number}")))
    store.record(events.refused(make_run("r9"), OBSERVER, START))
    return store


def checked(
    log: Iterable[StoredEvent], checkpoint: Checkpoint, executing: Sequence[str] = ()
) -> Verification:
    return verify(log, lambda: checkpoint, lambda run_id: run_id in executing)


def test_a_good_log(store: MemoryStore) -> None:
    """An untouched log is in order, and has the size and root of its checkpoint."""
    result = checked(store.events(), store.checkpoint())
    assert result == Verification(size=10, root=store.checkpoint().root, problems=())
    assert result.ok


def test_an_empty_log() -> None:
    """A log without events is in order; one whose head says otherwise is not."""
    store = MemoryStore()
    assert checked(store.events(), store.checkpoint()).ok
    assert not checked([], Checkpoint(0, bytes(32))).ok


def test_an_edited_body(store: MemoryStore) -> None:
    """An event whose body was changed is named."""
    log = list(store.events())
    log[4] = replace(log[4], body=log[4].body.replace(b"laptop", b"laptap"))
    problems = checked(log, store.checkpoint()).problems
    assert problems[0] == "event 4 was changed: its body does not fit its hash"
    assert "root" in problems[1]


def test_an_edited_body_with_its_hash(store: MemoryStore) -> None:
    """Whoever computes the event's hash again still does not fit the head."""
    other = MemoryStore()
    for number in range(3):
        finish(other, begin(other, make_run(f"r{number}", reason="forged")))
    log = list(other.events()) + list(store.events(start=9))
    hash_, head = checked(log, store.checkpoint()).problems
    assert hash_.startswith("the stored hash over the events 8 to 9 is not the one of its events")
    assert store.checkpoint().root.hex() in head


@pytest.mark.parametrize("gone", [0, 5, 9])
def test_a_deleted_row(store: MemoryStore, gone: int) -> None:
    """A row that is gone is named by its number, or by where the log ends."""
    log = list(store.events())
    del log[gone]
    problems = checked(log, store.checkpoint()).problems
    first = f"event {gone} is missing" if gone < 9 else "the log ends after 9 events"
    assert problems[0].startswith(first)


def test_a_swapped_pair(store: MemoryStore) -> None:
    """Two events that changed places, with all that belongs to them, no longer fit the head."""
    log = list(store.events())
    log[1], log[2] = replace(log[2], seq=1), replace(log[1], seq=2)
    assert any("root" in problem for problem in checked(log, store.checkpoint()).problems)


def test_swapped_bodies(store: MemoryStore) -> None:
    """Two bodies that changed places are both named."""
    log = list(store.events())
    log[1], log[2] = replace(log[1], body=log[2].body), replace(log[2], body=log[1].body)
    problems = checked(log, store.checkpoint()).problems
    assert problems[0].startswith("event 1 was changed")
    assert any(problem.startswith("event 2 was changed") for problem in problems)


@pytest.mark.parametrize("column", ["id", "type", "run_id", "actor", "task", "environment", "time"])
def test_a_changed_column(store: MemoryStore, column: str) -> None:
    """Every column beside the body is compared with it."""
    log = list(store.events())
    log[3] = replace(log[3], beside=tuple({**log[3].columns, column: "forged"}.values()))
    (problem,) = checked(log, store.checkpoint()).problems
    assert problem.startswith(f"event 3 says {column} ")
    assert "'forged'" in problem


def test_a_row_too_many(store: MemoryStore) -> None:
    """An event beyond the head is found, though the tree below it is in order."""
    log = list(store.events())
    (problem,) = checked([*log, replace(log[9], seq=10, hashes=log[9].leaf)], store.checkpoint()).problems
    assert problem == "the log has 11 events, and its head counts 10"


def test_a_log_that_grows_meanwhile(store: MemoryStore) -> None:
    """Events that are appended while the log is read are no problem."""

    def growing() -> Iterable[StoredEvent]:
        yield from store.events()
        finish(store, begin(store, make_run("r5")))
        yield from store.events(start=10)

    result = verify(growing(), store.checkpoint, lambda _: False)
    assert (result.problems, result.size) == ((), 13)


def test_a_body_that_is_no_event(store: MemoryStore) -> None:
    """Bytes that cannot be read are a problem, not a crash."""
    log = list(store.events())
    log[2] = replace(log[2], body=b"\x00\xff")
    problems = checked(log, store.checkpoint()).problems
    assert problems[0].startswith("event 2 was changed")
    assert problems[1].startswith("event 2 cannot be read")


def test_a_body_that_is_nested_too_deep(store: MemoryStore) -> None:
    """Whoever appended it does not stop verification with it."""
    body = b'{"data":' + b"[" * 100_000
    log = [*store.events()]
    log[2] = replace(log[2], body=body, hashes=leaf_hash(body))
    problems = checked(log, store.checkpoint()).problems
    assert problems[0] == "event 2 cannot be read: its JSON is nested too deep"


def test_problems_are_counted_beyond_the_first(store: MemoryStore) -> None:
    """A log that is wrong everywhere does not fill the memory."""
    log = [replace(event, hashes=bytes(32), seq=event.seq * 2) for event in store.events()] * 3
    result = checked(log, store.checkpoint())
    assert len(result.problems) == PROBLEM_LIMIT
    assert result.more > 0


def log_of(*made: Event) -> MemoryStore:
    store = MemoryStore()
    for event in made:
        store.record(event)
    return store


RUN = make_run().claimed(PROCESS, later(1))
STARTING = events.starting(RUN, OBSERVER, later(1))
LOST = events.outcome(
    RUN.ended(Outcome(status=Status.LOST), later(2)), OBSERVER, later(2), evidence="its process is gone"
)
DONE = events.outcome(RUN.ended(Outcome(status=Status.SUCCEEDED), later(3)), OBSERVER, later(3))
RECOVERED = events.outcome(
    RUN.ended(Outcome(status=Status.SUCCEEDED), later(3)), OBSERVER, later(3), recovered=True
)


def again(event: Event) -> Event:
    return replace(event, id=events.new_event_id())


@pytest.mark.parametrize(
    "made",
    [
        (STARTING, DONE),
        (STARTING, RECOVERED),
        (STARTING, LOST),
        (STARTING, LOST, RECOVERED),
        (LOST,),
        (events.cancelled(RUN, OBSERVER, START, by=ANN),),
        (STARTING, events.cancelled(RUN, OBSERVER, START, by=ANN), DONE),
    ],
)
def test_starts_and_outcomes_that_fit(made: tuple[Event, ...]) -> None:
    """One outcome for each start; a lost run may be lost before it starts, and may come back once."""
    store = log_of(*made)
    assert checked(store.events(), store.checkpoint()).problems == ()


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ((STARTING,), "run r1 started with event 0 and has no outcome"),
        ((STARTING, again(STARTING), DONE), "event 1 starts run r1, which had started already"),
        ((DONE,), 0),
        ((RECOVERED,), 0),
        ((STARTING, DONE, again(DONE)), 2),
        ((STARTING, LOST, DONE), 2),
        ((STARTING, LOST, again(LOST)), 2),
        ((STARTING, LOST, RECOVERED, again(RECOVERED)), 3),
    ],
)  # fmt: skip
def test_starts_and_outcomes_that_do_not_fit(made: tuple[Event, ...], problem: int | str) -> None:
    """A missing, a doubled and a lone outcome are each named."""
    store = log_of(*made)
    if isinstance(problem, int):
        problem = f"event {problem} is an outcome of run r1 without a start of its own"
    assert checked(store.events(), store.checkpoint()).problems == (problem,)


def test_a_run_that_still_executes() -> None:
    """A start without an outcome is in order as long as the run is accounted for."""
    store = log_of(STARTING)
    assert checked(store.events(), store.checkpoint(), executing=["r1"]).ok


def rewritten() -> MemoryStore:
    """The same runs in a log that somebody made anew, whole and in order, with one reason changed."""
    store = MemoryStore()
    for number in range(3):
        finish(store, begin(store, make_run(f"r{number}", reason="another" if number == 1 else None)))
    return store


@pytest.mark.parametrize("size", [0, 1, 4, 10])
def test_a_remembered_checkpoint_of_the_same_log_fits(store: MemoryStore, size: int) -> None:
    """Every earlier size of a log that only grew still has its root."""
    result = verify(store.events(), store.checkpoint, lambda _: False, kept=[_head(store, size)])
    assert result.ok
    assert result.checkpoint == store.checkpoint()


def test_a_rewritten_log_does_not_fit_a_remembered_checkpoint(store: MemoryStore) -> None:
    """A log that fits together by itself is caught by a root that was kept elsewhere."""
    other = rewritten()
    assert verify(other.events(), other.checkpoint, lambda _: False).ok
    result = verify(other.events(), other.checkpoint, lambda _: False, kept=[_head(store, 9)])
    assert any("rewritten" in problem for problem in result.problems)


def test_a_cut_log_does_not_fit_a_remembered_checkpoint(store: MemoryStore) -> None:
    """Events that are gone from the end show by the size that was kept."""
    empty = MemoryStore()
    result = verify(empty.events(), empty.checkpoint, lambda _: False, kept=[store.checkpoint()])
    assert "once, and now it has 0" in result.problems[0]


def test_a_checkpoint_is_read_as_it_is_written(store: MemoryStore) -> None:
    """What is printed can be given back; anything else is refused."""
    kept = store.checkpoint()
    assert Checkpoint.parse(f" {kept}\n") == kept
    root = kept.root.hex()
    for wrong in ("", "10", root, f"-1:{root}", f"1:{root[:-1]}", "1:" + "x" * 64):
        with pytest.raises(ValueError):
            Checkpoint.parse(wrong)


def _head(store: MemoryStore, size: int) -> Checkpoint:
    frontier = Frontier()
    for stored in list(store.events())[:size]:
        frontier = frontier.append(stored.leaf)
    return frontier.checkpoint


def test_an_event_that_the_index_lacks(store: MemoryStore) -> None:
    """What a search would not find where it looks is named."""
    log = list(store.events())
    log[3] = replace(log[3], filed=False)
    result = checked(log, store.checkpoint())
    assert (result.first_bad, len(result.problems)) == (3, 1)
    assert "event 3 is not in the log's index" in result.problems[0]
