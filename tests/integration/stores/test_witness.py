"""The file in which a user's own oneoff remembers what it has seen."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest

from oneoff.audit.merkle import Checkpoint
from oneoff.audit.witness import Sighting
from oneoff.stores import witness as witness_module
from oneoff.stores.witness import FileWitness
from tests.forks import in_child
from tests.records import START

PLACE = "/srv/shop/.oneoff/store.db"


def sighting(size: int, log: str = "a" * 32) -> Sighting:
    return Sighting(log=log, checkpoint=Checkpoint(size, bytes([size % 256]) * 32), at=START)


class Told:
    """A witness with what it said."""

    def __init__(self, folder: Path, place: str = PLACE) -> None:
        self.said: list[str] = []
        self.witness = FileWitness(folder, place, self.said.append)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "oneoff"


def test_what_is_remembered_is_recalled(folder: Path) -> None:
    """Each place by itself; the first look makes the folder and the file, private."""
    one, other = Told(folder), Told(folder, "postgresql://db/shop")
    assert one.witness.recall() is None
    assert one.witness.remember(sighting(3))
    assert other.witness.remember(sighting(9))
    assert (one.witness.recall(), other.witness.recall()) == (sighting(3), sighting(9))
    file = folder / "checkpoints.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert json.loads(file.read_text())[PLACE] == {
        "log": "a" * 32,
        "size": 3,
        "root": "03" * 32,
        "time": "2026-03-01T12:00:00.000000Z",
    }
    assert one.said == []


def test_nothing_is_forgotten_by_itself(folder: Path) -> None:
    """Neither a longer log nor another one gives way, save to somebody who says so."""
    witness = Told(folder).witness
    witness.remember(sighting(5))
    for less in (sighting(4), sighting(5), sighting(9, "b" * 32)):
        assert not witness.remember(less)
        assert witness.recall() == sighting(5)
    assert witness.remember(sighting(6))
    assert witness.remember(sighting(2, "b" * 32), instead=True)
    assert witness.recall() == sighting(2, "b" * 32)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "\x00" * 20,
        json.dumps({PLACE: 3}),
        json.dumps({PLACE: {"log": "a", "size": -1, "root": "00" * 32, "time": "2026-03-01T12:00:00Z"}}),
        json.dumps({PLACE: {"log": "a", "size": 1, "root": "00" * 32}}),
        json.dumps({PLACE: {"log": "a", "size": 1, "root": "zz" * 32, "time": "2026-03-01T12:00:00Z"}}),
    ],
)
def test_a_broken_file_is_put_aside(folder: Path, text: str) -> None:
    """It is said once, and from then on there is a whole file again."""
    folder.mkdir(parents=True)
    (folder / "checkpoints.json").write_text(text)
    told = Told(folder)
    assert told.witness.recall() is None
    assert told.witness.remember(sighting(3))
    assert told.witness.recall() == sighting(3)
    assert len(told.said) == 1
    assert "put aside" in told.said[0]
    assert (folder / "checkpoints.json.broken").read_text() == text
    again = Told(folder)
    assert (again.witness.recall(), again.said) == (sighting(3), [])


def test_a_folder_that_cannot_be_written(open_to_all: Path) -> None:
    """It is said once; nothing else happens."""
    folder = open_to_all / "kept"
    folder.mkdir()
    folder.chmod(0o555)

    def work() -> str:
        told = Told(folder)
        assert told.witness.recall() is None
        assert not told.witness.remember(sighting(3))
        assert not told.witness.remember(sighting(4))
        return str(len(told.said))

    assert in_child(work, as_nobody=True) == "1"


@pytest.mark.parametrize("obstacle", ["folder", "file"])
def test_something_in_the_way(folder: Path, obstacle: str) -> None:
    """A file where the folder belongs, a folder where the file belongs: said once, and nothing else."""
    if obstacle == "folder":
        folder.parent.mkdir(parents=True)
        folder.write_text("in the way")
    else:
        (folder / "checkpoints.json").mkdir(parents=True)
    told = Told(folder)
    assert told.witness.recall() is None
    assert not told.witness.remember(sighting(3))
    assert len(told.said) == 1


def test_a_file_that_another_process_holds_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped while it wrote keeps nobody waiting."""
    monkeypatch.setattr(witness_module, "LOCK_SECONDS", 0.05)
    told = Told(folder)
    told.witness.remember(sighting(3))
    with (folder / "checkpoints.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not told.witness.remember(sighting(4))
    assert len(told.said) == 1
    assert told.witness.recall() == sighting(3)


def _write(folder: str, number: int) -> None:
    told = Told(Path(folder), f"/store/{number}")
    for size in range(1, 21):
        assert told.witness.remember(sighting(size)), told.said
        assert Told(Path(folder), "/store/shared").witness.remember(sighting(size)) or True


def test_many_processes_at_once(folder: Path) -> None:
    """No store's entry is lost, and of the one that all write the longest stays."""
    context: Any = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(str(folder), number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 4
    for place in (*(f"/store/{number}" for number in range(4)), "/store/shared"):
        assert Told(folder, place).witness.recall() == sighting(20), place
