"""What an event of the audit log costs beside a plain insert of the same row, each durable at its commit."""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from tests.postgres import make_store, serve
from tests.records import make_run, note

from benchmarks.paired import ratio
from oneoff.audit.event import Event, encode, new_event_id
from oneoff.protocols import Store
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.sqlite import SqliteStore

LIMIT = 1.3
"""One writer: an append takes at most this many times as long as the insert."""
ROUNDS = 60
EACH = 32
"""Appends, and inserts, of one writer in each round: so every eighth round fills the index for 256 events."""
WRITERS = 8

Write = Callable[[], object]

_BARE = "(seq bigint PRIMARY KEY, event_id text, type text, run_id text, actor text, task text,"
_BARE += " environment text, time text, status text, measured boolean, leaf {bytes}, body {bytes})"


def main() -> int:
    """Measure, print, and say by the exit code whether the limit holds."""
    with serve(fsync="on", full_page_writes="on", synchronous_commit="on") as server:
        server.execute("CREATE DATABASE bench")
        url = make_store(server, "bench")
        server.execute(
            f"CREATE TABLE bare {_BARE.format(bytes='bytea')}",
            "CREATE TABLE alike (LIKE oneoff.audit_event INCLUDING ALL)",
            *(f"CREATE INDEX ON alike ({columns})" for columns in _INDEXES.values()),
            database="bench",
        )

        def store() -> Store:
            return PostgresStore.open(url)

        def inserting(table: str) -> Write:
            connection = psycopg.connect(server.url("bench"), autocommit=True, options="")
            insert = f"INSERT INTO {table} VALUES ({', '.join(['%s'] * 12)})".encode()
            return lambda: connection.execute(insert, _row())

        held = [_measure("PostgreSQL", store, inserting)]
    with tempfile.TemporaryDirectory() as name:
        held.append(_measure("SQLite", *_sqlite(Path(name))))
    return 0 if all(held) else 1


def _sqlite(folder: Path) -> tuple[Callable[[], Store], Callable[[str], Write]]:
    def store() -> Store:
        return SqliteStore.open(folder / "store.db")

    def inserting(table: str) -> Write:
        connection = sqlite3.connect(
            folder / f"{table}.db", timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} {_BARE.format(bytes='blob')}")
        if table == "alike":
            connection.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS by_id ON {table} (event_id)")
            for name, columns in _INDEXES.items():
                connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({columns})")
        insert = f"INSERT INTO {table} VALUES ({', '.join('?' * 12)})"
        return lambda: connection.execute(insert, _row())

    return store, inserting


_INDEXES = {"by_run": "run_id, seq", "by_time": "time, seq"} | {
    f"by_{name}": f"{name}, time, seq" for name in ("task", "actor", "environment", "type")
}
"""What somebody would write who wants to search such a table; the store has them in a table of their own."""
_places = itertools.count()
_EVENT = note(make_run())


def _event() -> Event:
    return replace(_EVENT, id=new_event_id())


def _row() -> tuple[Any, ...]:
    event = _event()
    beside = (event.id, "requested", "r1", "5f3759df", "purge", "local", "2026-03-01T12:00:00.000000Z")
    return (next(_places), *beside, None, None, bytes(32), encode(event))


def _measure(name: str, store: Callable[[], Store], inserting: Callable[[str], Write]) -> bool:
    writes = {"append": _appending(store()), "bare": inserting("bare"), "alike": inserting("alike")}
    for write in writes.values():
        for _ in range(EACH):
            write()
    taken: dict[str, list[float]] = {each: [] for each in writes}
    for _ in range(ROUNDS):
        for each, write in writes.items():
            taken[each].append(_seconds(write))
    for each, words in _WORDS.items():
        middle, mean = (f(taken[each]) / EACH * 1000 for f in (statistics.median, statistics.fmean))
        print(f"{name}: {words:46} {middle:6.3f} ms, {mean:.3f} on average, one writer")
    appends, inserts = (
        _together([_appending(store()) for _ in range(WRITERS)]),
        _together([inserting("bare") for _ in range(WRITERS)]),
    )
    print(f"{name}: {WRITERS} writers make {appends:,.0f} appends, or {inserts:,.0f} bare inserts, a second")
    alike, bare = (ratio(taken, "append", to) for to in ("alike", "bare"))
    summed = sum(taken["append"]) / sum(taken["bare"])
    print(f"{name}: append is {alike:.2f} × an insert with the same indexes")
    print(f"{name}: all appends together took {summed:.2f} × as long as all bare inserts")
    held = bare <= LIMIT
    print(
        f"{name}: append is {bare:.2f} × a bare insert, limit {LIMIT:.2f}: {'holds' if held else 'EXCEEDED'}"
    )
    return held


_WORDS = {
    "append": "append of an event",
    "bare": "insert of its row into a bare table",
    "alike": "insert of its row into a table with its indexes",
}


def _appending(store: Store) -> Write:
    return lambda: store.record(_event())


def _seconds(write: Write) -> float:
    start = time.perf_counter()
    for _ in range(EACH):
        write()
    return time.perf_counter() - start


def _together(writes: Sequence[Write]) -> float:
    """Writes a second of several connections at once."""
    barrier, each = threading.Barrier(len(writes) + 1), EACH * 5

    def work(write: Write) -> None:
        barrier.wait()
        for _ in range(each):
            write()

    threads = [threading.Thread(target=work, args=[write]) for write in writes]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return len(writes) * each / (time.perf_counter() - start)


if __name__ == "__main__":
    raise SystemExit(main())
