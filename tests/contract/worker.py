"""A process of its own that uses a store: ``python -m tests.contract.worker MODE ADDRESS NAME COUNT``.

Prints one line for each thing that the store has acknowledged, so that a test can demand it after a kill.
"""

from __future__ import annotations

import sys
from pathlib import Path

from oneoff.errors import LockHeld, StoreConflict
from oneoff.protocols import Store
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.sqlite import SqliteStore
from oneoff.types import RunId
from tests.records import PROCESS, begin, finish, later, make_run, note


def open_store(address: str) -> Store:
    """The store at a path, or at a PostgreSQL URL."""
    return PostgresStore.open(address) if "://" in address else SqliteStore.open(Path(address))


def complete_runs(store: Store, name: str, count: int) -> None:
    """Run after run, from the request to the outcome."""
    for number in range(count):
        run_id = f"{name}-{number}"
        run = begin(store, make_run(run_id))
        print(f"starting {run_id}", flush=True)
        finish(store, run)
        print(f"outcome {run_id}", flush=True)


def change_version(store: Store, name: str, count: int) -> None:
    """One try to change the run ``shared`` from version 0."""
    store.get(RunId("shared"))
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        store.save(make_run("shared", reason=name), note())
        print("won", flush=True)
    except StoreConflict:
        print("lost", flush=True)


def take_lock(store: Store, name: str, count: int) -> None:
    """One try to start a run of its own under the lock ``one``."""
    run = store.create(make_run(name, lock="one"), note())
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        store.save(run.claimed(PROCESS, later(1)), note())
        print("won", flush=True)
    except LockHeld:
        print("lost", flush=True)


MODES = {"complete": complete_runs, "change": change_version, "lock": take_lock}

if __name__ == "__main__":
    mode, address, name, count = sys.argv[1:]
    MODES[mode](open_store(address), name, int(count))
