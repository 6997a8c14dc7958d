"""What every store has to do, whatever it keeps its records in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from oneoff.audit import event as events
from oneoff.audit import merkle
from oneoff.audit.event import Event
from oneoff.audit.merkle import EMPTY_ROOT, Checkpoint, root_of
from oneoff.audit.retention import Cut
from oneoff.audit.verify import verify
from oneoff.errors import AlreadyStarted, LockHeld, RunNotFound, StoreConflict
from oneoff.protocols import EventQuery, RunQuery, Store
from oneoff.runs.run import Actor, Outcome, Progress, Run
from oneoff.runs.status import Status
from oneoff.types import JSONObject, RunId
from tests.records import ANN, OBSERVER, PROCESS, ROWS, START, begin, finish, later, make_run, note

UNICODE = "größe Ω 漢字 \U0001f680 \x00 \u2028 broken \udcff"


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(0)`` to ``work(count - 1)`` at once; the first error is raised."""
    barrier, errors = threading.Barrier(count), list[BaseException]()

    def start(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def ids(store: Store, **query: object) -> list[str]:
    return [run.id for run in store.find(RunQuery(**query))]  # type: ignore[arg-type]  # built by name


def pruned(store: Store, to: int) -> events.Event:
    """The event that says that the log now begins with ``to``, where it can."""
    cut, size = Cut(store.start(), to), store.checkpoint().size
    stated = cut.statement(merkle.root_at(min(to, size), store.hashes), START, "old", None)
    return events.of_log("pruned", ANN, OBSERVER, START, **stated)


def _of_many(number: int) -> Event:
    """One of many events that differ in all that is searched for; times come out of order."""
    actor = Actor(kind="ci", name="bob", subject=f"b0b{number % 3}")
    run = make_run(f"r{number // 40}", actor=actor, task=f"task-{number % 4}", environment=f"e{number % 5}")
    at = later(number * 7 % 50)
    if number % 2:
        return events.requested(run, OBSERVER, at)
    rows: JSONObject | None = {f"t{number % 3}": {"deleted": 1}} if number % 4 else None
    status = Status.FAILED if number % 6 else Status.SUCCEEDED
    ended = replace(run, status=status, ended_at=at, outcome=Outcome(status=status, rows=rows))
    return events.outcome(ended, OBSERVER, at)


SEARCHES: tuple[dict[str, Any], ...] = (
    {},
    {"run_id": "r6"},
    {"type": "outcome"},
    {"task": "task-3"},
    {"actor": "b0b1"},
    {"environment": "e4"},
    {"table": "t1"},
    {"measured": True},
    {"measured": False},
    {"status": Status.FAILED},
    {"since": later(20), "until": later(33)},
    {"task": "task-2", "status": Status.SUCCEEDED},
)


def _compare_searches(store: Store) -> None:
    """Each search finds what a look at every event does."""
    there = list(store.events())
    for about in SEARCHES:
        query = EventQuery(**about)
        fitting = [event for event in there if query.fits(event.columns, {query.actor})]
        fitting.sort(key=lambda event: (event.columns["time"], event.seq))
        for limit in (None, 1, 7):
            newest = fitting if limit is None else fitting[max(0, len(fitting) - limit) :]
            assert store.search(replace(query, limit=limit)) == newest, (about, limit)
    for run_id in ("r0", "r6", "none"):
        of_run = [event for event in there if event.columns["run_id"] == run_id]
        assert list(store.events(run_id=RunId(run_id))) == of_run


class StoreContract:
    """Subclasses bring a fixture ``store``: an empty store."""

    # runs

    def test_create_and_get(self, store: Store) -> None:
        """A run that was created can be read, field for field."""
        run = make_run(parameters={"older_than": 90, "names": ["a", None]}, command=("npm", "run"))
        assert store.create(run, note(run)) == run
        assert store.get(run.id) == run

    def test_a_run_that_is_not_there(self, store: Store) -> None:
        """Reading, saving and beating an unknown run say that it is not there."""
        actions: list[Callable[[], object]] = [
            lambda: store.get(RunId("r404")),
            lambda: store.save(make_run("r404")),
            lambda: store.beat(RunId("r404"), 1, START, None),
        ]
        for action in actions:
            with pytest.raises(RunNotFound, match="r404"):
                action()

    def test_an_id_is_taken_once(self, store: Store) -> None:
        """The same id twice is refused, and leaves neither a change nor an event."""
        store.create(make_run(), note())
        with pytest.raises(AlreadyStarted, match="r1"):
            store.create(make_run(reason="second"), note())
        assert store.get(RunId("r1")).reason is None
        assert store.checkpoint().size == 1

    def test_save_replaces_the_record(self, store: Store) -> None:
        """A change is stored under the next version, and its event with it."""
        run = begin(store, make_run())
        assert run.version == 1
        done = finish(store, run)
        assert done.version == 2
        assert store.get(run.id) == done
        assert done.outcome == Outcome(status=Status.SUCCEEDED, exit_code=0, rows=ROWS, duration_ms=12)
        assert [event.columns["type"] for event in store.events()] == ["requested", "starting", "outcome"]

    def test_save_without_an_event(self, store: Store) -> None:
        """Not every change is an event."""
        run = store.create(make_run(), note())
        store.save(replace(run, stop_requested="cancel"))
        assert store.get(run.id).stop_requested == "cancel"
        assert store.checkpoint().size == 1

    def test_a_stale_save_is_refused(self, store: Store) -> None:
        """Whoever read an older version may not write over a newer one, and leaves no event."""
        stale = begin(store, make_run())
        store.save(replace(stale, stop_requested="cancel"))
        with pytest.raises(StoreConflict, match="r1"):
            finish(store, stale)
        assert store.get(stale.id).status is Status.RUNNING
        assert store.checkpoint().size == 2

    def test_unicode_everywhere(self, store: Store) -> None:
        """Text of any script comes back as it was, undecodable bytes of an argument included."""
        run = make_run(
            task=UNICODE,
            environment=UNICODE,
            actor=Actor(kind="human", name=UNICODE, subject="5f37", claims={UNICODE: UNICODE}),
            parameters={UNICODE: UNICODE},
            reason=UNICODE,
            command=(UNICODE,),
            lock=UNICODE,
        )
        store.create(run, note(run))
        assert store.get(run.id) == run
        assert verify(store.events(), store.checkpoint, lambda _: False).ok

    def test_a_parameter_of_a_megabyte(self, store: Store) -> None:
        """A large parameter is kept whole with the run; its event holds a digest and stays small."""
        run = make_run(parameters={"text": "ö" * 1_000_000})
        store.create(run, events.requested(run, OBSERVER, START))
        assert store.get(run.id) == run
        (event,) = store.events()
        assert len(event.body) < 2_000

    # searching the log

    def test_search(self, store: Store) -> None:
        """Each condition chooses, and together all of them have to hold; the newest come last."""
        begin(store, make_run("a1"))
        finish(store, begin(store, make_run("a2", task="report", environment="production")))
        other = make_run("b1", actor=Actor(kind="ci", name="bob", subject="b0b"))
        store.create(other, events.requested(other, OBSERVER, later(9)))
        store.record(events.of_log("queried", ANN, OBSERVER, later(10)))

        def found(**query: Any) -> list[tuple[Any, Any]]:
            return [
                (event.columns["run_id"], event.columns["type"])
                for event in store.search(EventQuery(**query))
            ]

        assert len(found()) == 7
        assert found(limit=2) == [("b1", "requested"), (None, "log.queried")]
        assert found(limit=0) == []
        assert found(run_id="a1") == [("a1", "requested"), ("a1", "starting")]
        assert found(type="outcome") == [("a2", "outcome")]
        assert found(task="report", type="starting") == [("a2", "starting")]
        assert len(found(environment="production")) == 3
        assert found(status=Status.SUCCEEDED) == found(measured=True) == [("a2", "outcome")]
        assert found(status=Status.FAILED) == found(measured=False) == []
        assert found(table="flights") == found(table="flights", task="report") == [("a2", "outcome")]
        assert found(table="airports") == found(table="flights", task="purge") == []
        assert found(actor="b0b") == [("b1", "requested")]
        assert found(since=later(9)) == [("b1", "requested"), (None, "log.queried")]
        assert found(since=later(9), until=later(10)) == [("b1", "requested")]

    def test_search_by_name(self, store: Store) -> None:
        """A name finds the events of every subject that the directory has under it."""
        for kind in ("human", "ci"):
            actor = Actor(kind=kind, name="ann")
            actor = replace(actor, subject=store.subject(actor))
            store.record(events.of_log("queried", actor, OBSERVER, START))
        store.record(note())
        assert [event.seq for event in store.search(EventQuery(actor="ann"))] == [0, 1]
        assert [event.seq for event in store.search(EventQuery(actor="ann", limit=1))] == [1]

    def test_search_a_longer_log(self, store: Store) -> None:
        """What is in an index and what is not there yet are found alike, at every length of the log."""
        made = [_of_many(number) for number in range(280)]
        for number, event in enumerate(made):
            store.record(event)
            if number in (254, 255, 256, 279):
                _compare_searches(store)
        store.prune(258, pruned(store, 258))
        while store.forget():
            pass
        _compare_searches(store)
        assert all(event.filed for event in store.events())

    # the tree

    def test_hashes_of_the_tree(self, store: Store) -> None:
        """The hashes of complete subtrees prove every event, and that the log only grew."""
        checkpoints = [store.checkpoint()]
        for _ in range(11):
            store.record(note())
            checkpoints.append(store.checkpoint())
        now, leaves = checkpoints[-1], [event.leaf for event in store.events()]
        for index, leaf in enumerate(leaves):
            proof = merkle.inclusion_proof(index, now.size, store.hashes)
            assert merkle.verify_inclusion(leaf, index, proof, now)
        for earlier in checkpoints:
            proof = merkle.consistency_proof(earlier.size, now.size, store.hashes)
            assert merkle.verify_consistency(earlier, now, proof)

    def test_a_log_has_a_name(self, store: Store) -> None:
        """The name is given once."""
        assert len(store.log_name()) == 32
        assert store.log_name() == store.log_name()

    # finding

    def test_newest_first(self, store: Store) -> None:
        """Runs are listed by the time of their request, then by id, newest first."""
        for number in (2, 0, 1):
            store.create(make_run(f"r{number}", requested_at=later(number)), note())
        store.create(make_run("r1b", requested_at=later(1)), note())
        assert ids(store) == ["r2", "r1b", "r1", "r0"]
        assert ids(store, limit=2) == ["r2", "r1b"]
        assert ids(store, limit=0) == []

    def test_filters(self, store: Store) -> None:
        """Each filter chooses, and together all of them have to fit."""
        begin(store, make_run("a1"))
        finish(store, begin(store, make_run("a2", requested_at=later(10), task="report")))
        bob = Actor(kind="ci", name="bob", subject="b0b")
        store.create(make_run("b1", requested_at=later(20), actor=bob), note())
        assert ids(store, statuses=frozenset({Status.RUNNING, Status.REQUESTED})) == ["b1", "a1"]
        assert ids(store, statuses=frozenset()) == []
        assert ids(store, task="report") == ["a2"]
        assert ids(store, actor="bob") == ids(store, actor="b0b") == ["b1"]
        assert ids(store, since=later(10)) == ["b1", "a2"]
        assert ids(store, since=later(10).astimezone(timezone(timedelta(hours=5)))) == ["b1", "a2"]
        assert ids(store, id_prefix="a") == ["a2", "a1"]
        assert ids(store, id_prefix="%") == ids(store, id_prefix="")[3:] == []
        assert ids(store, task="purge", actor="ann", since=START, id_prefix="a", limit=5) == ["a1"]
        assert ids(store, task=UNICODE) == []

    # locks

    def test_a_lock_is_held_by_one(self, store: Store) -> None:
        """A second run under a lock is told which run holds it, since when and where."""
        begin(store, make_run("r1", lock="flights"))
        second = store.create(make_run("r2", lock="flights"), note())
        with pytest.raises(LockHeld) as caught:
            store.save(second.claimed(PROCESS, later(5)), note())
        assert caught.value.message == (
            'the lock "flights" is held by run r1 of purge,'
            " executing since 2026-03-01T12:00:01.000000Z on laptop"
        )
        assert "oneoff cancel r1" in caught.value.next_step
        assert store.get(second.id) == second
        assert store.checkpoint().size == 3

    def test_a_stopping_run_holds_its_lock(self, store: Store) -> None:
        """A run that was asked to stop is still at work."""
        first = begin(store, make_run("r1", lock="flights"))
        first = store.save(first.to(Status.STOPPING))
        second = store.create(make_run("r2", lock="flights"), note())
        with pytest.raises(LockHeld):
            store.save(second.claimed(PROCESS, later(5)))
        finish(store, first)
        assert store.save(second.claimed(PROCESS, later(5))).status is Status.RUNNING

    def test_locks_of_other_names_are_free(self, store: Store) -> None:
        """Only the same name excludes; runs without a lock never do."""
        for number, lock in enumerate(("a", "b", None, None)):
            begin(store, make_run(f"r{number}", lock=lock))
        assert len(ids(store, statuses=frozenset({Status.RUNNING}))) == 4

    # beats

    def test_a_beat_is_no_change(self, store: Store) -> None:
        """A beat shows life and progress; it keeps the version and returns the record as it is now."""
        run = begin(store, make_run())
        stopping = store.save(replace(run, stop_requested="cancel"))
        beaten = store.beat(run.id, run.fence, later(9), Progress(done=5, total=10, message="half"))
        assert beaten == replace(
            stopping, heartbeat_at=later(9), progress=Progress(done=5, total=10, message="half")
        )
        assert store.get(run.id) == beaten
        assert store.find(RunQuery()) == [beaten]

    def test_a_beat_without_progress_keeps_the_last(self, store: Store) -> None:
        """No news of progress is no news."""
        run = begin(store, make_run())
        store.beat(run.id, run.fence, later(8), Progress(done=5))
        beaten = store.beat(run.id, run.fence, later(9), None)
        assert beaten is not None
        assert (beaten.heartbeat_at, beaten.progress) == (later(9), Progress(done=5))

    def test_a_stale_fence(self, store: Store) -> None:
        """A process that lost the run is told so, and changes nothing."""
        run = begin(store, make_run())
        assert store.beat(run.id, run.fence - 1, later(9), Progress(done=1)) is None
        assert store.beat(run.id, run.fence + 1, later(9), Progress(done=1)) is None
        assert store.get(run.id) == run

    def test_a_beat_after_the_end(self, store: Store) -> None:
        """The record of a run that has ended is returned, and not touched: `lost` may have been too early."""
        run = finish(store, begin(store, make_run()), Status.LOST)
        assert store.beat(run.id, run.fence, later(99), Progress(done=1)) == run
        assert store.get(run.id) == run

    def test_a_save_does_not_undo_a_beat(self, store: Store) -> None:
        """A beat that came after the run was read outlives the change."""
        run = begin(store, make_run())
        store.beat(run.id, run.fence, later(9), Progress(done=5))
        saved = store.save(replace(run, stop_requested="cancel"))
        assert (saved.heartbeat_at, saved.progress) == (later(9), Progress(done=5))
        assert store.get(run.id) == saved

    def test_a_save_brings_newer_progress(self, store: Store) -> None:
        """Progress at the time of the last beat, or later, is stored with the change."""
        run = begin(store, make_run())
        beaten = store.beat(run.id, run.fence, later(9), Progress(done=5))
        assert beaten is not None
        store.save(replace(beaten, progress=Progress(done=6)))
        assert store.get(run.id).progress == Progress(done=6)

    # the audit log

    def test_an_empty_log(self, store: Store) -> None:
        """A new log has no events, and the root of the empty tree."""
        assert store.checkpoint() == Checkpoint(0, EMPTY_ROOT)
        assert list(store.events()) == []

    def test_events_in_order(self, store: Store) -> None:
        """Events come in order, with their bytes as they were, from any place, for all or one run."""
        made = [note(make_run(f"r{number % 3}")) for number in range(20)]
        for event in made:
            store.record(event)
        stored = list(store.events())
        assert [event.seq for event in stored] == list(range(20))
        assert [event.body for event in stored] == [events.encode(event) for event in made]
        assert [event.columns for event in stored] == [
            events.columns(events.decode(event.body)) for event in stored
        ]
        assert list(store.events(start=15)) == stored[15:]
        assert list(store.events(start=20)) == []
        assert list(store.events(run_id=RunId("r1"))) == stored[1::3]
        assert list(store.events(start=5, run_id=RunId("r1"))) == stored[7::3]
        assert store.checkpoint() == Checkpoint(20, root_of([event.leaf for event in stored]))

    def test_more_events_than_are_read_at_once(self, store: Store) -> None:
        """A long log is read whole, also while it grows."""
        for _ in range(510):
            store.record(note())
        reading = store.events()
        first = next(reading)
        store.record(note())
        assert [first.seq, *(event.seq for event in reading)][:510] == list(range(510))
        assert len(list(store.events(run_id=RunId("r1")))) == 511

    def test_an_event_is_recorded_once(self, store: Store) -> None:
        """The same event id twice is refused, and takes the change of the run with it."""
        event = note()
        run = store.create(make_run(), event)
        actions: list[Callable[[], object]] = [
            lambda: store.record(event),
            lambda: store.save(replace(run, reason="changed"), event),
            lambda: store.create(make_run("r2"), event),
        ]
        for action in actions:
            with pytest.raises(StoreConflict, match=event.id):
                action()
        assert store.get(run.id) == run
        assert ids(store) == ["r1"]
        assert store.checkpoint().size == 1

    def test_an_event_that_does_not_fit_leaves_no_change(self, store: Store) -> None:
        """Where the event cannot be recorded, the run does not change."""
        run = store.create(make_run(), note())
        monster = replace(note(), data={"text": "x" * 70_000})
        actions: list[Callable[[], object]] = [
            lambda: store.save(replace(run, reason="changed"), monster),
            lambda: store.create(make_run("r2"), monster),
        ]
        for action in actions:
            with pytest.raises(ValueError, match="does not fit"):
                action()
        assert (store.get(run.id), ids(store)) == (run, ["r1"])

    # actors

    def test_subjects(self, store: Store) -> None:
        """An actor has one opaque subject for ever, told apart by kind and name; the directory knows whom."""
        ann = store.subject(ANN)
        assert ann == store.subject(replace(ANN, subject="", claims={"CI_USER": "x"}))
        assert (
            len({ann, store.subject(replace(ANN, kind="ci")), store.subject(replace(ANN, name="bob"))}) == 3
        )
        assert "ann" not in ann
        assert store.actors()[ann] == Actor(kind="human", name="ann", subject=ann)
        assert len(store.actors()) == 3

    def test_a_subject_of_any_script(self, store: Store) -> None:
        """A name in any script has a subject, too."""
        actor = Actor(kind="human", name=UNICODE)
        assert store.subject(actor) == store.subject(actor)

    # a run that went by without the store

    def test_adopt(self, store: Store) -> None:
        """The run and all its events at once; a taken id or an event that is there leaves nothing behind."""
        run = make_run("r1", status=Status.FAILED, outcome=Outcome(status=Status.FAILED))
        told = [note(run), note(run), note(run)]
        store.adopt(run, told)
        assert store.get(run.id) == run
        assert [event.body for event in store.events()] == [events.encode(event) for event in told]
        with pytest.raises(AlreadyStarted):
            store.adopt(run, [note(run)])
        with pytest.raises(StoreConflict):
            store.adopt(replace(run, id=RunId("r2")), [told[0]])
        assert (ids(store), store.checkpoint().size) == (["r1"], 3)

    # pruning and erasing

    def test_prune(self, store: Store) -> None:
        """What was pruned is gone for every reader; every proof and every earlier checkpoint still holds."""
        checkpoints, leaves = [store.checkpoint()], list[bytes]()
        for number in range(4):
            finish(store, begin(store, make_run(f"r{number}")))
        begin(store, make_run("at-work"))
        for event in store.events():
            leaves.append(event.leaf)
            checkpoints.append(Checkpoint(len(leaves), root_of(leaves)))
        assert store.start() == 0
        store.prune(7, pruned(store, 7))
        assert store.start() == 7
        assert [event.seq for event in store.events()] == list(range(7, 15))
        while store.forget():
            pass
        assert [event.seq for event in store.events(start=3)] == list(range(7, 15))
        assert sorted(event.seq for event in store.search(EventQuery(task="purge"))) == list(range(7, 14))
        assert list(store.events(run_id=RunId("r1"))) == []
        assert [event.seq for event in store.events(run_id=RunId("r2"))] == [7, 8]
        assert ids(store) == ["r3", "r2", "at-work"]
        now = store.checkpoint()
        leaves.append(list(store.events())[-1].leaf)
        assert now == Checkpoint(15, root_of(leaves))
        for index, leaf in enumerate(leaves):
            proof = merkle.inclusion_proof(index, now.size, store.hashes)
            assert merkle.verify_inclusion(leaf, index, proof, now)
        for earlier in checkpoints:
            proof = merkle.consistency_proof(earlier.size, now.size, store.hashes)
            assert merkle.verify_consistency(earlier, now, proof)

    def test_prune_what_is_not_there(self, store: Store) -> None:
        """The start moves forward only, and not beyond the end; a refusal leaves no event."""
        for _ in range(4):
            store.record(note())
        store.prune(2, pruned(store, 2))
        for to in (0, 1, 2, 6):
            with pytest.raises(StoreConflict, match="pruned"):
                store.prune(to, pruned(store, to))
        assert (store.start(), store.checkpoint().size) == (2, 5)
        assert not store.forget()
        store.prune(5, pruned(store, 5))
        assert not store.forget()
        assert [event.seq for event in store.events()] == [5]

    def test_prune_everything_of_a_run_under_way(self, store: Store) -> None:
        """The record of a run under way stays, whatever was pruned."""
        begin(store, make_run("at-work"))
        store.prune(2, pruned(store, 2))
        assert not store.forget()
        assert ids(store) == ["at-work"]

    def test_erase(self, store: Store) -> None:
        """A name is gone from the directory and the runs; its subject stays, and no hash changes."""
        subjects = [store.subject(replace(ANN, kind=kind)) for kind in ("human", "ci", "claim SUDO_USER")]
        bob = store.subject(Actor(kind="human", name="bob"))
        store.create(make_run("r1", actor=replace(ANN, subject=subjects[0]), reason="for ann"), note())
        claims = {"SUDO_USER": "ann", "CI": "1"}
        store.create(make_run("r2", actor=Actor(kind="ci", name="root", claims=claims)), note())
        store.create(make_run("r3", actor=Actor(kind="human", name="joann", subject=bob)), note())
        before = store.checkpoint()
        assert store.erase("ann", events.about_actor("actor.erased", ANN, OBSERVER, START)) == 2
        assert {store.actors()[subject].name for subject in subjects} == {""}
        assert store.actors()[bob].name == "bob"
        first, second = store.get(RunId("r1")), store.get(RunId("r2"))
        assert (first.actor.name, first.actor.subject, first.reason) == ("", subjects[0], "for ann")
        assert (second.actor.name, second.actor.claims) == ("root", {"SUDO_USER": "", "CI": "1"})
        assert store.get(RunId("r3")).actor.name == "joann"
        assert (ids(store, actor="ann"), ids(store, actor=subjects[0])) == ([], ["r1"])
        assert [event.columns["type"] for event in store.events(start=before.size)] == ["actor.erased"]
        assert store.subject(ANN) not in subjects
        assert verify(store.events(), store.checkpoint, lambda _: True, kept=[before]).problems == ()

    # many at once

    def test_one_thread_wins(self, store: Store) -> None:
        """Of many that change the same version, one wins; the others are told."""
        run, wins = begin(store, make_run()), list[Run]()

        def change(number: int) -> None:
            try:
                wins.append(store.save(replace(run, reason=str(number)), note()))
            except StoreConflict:
                return

        in_threads(8, change)
        assert [store.get(run.id)] == wins
        assert store.checkpoint().size == 3

    def test_no_change_is_lost(self, store: Store) -> None:
        """Threads that try again until they win all get their change in, and the log has no gap."""
        run = begin(store, make_run(progress=Progress(done=0)))

        def count(number: int) -> None:
            for _ in range(5):
                while True:
                    now = store.get(run.id)
                    assert now.progress is not None
                    try:
                        store.save(replace(now, progress=Progress(done=now.progress.done + 1)), note())
                        break
                    except StoreConflict:
                        continue

        in_threads(4, count)
        assert store.get(run.id).progress == Progress(done=20)
        assert verify(store.events(), store.checkpoint, lambda _: True).problems == ()
        assert store.checkpoint().size == 22

    def test_one_run_gets_the_lock(self, store: Store) -> None:
        """Of many runs that start under one lock at once, one executes."""
        runs = [store.create(make_run(f"r{number}", lock="one"), note()) for number in range(6)]
        refused = list[str]()

        def start(number: int) -> None:
            try:
                store.save(runs[number].claimed(PROCESS, later(1)))
            except LockHeld:
                refused.append(runs[number].id)

        in_threads(6, start)
        assert len(refused) == 5
        assert len(ids(store, statuses=frozenset({Status.RUNNING}))) == 1

    def test_beats_beside_changes(self, store: Store) -> None:
        """A heartbeat in one thread and changes in another do not disturb each other."""
        run = begin(store, make_run())

        def work(number: int) -> None:
            nonlocal run
            for step in range(20):
                if number:
                    assert store.beat(run.id, 1, later(step + 5), Progress(done=step)) is not None
                else:
                    run = store.save(replace(run, reason=str(step)), note())

        in_threads(2, work)
        now = store.get(run.id)
        assert (now.version, now.reason, now.progress) == (21, "19", Progress(done=19))

    def test_times_in_any_zone(self, store: Store) -> None:
        """Times are kept as moments; the zone they were given in does not matter."""
        moment = datetime(2026, 3, 1, 17, 0, tzinfo=timezone(timedelta(hours=5)))
        run = store.create(make_run(requested_at=moment), note())
        assert store.get(run.id).requested_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
