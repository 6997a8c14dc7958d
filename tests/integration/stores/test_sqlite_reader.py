"""The SQLite store for somebody who may only read it: everything is read, nothing is made or changed."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from oneoff.audit.verify import verify
from oneoff.errors import StoreCorrupted, StoreUnavailable, StoreVersionMismatch
from oneoff.protocols import RunQuery
from oneoff.stores import sqlite_file
from oneoff.stores.sqlite import SqliteStore
from oneoff.stores.sqlite_reader import SqliteReader
from oneoff.types import RunId
from tests.forks import in_child
from tests.records import ANN, begin, finish, make_run, note


@pytest.fixture
def path(open_to_all: Path) -> Path:
    """A closed store with one finished run, which others may read."""
    path = open_to_all / "store.db"
    store = SqliteStore.open(path)
    finish(store, begin(store, make_run("r1")))
    store.close()
    path.chmod(0o644)
    return path


def look(path: Path) -> str:
    """All that a reader finds."""
    store = SqliteReader.open(path)
    assert verify(store.events(), store.checkpoint, lambda _: True).ok
    return f"{[run.id for run in store.find(RunQuery())]} {store.checkpoint().size}"


def closed_to_writers(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


def test_a_store_at_rest(path: Path) -> None:
    """Another user reads it all, and leaves no file."""
    closed_to_writers(path.parent)
    assert in_child(lambda: look(path), as_nobody=True) == "['r1'] 3"
    assert [file.name for file in path.parent.iterdir()] == ["store.db"]


@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
def test_a_store_at_work(path: Path, folder_mode: int) -> None:
    """What a writer has committed and not yet moved into the store is read as well."""
    store = SqliteStore.open(path)
    begin(store, make_run("r2"))
    closed_to_writers(path.parent)
    path.parent.chmod(folder_mode)
    before = sorted(path.parent.iterdir())
    assert in_child(lambda: look(path), as_nobody=True) == "['r2', 'r1'] 5"
    assert sorted(path.parent.iterdir()) == before
    store.close()


def test_a_killed_writer(path: Path, tmp_path: Path) -> None:
    """Its last commits are in files beside the store."""
    store = SqliteStore.open(path)
    begin(store, make_run("r2"))
    folder = path.parent / "copy"
    folder.mkdir()
    for file in path.parent.glob("store.db*"):
        shutil.copy(file, folder)
    store.close()
    closed_to_writers(folder)
    assert in_child(lambda: look(folder / "store.db"), as_nobody=True) == "['r2', 'r1'] 5"
    folder.chmod(0o755)
    (folder / "store.db-shm").unlink()
    with pytest.raises(StoreUnavailable, match=r"newest records .* cannot be read without writing") as caught:
        look(folder / "store.db")
    assert "oneoff runs" in caught.value.next_step


def test_every_change_is_seen(path: Path) -> None:
    """A reader that waits sees a writer come, work and go."""
    reader = SqliteReader.open(path)
    store = SqliteStore.open(path)
    begun = begin(store, make_run("r2"))
    assert reader.get(RunId("r2")) == begun
    ended = finish(store, begun)
    assert reader.get(RunId("r2")) == ended
    store.close()
    assert reader.get(RunId("r2")) == ended
    assert reader.checkpoint().size == 6
    reader.close()


def test_a_change_in_the_middle_of_a_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read while the file changed under the hand is read again."""
    connect, changes = sqlite_file.connect_to_read, list[int]()
    reader = SqliteReader.open(path)

    def connect_and_change(path: Path, *, log: bool) -> sqlite3.Connection:
        connection = connect(path, log=log)
        if not changes:
            changes.append(1)
            connection.execute("SELECT * FROM run").fetchall()  # the pages that are read are kept
            store = SqliteStore.open(path)
            begin(store, make_run("r2"))
            store.close()
        return connection

    monkeypatch.setattr(sqlite_file, "connect_to_read", connect_and_change)
    assert [run.id for run in reader.find(RunQuery())] == ["r2", "r1"]


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.record(note()),
        lambda store: store.create(make_run("r9"), note()),
        lambda store: store.save(store.get(RunId("r1"))),
        lambda store: store.beat(RunId("r1"), 1, make_run().requested_at, None),
        lambda store: store.subject(ANN.__class__(kind="human", name="somebody new")),
    ],
)
def test_writes_are_refused(path: Path, write: Callable[[SqliteStore], object]) -> None:
    """Whoever may write to the file: this store is for reading."""
    before = path.read_bytes()
    store = SqliteReader.open(path)
    with pytest.raises(StoreUnavailable, match="open for reading alone"):
        write(store)
    assert path.read_bytes() == before


def no_file(path: Path) -> None:
    path.unlink()


def no_store(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def older(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 0")
    raw.close()


def newer(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()


def secret(path: Path) -> None:
    path.chmod(0o600)
    if path.stat().st_uid != 0:
        path.chmod(0o000)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (no_file, StoreUnavailable, "there is no store"),
        (no_store, StoreCorrupted, "is not a store of oneoff"),
        (older, StoreVersionMismatch, "cannot be upgraded without writing"),
        (newer, StoreVersionMismatch, "this oneoff knows versions up to"),
        (secret, StoreUnavailable, "cannot be read by user"),
    ],
)
def test_what_cannot_be_read(
    path: Path, change: Callable[[Path], None], kind: type[StoreUnavailable], words: str
) -> None:
    """It is said in clear words, with what to do."""
    change(path)

    def work() -> str:
        with pytest.raises(StoreUnavailable) as caught:
            SqliteReader.open(path)
        assert type(caught.value) is kind
        assert caught.value.next_step
        return caught.value.message

    assert words in in_child(work, as_nobody=True)
