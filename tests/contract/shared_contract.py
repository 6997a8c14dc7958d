"""What every store has to do that several processes share."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oneoff.audit.verify import verify
from oneoff.protocols import RunQuery, Store
from oneoff.runs.status import Status
from oneoff.types import RunId
from tests.contract.store_contract import StoreContract
from tests.contract.worker import open_store
from tests.records import make_run, note

ROOT = Path(__file__).parents[2]
WRITERS = 4


@contextmanager
def workers(
    mode: str, address: str, names: list[str], count: int = 1
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that use the store; whatever still lives at the end is killed."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.worker", mode, address, name, str(count)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in names
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            with process:  # closes its pipes and waits for it
                pass


class SharedStoreContract(StoreContract):
    """Subclasses bring a fixture ``address``, which ``open_store`` opens, and a ``store`` opened there."""

    def raced(self, mode: str, address: str) -> list[str]:
        """What each of four processes says that tried the same at the same moment."""
        with workers(mode, address, [f"w{number}" for number in range(WRITERS)]) as processes:
            for process in processes:
                assert process.stdout and process.stdout.readline() == "ready\n"
            for process in processes:
                assert process.stdin
                process.stdin.write("go\n")
                process.stdin.flush()
            return [process.stdout.readline().strip() for process in processes if process.stdout]

    def test_one_process_wins(self, store: Store, address: str) -> None:
        """Of several processes that change the same version, one wins; the others are told."""
        store.create(make_run("shared"), note())
        assert sorted(self.raced("change", address)) == ["lost", "lost", "lost", "won"]
        assert store.get(RunId("shared")).version == 1
        assert store.checkpoint().size == 2

    def test_one_process_gets_the_lock(self, store: Store, address: str) -> None:
        """Of several processes that start under one lock, one executes."""
        assert sorted(self.raced("lock", address)) == ["lost", "lost", "lost", "won"]
        assert len(store.find(RunQuery(statuses=frozenset({Status.RUNNING})))) == 1

    def test_processes_append_without_a_gap(self, store: Store, address: str) -> None:
        """Several processes at once leave one log, gapless and in order."""
        with workers("complete", address, ["a", "b", "c", "d"], 5) as processes:
            for process in processes:
                process.communicate()
                assert process.returncode == 0
        result = verify(store.events(), store.checkpoint, lambda _: False)
        assert (result.problems, result.size) == ((), 4 * 5 * 3)

    def test_killed_writers(self, store: Store, address: str) -> None:
        """Writers killed at any moment leave a whole log, and nothing acknowledged is missing."""
        self.kill_rounds(store, address, rounds=2)

    @pytest.mark.slow
    def test_killed_writers_many_times(self, store: Store, address: str) -> None:
        """The same, for long."""
        self.kill_rounds(store, address, rounds=40)

    @pytest.mark.timeout(240)  # 15 s on a machine that has nothing else to do
    def test_no_kill_leaves_a_gap(self, store: Store, address: str, tmp_path: Path) -> None:
        """Of 8 writers at work all the time, 20 are killed: no gap, nothing lost, nothing twice."""
        self.kill_one_by_one(store, address, tmp_path, kills=20)

    @pytest.mark.slow
    def test_no_kill_leaves_a_gap_for_long(self, store: Store, address: str, tmp_path: Path) -> None:
        """The same, ten times as long."""
        self.kill_one_by_one(store, address, tmp_path, kills=200)

    def kill_one_by_one(self, store: Store, address: str, folder: Path, kills: int) -> None:
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        working = dict[str, subprocess.Popen[str]]()

        def start(name: str) -> None:
            command = [sys.executable, "-m", "tests.contract.worker", "complete", address, name, "10000"]
            with (folder / name).open("w") as said:
                working[name] = subprocess.Popen(command, cwd=ROOT, text=True, stdout=said)

        try:
            for number in range(kills + 8):
                start(f"w{number}")
                if number < 8:
                    continue
                victim = chance.choice(sorted(working))
                while not (folder / victim).stat().st_size:
                    time.sleep(0.01)  # it has to be at work
                time.sleep(chance.random() / 20)
                working[victim].kill()
                working.pop(victim).wait()
        finally:
            for process in working.values():
                process.kill()
                process.wait()
        acknowledged = {
            line.strip()
            for number in range(kills + 8)
            for line in (folder / f"w{number}").read_text().splitlines(keepends=True)
            if line.endswith("\n")
        }
        result = verify(store.events(), store.checkpoint, lambda run_id: store.get(run_id).active)
        recorded = [f"{event.columns['type']} {event.columns['run_id']}" for event in store.events()]
        assert result.problems == (), f"seed {seed}"
        assert len(recorded) == len(set(recorded)), f"seed {seed}"
        assert sorted(acknowledged - set(recorded)) == [], f"seed {seed}"
        assert len(acknowledged) > kills

    def kill_rounds(self, store: Store, address: str, rounds: int) -> None:
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        acknowledged = set[str]()
        for number in range(rounds):
            names = [f"k{number}-{writer}" for writer in range(WRITERS)]
            with workers("complete", address, names, 10_000) as processes:
                for process in processes:
                    assert process.stdout
                    for _ in range(chance.randrange(1, 12)):
                        acknowledged.add(process.stdout.readline().strip())
                for process in processes:
                    process.kill()
                    assert process.stdout
                    acknowledged.update(process.stdout.read().splitlines())
        again = open_store(address)
        result = verify(again.events(), again.checkpoint, lambda run_id: again.get(run_id).active)
        recorded = {f"{event.columns['type']} {event.columns['run_id']}" for event in again.events()}
        again.close()
        assert result.problems == (), f"seed {seed}"
        assert sorted(acknowledged - recorded) == [], f"seed {seed}"
        assert len(acknowledged) > rounds * WRITERS
