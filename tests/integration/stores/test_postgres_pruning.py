"""Pruning in PostgreSQL: what the server itself demands of whoever prunes, and work beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from oneoff.audit import event as events
from oneoff.audit.merkle import completed, root_at
from oneoff.audit.retention import Cut
from oneoff.audit.verify import Verification, verify
from oneoff.errors import Refused, StoreConflict
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.postgres_admin import PostgresAdmin
from oneoff.stores.postgres_check import check
from tests.postgres import Server, database_of, let_go
from tests.records import ANN, OBSERVER, START, begin, finish, make_run, note


@pytest.fixture
def store(store_url: str) -> Iterator[PostgresStore]:
    """Two runs of three events each, just recorded, with times of long ago."""
    store = PostgresStore.open(store_url)
    for number in range(2):
        finish(store, begin(store, make_run(f"r{number}")))
    yield store
    store.close()


@pytest.fixture
def as_app(store_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(store_url, autocommit=True, options="") as connection:
        yield connection


def stated(store: PostgresStore, to: int) -> events.Event:
    cut = Cut(store.start(), to).statement(root_at(to, store.hashes), START, "old", None)
    return events.of_log("pruned", ANN, OBSERVER, START, **cut)


def cut_at(store: PostgresStore, to: int) -> None:
    store.prune(to, stated(store, to))


def verified(store: PostgresStore) -> Verification:
    places = [completed(seq) for seq in range(store.start())]
    found = store.hashes([place for of_one in places for place in of_one])
    hashes = [b"".join(found[place] for place in of_one) for of_one in places]
    return verify(store.events(), store.checkpoint, lambda _: False, pruned=hashes)


def test_the_servers_time_decides(store: PostgresStore, postgres: Server, store_url: str) -> None:
    """However old an event says it is: it stays as long as the owner wants, from when it was recorded."""
    cut = stated(store, 3)
    with pytest.raises(Refused, match=r"keeps every event for 400 days .*: event 0 stays until 20") as caught:
        store.prune(3, cut)
    assert (caught.value.exit_code, "--retention DAYS" in caught.value.next_step) == (3, True)
    assert (store.start(), store.checkpoint().size) == (0, 6)
    move = "UPDATE oneoff.audit_event SET recorded = recorded - interval '399 days 23 hours' WHERE seq < 3"
    guard = "ALTER TABLE oneoff.audit_event {} TRIGGER refuse_update"
    database = database_of(store_url)
    postgres.execute(guard.format("DISABLE"), move, guard.format("ENABLE ALWAYS"), database=database)
    with pytest.raises(Refused, match="event 0 stays"):
        store.prune(3, cut)
    move = move.replace("399 days 23 hours", "2 hours")
    postgres.execute(guard.format("DISABLE"), move, guard.format("ENABLE ALWAYS"), database=database)
    with pytest.raises(Refused, match="event 3 stays"):
        cut_at(store, 4)
    store.prune(3, cut)
    assert [event.seq for event in store.events()] == [3, 4, 5, 6]
    assert verified(store).problems == ()


def test_the_owner_says_how_long(store: PostgresStore, postgres: Server, store_url: str) -> None:
    """By `store init`, and again; without the option it stays as it was, and the app's role cannot."""
    admin = PostgresAdmin(postgres.url(database_of(store_url)), store_url)
    days = "SELECT retention_days FROM oneoff.store_version"

    def kept() -> int:
        return int(postgres.execute(days, database=database_of(store_url))[0][0])

    assert kept() == 400
    assert "no event is pruned within 30 days" in admin.init(None, 30)
    admin.init(None)
    assert kept() == 30
    with pytest.raises(Refused, match="for 30 days"):
        cut_at(store, 3)
    with psycopg.connect(store_url, options="") as connection, pytest.raises(psycopg.Error, match="denied"):
        connection.execute("UPDATE oneoff.store_version SET retention_days = 0")


def lying(**changes: Any) -> Any:
    """A statement that says something else."""

    def made(store: PostgresStore) -> bytes:
        envelope = json.loads(events.encode(stated(store, 3)))
        data = envelope["data"] | changes.pop("data", {})
        return events.canonical(envelope | {"data": data} | changes)

    return made


