"""Room for an outcome, taken before the run starts."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from oneoff.errors import StoreUnavailable
from oneoff.stores.spool import ROOM_BYTES, FileSpool
from oneoff.types import RunId
from tests.forks import in_child

R1, R2 = RunId("r1"), RunId("r2")


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path)


def test_written_and_found_by_another_process(spool: FileSpool, tmp_path: Path) -> None:
    """An outcome is found by whoever looks, until it is released."""
    spool.reserve(R2)
    spool.reserve(R1)
    spool.write(R2, b'{"status": "failed"}')
    spool.write(R1, "größe\x00".encode())
    other = FileSpool(tmp_path)
    assert list(other.pending()) == [(R1, "größe\x00".encode()), (R2, b'{"status": "failed"}')]
    other.release(R1)
    assert list(spool.pending()) == [(R2, b'{"status": "failed"}')]
    spool.release(R2)
    assert list((tmp_path / "outcomes").iterdir()) == []


def test_room_is_really_taken(spool: FileSpool, tmp_path: Path) -> None:
    """The blocks are on the disk before the run starts, and only the owner may read them."""
    spool.reserve(R1)
    status = (tmp_path / "outcomes" / "r1").stat()
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (ROOM_BYTES, 0o600)
    assert status.st_blocks * 512 >= ROOM_BYTES
    assert list(spool.pending()) == []


def test_written_twice(spool: FileSpool) -> None:
    """The last outcome counts, also a shorter one."""
    spool.reserve(R1)
    spool.write(R1, b"a long outcome")
    spool.write(R1, b"short")
    assert list(spool.pending()) == [(R1, b"short")]


def test_longer_than_its_room(spool: FileSpool) -> None:
    """A longer outcome is kept as long as the disk has room."""
    spool.reserve(R1)
    spool.write(R1, b"x" * 300_000)
    assert list(spool.pending()) == [(R1, b"x" * 300_000)]


@pytest.mark.parametrize("kept", [0, 1, 16, 17, 30, 60, 80])
def test_a_torn_write_is_no_outcome(spool: FileSpool, tmp_path: Path, kept: int) -> None:
    """Whatever part of a write reached the disk, only the whole of it is an outcome."""
    spool.reserve(R1)
    file = tmp_path / "outcomes" / "r1"
    before = file.read_bytes()
    spool.write(R1, b"x" * 100)
    after = file.read_bytes()
    file.write_bytes(after[:kept] + before[kept:])
    assert list(spool.pending()) == []
    file.write_bytes(after[:kept])
    assert list(spool.pending()) == []
    file.write_bytes(after)
    assert list(spool.pending()) == [(R1, b"x" * 100)]


def test_a_changed_outcome_is_no_outcome(spool: FileSpool, tmp_path: Path) -> None:
    """A document that does not fit its hash is not believed."""
    spool.reserve(R1)
    spool.write(R1, b"succeeded")
    file = tmp_path / "outcomes" / "r1"
    file.write_bytes(file.read_bytes().replace(b"succeeded", b"succeedee"))
    assert list(spool.pending()) == []


def test_reserved_again(spool: FileSpool, tmp_path: Path) -> None:
    """Reserving again does not wipe what waits to be recorded."""
    spool.reserve(R1)
    spool.write(R1, b"done")
    other = FileSpool(tmp_path)
    other.reserve(R1)
    spool.reserve(R1)
    assert list(other.pending()) == [(R1, b"done")]


def test_without_room(spool: FileSpool) -> None:
    """An outcome without room set aside is an OSError for the caller, who prints it."""
    with pytest.raises(OSError, match="no room was set aside for run r1"):
        spool.write(R1, b"done")
    spool.reserve(R1)
    spool.release(R1)
    spool.release(R1)
    with pytest.raises(OSError, match="no room was set aside"):
        spool.write(R1, b"done")


@pytest.mark.parametrize("what", ["outcomes/r1", "outcomes", "."])
def test_room_that_somebody_removed(spool: FileSpool, tmp_path: Path, what: str) -> None:
    """What is written into a file without a name is kept by nobody, and the caller is told."""
    spool.reserve(R1)
    shutil.rmtree(tmp_path / what) if what != "outcomes/r1" else (tmp_path / what).unlink()
    with pytest.raises(FileNotFoundError):
        spool.write(R1, b"done")


def test_room_that_is_removed_meanwhile(
    spool: FileSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where it is removed after the look at it, just before the write has ended."""
    spool.reserve(R1)
    monkeypatch.setattr(os, "fsync", lambda fd: (tmp_path / "outcomes" / "r1").unlink())
    with pytest.raises(FileNotFoundError):
        spool.write(R1, b"done")


def test_a_folder_that_became_read_only(open_to_all: Path) -> None:
    """The room is still there after the folder lost its write permission; a new one is refused."""

    def work() -> str:
        spool = FileSpool(open_to_all)
        spool.reserve(R1)
        spool.folder.chmod(0o500)
        spool.write(R1, b"done")
        with pytest.raises(StoreUnavailable, match="outcomes/r2"):
            spool.reserve(R2)
        found = repr(list(spool.pending()))
        spool.release(R1)
        assert list(spool.pending()) == [], "what cannot be removed must not wait again"
        spool.folder.chmod(0o700)
        return found

    assert in_child(work, as_nobody=True) == "[('r1', b'done')]"


def test_no_folder(tmp_path: Path) -> None:
    """Where nothing can be set aside, the run is refused; where nothing ever was, nothing waits."""
    (tmp_path / "file").touch()
    assert list(FileSpool(tmp_path / "nowhere" / "at all").pending()) == []
    with pytest.raises(StoreUnavailable):
        FileSpool(tmp_path / "file" / "below").reserve(R1)


def test_links_are_not_followed(spool: FileSpool, tmp_path: Path) -> None:
    """Neither a link in the place of a file nor one in the place of the folder is followed."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    spool.folder.mkdir()
    (spool.folder / "r1").symlink_to(target)
    with pytest.raises(StoreUnavailable):
        spool.reserve(R1)
    spool.reserve(R2)
    spool.write(R2, b"done")
    (spool.folder / "r3").symlink_to(spool.folder / "r2")
    assert [run_id for run_id, _ in spool.pending()] == [R2]
    spool.release(R1)
    assert target.read_bytes() == b"precious"
    moved = tmp_path / "moved"
    spool.folder.rename(moved)
    spool.folder.symlink_to(moved)
    with pytest.raises(StoreUnavailable):
        list(spool.pending())
    with pytest.raises(StoreUnavailable):
        spool.reserve(R1)


def test_what_is_no_file(spool: FileSpool) -> None:
    """A FIFO, a folder, a file of another name: neither waited for nor taken for an outcome."""
    spool.folder.mkdir()
    os.mkfifo(spool.folder / "r1")
    (spool.folder / "r2").mkdir()
    (spool.folder / "NOTES.txt").write_text("x")
    assert list(spool.pending()) == []
    for run_id in (R1, R2):
        with pytest.raises(StoreUnavailable):
            spool.reserve(run_id)


@pytest.mark.parametrize("run_id", ["../r1", "", ".", "a/b", "R1", "x" * 41])
def test_a_name_that_is_no_run(spool: FileSpool, tmp_path: Path, run_id: str) -> None:
    """Only an id of a run names a file."""
    with pytest.raises(StoreUnavailable):
        spool.reserve(RunId(run_id))
    assert [entry.name for entry in tmp_path.iterdir()] in ([], ["outcomes"])
