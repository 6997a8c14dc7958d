"""The file of the SQLite store: how it is made, and what happens when it is not as it should be."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from oneoff.audit import event as events
from oneoff.audit.merkle import Growth, root_at
from oneoff.audit.retention import Cut
from oneoff.audit.verify import verify
from oneoff.errors import OneoffError, StoreConflict, StoreCorrupted, StoreUnavailable, StoreVersionMismatch
from oneoff.protocols import EventQuery, RunQuery
from oneoff.stores import failures, sqlite_file
from oneoff.stores.sqlite import SqliteStore
from oneoff.types import RunId
from tests.contract.shared_contract import workers
from tests.forks import in_child
from tests.records import ANN, OBSERVER, START, begin, finish, make_run, note


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".oneoff" / "store.db"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with sixty runs and their 180 events."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    store = SqliteStore.open(path)
    for number in range(60):
        finish(store, begin(store, make_run(f"r{number}", parameters={"text": "x" * 2000})))
    store.close()
    return path


@pytest.fixture
def filled(template: Path, path: Path) -> Path:
    """A copy of the store with sixty runs."""
    path.parent.mkdir()
    shutil.copy(template, path)
    return path


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(path)
    yield store
    store.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def raw(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(sql).fetchall()
    finally:
        connection.close()


def use(path: Path) -> str:
    """Open the store, read and check all that is in it, and append."""
    store = SqliteStore.open(path)
    try:
        for run in store.find(RunQuery()):
            store.get(run.id)
        assert verify(store.events(), store.checkpoint, lambda _: False).ok, "verification found it"
        store.record(note())
        return "all is well"
    finally:
        store.close()


def refusal(action: Callable[[], object]) -> OneoffError:
    with pytest.raises(OneoffError) as caught:
        action()
    assert caught.value.next_step
    return caught.value


# making


def test_a_new_store_is_private(path: Path) -> None:
    """Folder and file are the owner's alone, git does not see them, and nothing else stays behind."""
    old = os.umask(0)
    try:
        SqliteStore.open(path).close()
    finally:
        os.umask(old)
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert (path.parent / ".gitignore").read_text() == "*\n"
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".gitignore", "store.db"]


def test_files_beside_the_store_are_private(store: SqliteStore) -> None:
    """The write-ahead log holds records, too."""
    store.record(note())
    assert mode(Path(f"{store.path}-wal")) == 0o600


def test_a_folder_that_was_there_is_left_alone(tmp_path: Path) -> None:
    """A store may live in a folder of other things, which keeps its mode and gets no .gitignore."""
    tmp_path.chmod(0o755)
    SqliteStore.open(tmp_path / "x.db").close()
    assert mode(tmp_path) == 0o755
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.db"]


def test_opened_again(filled: Path) -> None:
    """A store that is there is opened, not made."""
    use(filled)


@pytest.mark.parametrize("name", ["größe 漢字.db", "a b?c#d%41.db", "-x.db"])
def test_any_name(tmp_path: Path, name: str) -> None:
    """A path may hold what a path may hold."""
    use(tmp_path / name)
    assert (tmp_path / name).is_file()


def test_a_killed_making_is_repeated(path: Path) -> None:
    """What a killed first run left behind is no store, and is replaced."""
    path.parent.mkdir()
    path.with_name("store.db.new").write_bytes(b"half")
    path.with_name("store.db.new-wal").write_bytes(b"half")
    use(path)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["store.db"]


def test_first_runs_at_once_share_one_store(path: Path) -> None:
    """Several first runs at the same moment make one store, and all their events are in it."""
    with workers("complete", str(path), ["a", "b", "c", "d"], 1) as processes:
        for process in processes:
            process.communicate()
            assert process.returncode == 0
    store = SqliteStore.open(path)
    assert store.checkpoint().size == 12
    store.close()


# versions


def test_a_newer_version(filled: Path) -> None:
    """A store that a newer oneoff wrote is not touched."""
    raw(filled, "PRAGMA user_version = 99")
    before = filled.read_bytes()
    error = refusal(lambda: SqliteStore.open(filled))
    assert isinstance(error, StoreVersionMismatch)
    assert "has version 99" in error.message
    assert "upgrade" in error.next_step
    assert filled.read_bytes() == before


