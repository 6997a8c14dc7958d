"""``python -m benchmarks.verify [RUNS]``: a large log against a small one, and against plain hashing.

A run has three events. Filled with 1,000,000 runs, a store takes some 8 GB of disk while it is looked at.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

from tests.postgres import serve

from benchmarks.fill import START, fill, fill_postgres
from oneoff.audit.receipt import make
from oneoff.audit.verify import verify
from oneoff.decoding import decode
from oneoff.protocols import EventQuery, RunQuery, Store
from oneoff.runs.status import ACTIVE, Status

RUNS = 100_000
FEW = 1_000
HASHINGS = 15.0
"""Verifying may take so many times as long as one SHA-256 of each event alone."""
GROWTH = 2.0
"""A filter may take so many times as long among many runs as among few."""
RECEIPT_MS = 10.0
MEMORY_MIB = 64
"""Beyond what the process had before."""


def main(runs: int) -> int:
    """Measure, print, and say by the exit code whether every limit holds."""
    held = list[bool]()
    with tempfile.TemporaryDirectory() as name:
        held += _measured("SQLite", runs, lambda which, number: fill(Path(name) / f"{which}.db", number))
    with serve(shared_buffers="256MB", max_wal_size="8GB") as server:
        held += _measured("PostgreSQL", runs, lambda which, number: fill_postgres(server, which, number))
    return 0 if all(held) else 1


def _measured(name: str, runs: int, filled: Callable[[str, int], Store]) -> list[bool]:
    start = time.perf_counter()
    few, many = filled("few", FEW), filled("many", runs)
    print(f"{name}, {runs:,} runs, filled in {time.perf_counter() - start:.0f} s", flush=True)
    looks = filters(runs).items()
    return [_verify(many), _receipts(many), *(_filter(words, look, few, many) for words, look in looks)]


def _verify(store: Store) -> bool:
    bodies = [event.body for event in islice(store.events(), 50_000)]
    hashing = [_hashing(bodies)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = verify(store.events(), store.checkpoint, lambda _: False, decode=decode)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    hashing.append(_hashing(bodies))
    per_hash = statistics.mean(hashing)
    assert found.ok, found.problems
    size = sum(map(len, bodies)) / len(bodies)
    print(
        f"verify {found.size:,} events of {size:.0f} bytes: {seconds:.1f} s, {grown:.0f} MiB more memory;"
        f" one hash: {per_hash * 1e6:.2f} µs"
    )
    return _holds("verify, in hashings", seconds / found.size / per_hash, HASHINGS) & _holds(
        "verify, in MiB", grown, MEMORY_MIB
    )


def _hashing(bodies: Sequence[bytes]) -> float:
    """Seconds for one of them; the mean, because a busy machine slows what it is compared with as much."""
    taken = [_seconds(lambda: [sha256(body).digest() for body in bodies]) for _ in range(20)]
    return statistics.mean(taken) / len(bodies)


def _receipts(store: Store) -> bool:
    taken = []
    for run in store.find(RunQuery(limit=100)):
        taken.append(
            _seconds(
                lambda run=run: make(  # type: ignore[misc]
                    run.id,
                    store.log_name(),
                    store.checkpoint(),
                    store.events(run_id=run.id),
                    store.hashes,
                )
            )
        )
    return _holds("a receipt, in ms", statistics.median(taken) * 1000, RECEIPT_MS)


def filters(runs: int) -> dict[str, Callable[[Store], object]]:
    """Each is asked in a way that has enough to show among few runs, too."""
    early = START + timedelta(seconds=min(runs, FEW) * 10)
    listings = {
        "all": RunQuery(limit=20),
        "under way": RunQuery(statuses=ACTIVE),
        "status": RunQuery(statuses=frozenset({Status.FAILED}), limit=20),
        "two statuses": RunQuery(statuses=frozenset({Status.FAILED, Status.SUCCEEDED}), limit=20),
        "a status that none has": RunQuery(statuses=frozenset({Status.LOST}), limit=20),
        "task": RunQuery(task="task-3", limit=20),
        "actor": RunQuery(actor="person-3", limit=20),
        "since": RunQuery(since=early, limit=20),
        "id": RunQuery(id_prefix="20260101-0010", limit=20),
    }
    searches = {
        "all": EventQuery(limit=20),
        "type": EventQuery(type="outcome", limit=20),
        "task": EventQuery(task="task-3", limit=20),
        "actor": EventQuery(actor="person-3", limit=20),
        "environment": EventQuery(environment="staging", limit=20),
        "table": EventQuery(table="table_3", limit=5),
        "table since": EventQuery(table="table_3", since=early, limit=5),
        "table until": EventQuery(table="table_3", until=early, limit=5),
        "not measured": EventQuery(measured=False, limit=20),
        "status": EventQuery(status=Status.FAILED, limit=20),
        "since": EventQuery(since=early, limit=20),
        "until": EventQuery(until=early, limit=20),
    }
    looks: dict[str, Callable[[Store], object]] = {}
    for words, query in listings.items():
        looks[f"runs, {words}"] = partial(_find, query=query)
    for words, search in searches.items():
        looks[f"log, {words}"] = partial(_search, query=search)
    return looks


def _find(store: Store, query: RunQuery) -> object:
    return store.find(query)


def _search(store: Store, query: EventQuery) -> object:
    return store.search(query)


def _filter(words: str, look: Callable[[Store], object], few: Store, many: Store) -> bool:
    ratios = []
    for _ in range(31):
        small, large = _seconds(lambda: look(few)), _seconds(lambda: look(many))
        ratios.append(large / small)
    return _holds(f"{words}, many to few", statistics.median(ratios), GROWTH)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _holds(words: str, measured: float, limit: float) -> bool:
    held = measured <= limit
    print(f"{words}: {measured:.2f}, limit {limit:.2f}: {'holds' if held else 'EXCEEDED'}", flush=True)
    return held


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS))