BARE = events.encode(events.of_log("pruned", ANN, OBSERVER, START))
LIES = {
    "another type": (3, lying(type="dev.oneoff.audit.log.queried.v1"), "states it"),
    "a later version": (3, lying(type="dev.oneoff.audit.log.pruned.v2"), "states it"),
    "another place": (4, lying(), "states it"),
    "a place as text": (3, lying(data={"to": "3"}), "states it"),
    "no event": (3, lambda _: b"", "type json"),
    "no bytes at all": (3, lambda _: None, "no event"),
    "no place": (None, lying(data={"to": None}), "states it"),
    "no place anywhere": (3, lambda _: BARE, "states it"),
    "neither place": (None, lambda _: BARE, "begin so"),
    "nothing": (0, lying(data={"to": 0}), "begin so"),
    "what is gone": (-1, lying(data={"to": -1}), "begin so"),
    "what will come": (99, lying(data={"to": 99}), "begin so"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_cut_that_is_not_stated(
    lie: str, store: PostgresStore, postgres: Server, store_url: str, as_app: psycopg.Connection[Any]
) -> None:
    """The role may call the function as it likes: without the event of just this cut nothing moves."""
    let_go(postgres, store_url)
    to, entry, words = LIES[lie]
    with pytest.raises(psycopg.Error, match=words):
        as_app.execute("SELECT oneoff.prune(%s, %s)", [to, entry(store)])
    assert (store.start(), store.checkpoint().size) == (0, 6)
    as_app.execute("SELECT oneoff.forget()")
    assert len(list(store.events())) == 6


def test_guards_stop_an_owner_after_a_cut(store: PostgresStore, postgres: Server, store_url: str) -> None:
    """Below the start an event may go, and only once its hash is kept; nothing else does."""
    let_go(postgres, store_url)
    cut_at(store, 3)
    for statement in (
        "DELETE FROM oneoff.audit_event WHERE seq = 0",
        "DELETE FROM oneoff.audit_event WHERE seq = 3",
        "DELETE FROM oneoff.audit_event_table WHERE seq >= 3",
        "UPDATE oneoff.audit_head SET start = 4",
        "UPDATE oneoff.audit_head SET start = 0",
        "UPDATE oneoff.audit_head SET start = 4, size = size + 1",
        "UPDATE oneoff.audit_event SET recorded = recorded - interval '1 year'",
    ):
        with pytest.raises(psycopg.Error, match="append-only"):
            postgres.execute(statement, database=database_of(store_url))
    assert not store.forget()
    left = postgres.execute("SELECT min(seq) FROM oneoff.audit_event", database=database_of(store_url))
    assert left == [(3,)]
    for statement in ("DELETE FROM oneoff.audit_pruned", "TRUNCATE oneoff.audit_pruned"):
        with pytest.raises(psycopg.Error, match="append-only"):
            postgres.execute(statement, database=database_of(store_url))
    assert verified(store).problems == ()
    assert [finding for finding in check(store_url) if not finding.ok] == []


def test_two_cuts_at_once(store: PostgresStore, postgres: Server, store_url: str) -> None:
    """One of them is made; the other is told that it came too late, and leaves no event."""
    let_go(postgres, store_url)
    stores, refused = [store, PostgresStore.open(store_url)], list[StoreConflict]()
    cuts, barrier = [stated(store, 3), stated(store, 3)], threading.Barrier(2)

    def work(number: int) -> None:
        barrier.wait()
        try:
            stores[number].prune(3, cuts[number])
        except StoreConflict as error:
            refused.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stores[1].close()
    assert [error.message for error in refused] == [
        "the audit log cannot be pruned up to event 3: it has the events 3 to 6"
    ]
    assert [event.columns["type"] for event in store.events()].count("log.pruned") == 1


def test_others_write_while_events_are_deleted(
    store: PostgresStore, postgres: Server, store_url: str
) -> None:
    """In pieces, by two at once, beside runs that begin and end: no gap, no error, every proof holds."""
    let_go(postgres, store_url)
    with psycopg.connect(store_url, options="") as connection:
        for _ in range(2_300):
            connection.execute("SELECT oneoff.record(%s)", [events.encode(note())])
    cut_at(store, 2_200)
    before, errors, pieces = store.checkpoint(), list[BaseException](), list[int]()

    def forget() -> None:
        other = PostgresStore.open(store_url)
        while other.forget():
            pieces.append(other.checkpoint().size)
        other.close()

    def run(name: str) -> None:
        other = PostgresStore.open(store_url)
        for number in range(15):
            finish(other, begin(other, make_run(f"{name}-{number}")))
        other.close()

    def guarded(work: Any, *args: str) -> None:
        try:
            work(*args)
        except BaseException as error:
            errors.append(error)

    jobs: list[tuple[Any, ...]] = [(forget,), (forget,), (run, "a"), (run, "b")]
    threads = [threading.Thread(target=guarded, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(pieces) == 2
    left = postgres.execute("SELECT min(seq) FROM oneoff.audit_event", database=database_of(store_url))
    assert left == [(2_200,)]
    found = verified(store)
    assert (found.problems, found.size) == ((), before.size + 2 * 15 * 3)


def test_a_run_that_comes_back_while_it_is_forgotten(
    store: PostgresStore, postgres: Server, store_url: str
) -> None:
    """Its record goes with its last event; one that comes in the last moment keeps it."""
    let_go(postgres, store_url)
    cut_at(store, 3)
    run = store.get(make_run("r0").id)
    answers = list[bool]()
    with psycopg.connect(postgres.url(database_of(store_url)), options="") as other:
        other.execute("SELECT FROM oneoff.run WHERE id = 'r0' FOR UPDATE")
        forgetting = threading.Thread(target=lambda: answers.append(store.forget()))
        forgetting.start()
        forgetting.join(0.3)
        assert forgetting.is_alive()
        late = events.outcome(run, OBSERVER, START + timedelta(seconds=9), recovered=True)
        other.execute("SELECT oneoff.record(%s)", [events.encode(late)])
    forgetting.join(10)
    assert answers == [False]
    assert store.get(run.id) == run
    assert [event.columns["type"] for event in store.events(run_id=run.id)] == ["outcome"]