NEWEST = len(sqlite_file.SCHEMA)


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a version to come."""
    file = tmp_path / "sqlite_schema_next.sql"
    monkeypatch.setattr(sqlite_file, "SCHEMA", (*sqlite_file.SCHEMA, str(file)))
    return file


def test_an_older_version_is_upgraded(filled: Path, next_version: Path) -> None:
    """Opening brings an older store to the newest version, and keeps what is in it."""
    next_version.write_text(
        "CREATE TABLE a (x INTEGER);\n-- a comment; with a semicolon\nCREATE TABLE b (x);\n"
    )
    use(filled)
    assert raw(filled, "PRAGMA user_version") == [(NEWEST + 1,)]
    assert raw(filled, "SELECT name FROM sqlite_master WHERE name IN ('a', 'b')") == [("a",), ("b",)]


def test_an_upgrade_is_whole_or_not_at_all(filled: Path, next_version: Path) -> None:
    """An upgrade that fails in the middle leaves the older version as it was."""
    next_version.write_text("CREATE TABLE a (x);\nCREATE TABLE run (x);\n")
    refusal(lambda: SqliteStore.open(filled))
    assert raw(filled, "PRAGMA user_version") == [(NEWEST,)]
    assert raw(filled, "SELECT name FROM sqlite_master WHERE name = 'a'") == []


def test_a_new_store_has_every_version(path: Path, next_version: Path) -> None:
    """A new store and an upgraded one are the same."""
    next_version.write_text("CREATE TABLE a (x INTEGER);\n")
    use(path)
    assert raw(path, "PRAGMA user_version") == [(NEWEST + 1,)]


def test_from_the_first_version(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of the first version gets the tree and the columns that a newer one would have made."""
    first = tmp_path / "first.db"
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_file, "SCHEMA", sqlite_file.SCHEMA[:1])
        sqlite_file.prepare(first).close()
    with closing(sqlite3.connect(first, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS newer", (str(filled),))
        connection.execute("DROP TRIGGER audit_head_update")
        connection.execute("INSERT INTO main.run SELECT * FROM newer.run")
        for (seq,) in connection.execute("SELECT seq FROM newer.audit_event ORDER BY seq").fetchall():
            columns = f"seq, {REST}"
            event = f"SELECT {columns} FROM newer.audit_event WHERE seq = {seq}"
            of_one = (columns.replace("hashes", "leaf"), event.replace("hashes", "substr(hashes, 1, 32)"))
            connection.execute("INSERT INTO main.audit_event ({}) {}".format(*of_one))
            connection.execute("UPDATE main.audit_head SET size = ?", (seq + 1,))
    upgraded, newer = SqliteStore.open(first), SqliteStore.open(filled)
    assert list(upgraded.events()) == list(newer.events())
    assert upgraded.checkpoint() == newer.checkpoint()
    upgraded.record(note())
    assert verify(upgraded.events(), upgraded.checkpoint, lambda _: True).problems == ()
    upgraded.close()
    newer.close()


def test_an_old_sqlite(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose SQLite is too old is told which it needs."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    assert "needs 3.37.0 or newer" in refusal(lambda: SqliteStore.open(path)).message
    assert not sqlite_file.check(path)[0].ok


# not a store, or a damaged one


@pytest.mark.parametrize("content", [b"", b"some text\n" * 1000, b"\x00" * 8192])
def test_a_file_that_is_no_store(tmp_path: Path, content: bytes) -> None:
    """An empty file, a text, zeros: refused as no store and left as they are."""
    path = tmp_path / "store.db"
    path.write_bytes(content)
    error = refusal(lambda: SqliteStore.open(path))
    assert isinstance(error, StoreCorrupted)
    assert f"{path} is not a store of oneoff" in error.message
    assert path.read_bytes() == content


def test_another_programs_database(tmp_path: Path) -> None:
    """An app's own SQLite database is never taken for a store, nor changed."""
    path = tmp_path / "app.db"
    raw(path, "CREATE TABLE flights (id INTEGER)")
    before = path.read_bytes()
    error = refusal(lambda: SqliteStore.open(path))
    assert "it is a database of another program" in error.message
    assert "leave it where it is" in error.next_step, "it may be the app's own"
    assert path.read_bytes() == before


def test_a_truncated_store(filled: Path) -> None:
    """A store that was cut in half is damaged, wherever that is noticed."""
    content = filled.read_bytes()
    filled.write_bytes(content[: len(content) // 2])
    error = refusal(lambda: use(filled))
    assert isinstance(error, StoreCorrupted)
    assert "is damaged" in error.message
    assert ".recover" in error.next_step


def test_pages_overwritten_in_the_middle(filled: Path) -> None:
    """Wherever a page is overwritten, the store says damaged, or verification names an event."""
    content = filled.read_bytes()
    for page in range(1, len(content) // 4096, 7):
        filled.write_bytes(content[: page * 4096] + b"\xa5" * 4096 + content[(page + 1) * 4096 :])
        try:
            use(filled)
        except StoreCorrupted as error:
            assert "damaged" in error.message
        except AssertionError as error:
            assert "verification found it" in str(error)
        else:
            assert any(not finding.ok for finding in sqlite_file.check(filled)), f"page {page}"
        Path(f"{filled}-wal").unlink(missing_ok=True)


def test_a_table_that_is_gone(filled: Path) -> None:
    """A store without its tables is damaged."""
    raw(filled, "DROP TABLE run")
    assert isinstance(refusal(lambda: use(filled)), StoreCorrupted)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE run SET body = '{' WHERE id = 'r7'",
        "UPDATE run SET body = '{}' WHERE id = 'r7'",
        "UPDATE run SET body = '[]' WHERE id = 'r7'",
        "UPDATE run SET body = json_set(body, '$.actor', 'ann') WHERE id = 'r7'",
        "UPDATE run SET body = json_set(body, '$.status', 'dreaming') WHERE id = 'r7'",
        "UPDATE run SET progress = '{' WHERE id = 'r7'",
        "UPDATE run SET heartbeat_at = 'never' WHERE id = 'r7'",
    ],
)
def test_a_record_that_cannot_be_read(filled: Path, sql: str) -> None:
    """A run whose record is no run any more is damage with words, not a traceback."""
    raw(filled, sql)
    error = refusal(lambda: use(filled))
    assert isinstance(error, StoreCorrupted)
    assert "a run in it cannot be read" in error.message


@pytest.mark.parametrize("change", ["DELETE FROM audit_head", "UPDATE audit_head SET size = 999"])
def test_a_log_without_a_head(filled: Path, change: str) -> None:
    """A head that is gone or makes no sense is damage, and nothing is appended."""
    for trigger in ("audit_head_delete", "audit_head_update"):
        raw(filled, f"DROP TRIGGER {trigger}")
    raw(filled, change)
    assert isinstance(refusal(lambda: use(filled)), StoreCorrupted)


def test_a_head_behind_its_events(filled: Path) -> None:
    """An append never takes the place of an event that is there."""
    raw(filled, "DROP TRIGGER audit_head_update")
    raw(filled, "UPDATE audit_head SET size = 0")
    store = SqliteStore.open(filled)
    error = refusal(lambda: store.record(note()))
    assert "beyond the audit log's head" in error.message
    assert len(list(store.events())) == 180
    store.close()


def test_an_append_beside_another_process(store: SqliteStore, path: Path) -> None:
    """What this process knows of the log's end is used only where the log still ends so."""
    other = SqliteStore.open(path)
    for _ in range(4):
        for writer in (store, other, other):
            writer.record(note())
    assert verify(store.events(), store.checkpoint, lambda _: True).problems == ()
    assert store.checkpoint().size == 12
    other.close()


def test_an_append_behind_an_end_that_was_exchanged(store: SqliteStore, path: Path) -> None:
    """A log as long as the one that this process knows, and another one: its own hashes are gone on from."""
    store.record(note())
    store.record(note())
    end = store._known
    assert end is not None
    end.last_id, end.growth = "another", Growth(2, {(1, 0): bytes(32)})
    store.record(note())
    assert verify(store.events(), store.checkpoint, lambda _: True).problems == ()


def test_an_append_waits_for_the_lock(store: SqliteStore, path: Path) -> None:
    """A statement of its own waits as a transaction does."""
    store.record(note())
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        letting_go = threading.Timer(0.3, other.execute, ["COMMIT"])
        letting_go.start()
        store.record(note())
        letting_go.join()
    assert store.checkpoint().size == 2


def test_a_failed_transaction_leaves_nothing(store: SqliteStore) -> None:
    """What is known of the log's end is not what a transaction that came to nothing made of it."""
    recorded = note()
    store.record(recorded)
    with pytest.raises(StoreConflict, match="already"):
        store.adopt(make_run("r1"), [note(), recorded])
    store.record(note())
    assert [event.seq for event in store.events()] == [0, 1]
    assert verify(store.events(), store.checkpoint, lambda _: True).problems == ()


def test_an_index_without_its_newest_rows(path: Path, store: SqliteStore) -> None:
    """Whoever deletes them hides nothing: the log's tail is longer then, until the index is filled again."""
    for number in range(258):
        store.record(note(make_run("wanted" if number in (9, 250, 257) else "other")))
    assert raw(path, "SELECT count(*), max(seq) FROM audit_index") == [(256, 255)]
    raw(path, "DROP TRIGGER audit_index_delete")
    raw(path, "DELETE FROM audit_index WHERE seq > 99")
    assert [event.seq for event in store.search(EventQuery(run_id=RunId("wanted")))] == [9, 250, 257]
    assert [event.seq for event in store.events(run_id=RunId("wanted"))] == [9, 250, 257]
    assert all(event.filed for event in store.events())
    raw(path, "DELETE FROM audit_index WHERE seq = 9")
    assert [event.seq for event in store.events() if not event.filed] == [9]


REST = "event_id, type, run_id, actor, task, environment, time, hashes, body"
BESIDE = "seq, type, run_id, actor, task, environment, time, status, measured"
OF_THREE = f"{REST} FROM audit_event WHERE seq = 3"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_event SET body = x'00' WHERE seq = 0",
        "UPDATE OR REPLACE audit_event SET seq = 1 WHERE seq = 0",
        "DELETE FROM audit_event WHERE seq = 179",
        "DELETE FROM audit_event",
        "INSERT OR REPLACE INTO audit_event SELECT * FROM audit_event WHERE seq = 3",
        f"REPLACE INTO audit_event (seq, {REST}) SELECT 180, {OF_THREE}",
        f"INSERT INTO audit_event (seq, {REST}) SELECT 999, 'new', {OF_THREE[10:]}",
        "UPDATE audit_head SET size = 0",
        "UPDATE audit_head SET start = 1",
        "UPDATE audit_head SET start = 1, size = size + 1",
        "INSERT OR REPLACE INTO audit_head VALUES (1, 0, 0)",
        "DELETE FROM audit_head",
        "UPDATE audit_event SET hashes = zeroblob(32)",
        "UPDATE audit_log SET name = 'other'",
        "DELETE FROM audit_log",
        "UPDATE audit_event_table SET name = 'other'",
        "DELETE FROM audit_event_table",
        "UPDATE audit_index SET task = 'other'",
        "DELETE FROM audit_index",
        "INSERT OR REPLACE INTO audit_index SELECT seq, 'other', '', '', '', '', '', '', 0 FROM audit_index",
        "INSERT INTO audit_index (seq, type, time) VALUES (180, '', '')",
    ],
)  # fmt: skip
def test_the_log_only_grows(filled: Path, sql: str) -> None:
    """Triggers refuse every change to what is in the log, `INSERT OR REPLACE` included."""
    raw(filled, f"INSERT INTO audit_index ({BESIDE}) SELECT {BESIDE} FROM audit_event WHERE seq = 0")
    with pytest.raises(sqlite3.IntegrityError, match=r"append-only|the next place once|keeps its name"):
        raw(filled, sql)
    use(filled)


def test_what_was_pruned_keeps_its_hashes(filled: Path) -> None:
    """Below the start an event may go, and only once its hash is kept; nothing else is deleted."""
    store = SqliteStore.open(filled)
    stated = Cut(0, 6).statement(root_at(6, store.hashes), START, "old", None)
    store.prune(6, events.of_log("pruned", ANN, OBSERVER, START, **stated))
    for sql in (
        "DELETE FROM audit_event WHERE seq = 0",
        "DELETE FROM audit_event WHERE seq = 6",
        "DELETE FROM audit_event_table WHERE seq >= 6",
        "UPDATE audit_head SET start = 7",
        "UPDATE audit_head SET start = 0, size = size + 1",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw(filled, sql)
    assert not store.forget()
    assert raw(filled, "SELECT min(seq) FROM audit_event") == [(6,)]
    for sql in (
        "UPDATE audit_pruned SET hashes = zeroblob(32)",
        "INSERT OR REPLACE INTO audit_pruned SELECT seq, zeroblob(32) FROM audit_pruned",
        "DELETE FROM audit_pruned",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw(filled, sql)
    store.close()


# where it cannot be used


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    """A folder is no store."""
    assert "is a folder" in refusal(lambda: SqliteStore.open(tmp_path)).message


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Only one folder is made: a path into nowhere is a mistake, and so is one through a file."""
    for place in (tmp_path / "a" / "b" / "store.db", Path(__file__) / "store.db"):
        error = refusal(lambda place=place: SqliteStore.open(place))  # type: ignore[misc]  # bound by default
        assert isinstance(error, StoreUnavailable)
        assert str(place) in error.message
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder(open_to_all: Path) -> None:
    """Where the folder may not be written, no store is made, and the user is told so."""
    open_to_all.chmod(0o555)
    path = open_to_all / ".oneoff" / "store.db"
    text = in_child(lambda: refusal(lambda: SqliteStore.open(path)).message, as_nobody=True)
    assert f"the store {path} cannot be opened for writing" in text
    assert "Permission denied" in text
    assert list(open_to_all.iterdir()) == []


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o777, 0o444), (0o555, 0o666), (0o777, 0o000)])
def test_a_read_only_store(open_to_all: Path, folder_mode: int, file_mode: int) -> None:
    """Where the file or its folder may not be written, nothing is recorded, and the store stays as it was."""
    path = open_to_all / "store.db"
    in_child(lambda: use(path), as_nobody=True)
    path.chmod(file_mode)
    open_to_all.chmod(folder_mode)

    def work() -> str:
        error = refusal(lambda: use(path))
        assert isinstance(error, StoreUnavailable)
        assert not isinstance(error, StoreCorrupted)
        assert any(not finding.ok for finding in sqlite_file.check(path))
        return error.message

    text = in_child(work, as_nobody=True)
    assert "read-only" in text or "cannot be opened for writing" in text
    path.chmod(0o600)
    open_to_all.chmod(0o777)
    assert in_child(lambda: use(path), as_nobody=True) == "all is well"


def test_a_store_that_becomes_read_only(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that refuses to write says read-only."""
    store._connection.execute("PRAGMA query_only = ON")
    assert "is read-only" in refusal(lambda: store.record(note())).message
    store._connection.execute("PRAGMA query_only = OFF")
    store.record(note())


def test_no_room(store: SqliteStore) -> None:
    """Where no page can be added, nothing half is kept, and all goes on once there is room again."""
    connection = store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    size = 0
    try:
        for number in range(1000):
            store.create(make_run(f"r{number}"), note())
            size += 1
        raise AssertionError("it never became full")
    except StoreUnavailable as error:
        assert "there is no room left" in error.message
        assert "make room" in error.next_step
    assert store.checkpoint().size == len(store.find(RunQuery())) == size
    connection.execute("PRAGMA max_page_count = 1000000")
    store.create(make_run("last"), note())
    assert verify(store.events(), store.checkpoint, lambda _: False).ok


FILL = [sys.executable, "-m", "tests.integration.stores.fill"]
PROJECT = Path(__file__).parents[3]


def test_a_limit_on_file_sizes(tmp_path: Path) -> None:
    """A write that the system refuses loses nothing acknowledged, and the outcome set aside is kept."""
    done = subprocess.run(
        [*FILL, str(tmp_path), "1500000"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["error"] == "StoreUnavailable"
    assert "the disk refused to read or write the store" in report["message"]
    assert "ulimit -f" in report["next_step"]
    assert report["problems"] == []
    assert report["size"] == report["acknowledged"] > 10
    assert report["spooled"] == [True]


def test_a_full_disk(tmp_path: Path) -> None:
    """On a disk that is really full (a small one, mounted for this), the same."""
    mount = 'mount -t tmpfs -o size=3m none "$0" && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path)]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount; test_no_room and test_a_limit_on_file_sizes still hold")
    done = subprocess.run(
        [*command, *FILL, str(tmp_path), "0"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["error"] == "StoreUnavailable"
    assert "there is no room left" in report["message"]
    assert report["problems"] == []
    assert report["size"] == report["acknowledged"] > 10
    assert report["spooled"] == [True]


def test_locked_by_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits too long for another process is told so; afterwards all goes on."""
    monkeypatch.setattr(failures, "BUSY_SECONDS", 0.1)
    store = SqliteStore.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    error = refusal(lambda: store.record(note()))
    assert "locked" in error.message
    assert "fuser" in error.next_step
    other.close()
    store.record(note())
    assert store.checkpoint().size == 1
    store.close()


def test_waits_for_another(store: SqliteStore) -> None:
    """A store waits for at least 30 seconds: SQLite's waiting is not fair."""
    assert store._connection.execute("PRAGMA busy_timeout").fetchone() == (30_000,)


def test_durable(store: SqliteStore) -> None:
    """Every commit is on the disk before it is acknowledged: WAL, synchronous FULL."""
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_deleted_while_open(store: SqliteStore) -> None:
    """A store whose file was removed or swapped says so, and does not write into nowhere."""
    store.record(note())
    away = store.path.with_name("away")
    store.path.rename(away)
    assert "removed or replaced" in refusal(lambda: store.record(note())).message
    shutil.copy(away, store.path)
    assert "removed or replaced" in refusal(lambda: store.checkpoint()).message
    away.replace(store.path)
    store.record(note())
    assert store.checkpoint().size == 2


def test_a_log_without_its_store(store: SqliteStore) -> None:
    """Where only the write-ahead log of a lost store is left, no new store swallows it."""
    store.record(note())
    store.path.rename(store.path.with_name("away"))
    assert "are still there in" in refusal(lambda: SqliteStore.open(store.path)).message
    store.path.with_name("away").rename(store.path)
    use(store.path)


def test_a_forked_child(store: SqliteStore) -> None:
    """A forked child is refused, and does not disturb its parent's store, not even by closing it."""
    store.record(note())

    def work() -> str:
        text = refusal(lambda: store.record(note())).message
        store.close()
        return text

    assert "was forked from" in in_child(work)
    store.record(note())
    assert verify(store.events(), store.checkpoint, lambda _: False).size == 2


def test_closed(store: SqliteStore) -> None:
    """A store that was closed says so in its own words; closing twice is harmless."""
    store.close()
    store.close()
    assert "cannot be used" in refusal(lambda: store.record(note())).message


# doctor


def test_check_of_a_good_store(filled: Path) -> None:
    """Nothing is wrong with a good store, and looking changes nothing."""
    before = filled.read_bytes()
    findings = sqlite_file.check(filled)
    assert [finding.name for finding in findings if not finding.ok] == []
    assert {finding.name for finding in findings} >= {
        "sqlite",
        "store version",
        "store pages",
        "store writable",
    }
    assert filled.read_bytes() == before


def test_check_makes_nothing(path: Path) -> None:
    """Looking at a store that is not there yet does not make one."""
    assert all(finding.ok for finding in sqlite_file.check(path))
    assert not path.parent.exists()


def bad_mode(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize(("mode", "well"), [(0o640, True), (0o620, False), (0o604, False), (0o602, False)])
def test_check_lets_auditors_read(filled: Path, mode: int, well: bool) -> None:
    """The store's group may read it, and nobody else."""
    filled.chmod(mode)
    assert all(finding.ok for finding in sqlite_file.check(filled)) is well


def bad_content(path: Path) -> None:
    path.write_text("some text")


def bad_pages(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: 40 * 4096] + b"\xa5" * 4096 * 20 + content[60 * 4096 :])


def bad_version(path: Path) -> None:
    raw(path, "PRAGMA user_version = 99")


def bad_index(path: Path) -> None:
    """No row is changed, and a search by a task finds none."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        [text] = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'run_task'").fetchone()
        [schema] = connection.execute("PRAGMA schema_version").fetchone()
        connection.executescript(f"DROP INDEX run_task; {text} WHERE task = 'no such'")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'run_task'", [text])
        connection.execute(f"PRAGMA schema_version = {schema + 10}")


def bad_kind(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (bad_mode, "store permissions"),
        (bad_content, "store"),
        (bad_pages, "store pages"),
        (bad_index, "store pages"),
        (bad_version, "store"),
        (bad_kind, "store"),
    ],
)
def test_check_finds(filled: Path, damage: Callable[[Path], None], name: str) -> None:
    """Each thing that is wrong is found, with a next step."""
    damage(filled)
    bad = [finding for finding in sqlite_file.check(filled) if not finding.ok]
    assert name in [finding.name for finding in bad]
    assert all(finding.next_step for finding in bad)
