"""What a dry run on a copy of a SQLite file holds by itself, seen from outside."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from oneoff import own
from oneoff.databases.handles import Databases
from oneoff.dryrun.report import DatabaseReport
from oneoff.errors import DryRunStopped, DryRunUnavailable
from tests.integration.databases import fingerprint
from tests.integration.databases.seen import everything
from tests.threads import let_go

_ORIGINAL_CHANGED = (
    "the original changed while the dry run ran: by the application or by something the task started"
)
_WRITE = "UPDATE account SET balance = balance + 1000"
_kept_connect = sqlite3.connect  # as `from sqlite3 import connect` in an app keeps it


@dataclass(frozen=True, kw_only=True)
class Shop:
    """An app with its database file."""

    path: Path
    engine: sa.Engine


@pytest.fixture(params=["delete", "wal"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    path = tmp_path / "data" / "shöp 'n' more.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {request.param}")
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT, balance INT DEFAULT 0)")
        connection.executemany("INSERT INTO account VALUES (?, ?, ?)", [(n, f"n{n}", n) for n in range(20)])
        connection.commit()
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
    yield Shop(path=path, engine=engine)
    engine.dispose()


def _dry(shop: Shop, task: Callable[[Shop], None]) -> DatabaseReport:
    """Run a task on the copy: its own error does not matter here, what it leaves behind does."""
    seal = Databases().seal(shop.engine)
    try:
        with seal:
            task(shop)
    except (Exception, DryRunStopped):
        pass
    return everything(seal)


def _engine_begin(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(sa.text(_WRITE))


def _write(connection: sqlite3.Connection) -> None:
    with closing(connection), connection:
        connection.execute(_WRITE)


def _connect(shop: Shop) -> None:
    _write(sqlite3.connect(shop.path))


def test_a_write_that_nothing_held_is_said_loudly(shop: Shop, tmp_path: Path) -> None:
    """C code may start a process that nobody sees; the application may write, too: so it is no failure."""
    writer = tmp_path / "writer.py"
    writer.write_text(
        f"import sqlite3\nwith sqlite3.connect({str(shop.path)!r}) as connection:\n"
        f"    connection.execute({_WRITE!r})\n"
    )

    def task(shop: Shop) -> None:
        assert ctypes.CDLL(None).system(f"{sys.executable} {writer}".encode()) == 0

    report = _dry(shop, task)
    assert _ORIGINAL_CHANGED in report.not_covered
    assert (report.tables, report.attempts) == ((), ())


def _connect_kept_from_before(shop: Shop) -> None:
    _write(_kept_connect(shop.path))


def _link_beside(shop: Shop) -> None:
    other = shop.path.parent.parent / "other.db"
    other.write_bytes(b"other")
    shop.path.with_name(f"{shop.path.name}-journal").hardlink_to(other)


def _rename_onto(shop: Shop) -> None:
    other = shop.path.parent.parent / "new.db"
    other.write_bytes(b"new")
    other.replace(shop.path)


def _rename_away(shop: Shop) -> None:
    shop.path.rename(shop.path.with_name("old.db"))


def _rename_folder(shop: Shop) -> None:
    shop.path.parent.rename(shop.path.parent.with_name("elsewhere"))


def _overwrite(shop: Shop) -> None:
    shop.path.write_bytes(b"")


def _patch_bytes(shop: Shop) -> None:
    with shop.path.open("r+b") as file:
        file.write(b"broken")


def _truncate(shop: Shop) -> None:
    os.truncate(shop.path, 10)


def _remove(shop: Shop) -> None:
    shop.path.unlink()


def _remove_folder(shop: Shop) -> None:
    shutil.rmtree(shop.path.parent)


def _journal(shop: Shop) -> None:
    shop.path.with_name(f"{shop.path.name}-journal").write_bytes(b"hot")


def _swallowed(shop: Shop) -> None:
    for attack in (_overwrite, _connect_kept_from_before):
        try:
            attack(shop)
        except:  # noqa: E722  # the very thing under test
            continue


STOPPED = [
    _link_beside, _rename_onto, _rename_away, _rename_folder, _overwrite, _patch_bytes, _truncate, _remove,
    _remove_folder, _journal, _swallowed,
]  # fmt: skip
"""Files: a real run that is measured has no guard around it. The other ways: tests/acceptance/leaks."""


@pytest.mark.parametrize("task", STOPPED, ids=lambda task: task.__name__.strip("_"))
def test_other_roads_to_the_file_are_refused_and_named(shop: Shop, task: Callable[[Shop], None]) -> None:
    """The file stays as it is, and the report names the attempt, also where the task swallows the error."""
    before = fingerprint.of_sqlite(shop.path)
    report = _dry(shop, task)
    assert fingerprint.of_sqlite(shop.path) == before
    assert report.attempts


def test_another_database_is_read_only_and_named(shop: Shop, tmp_path: Path) -> None:
    """A file that the app did not declare can be read and not written."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (id)")
    seen: list[str] = []

    def task(shop: Shop) -> None:
        with closing(sqlite3.connect(other)) as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
            with pytest.raises(sqlite3.OperationalError) as refused:
                connection.execute("INSERT INTO t VALUES (1)")
            seen.append(str(refused.value))

    report = _dry(shop, task)
    assert "readonly" in seen[0]
    assert any(str(other) in gap for gap in report.not_covered)


def test_oneoffs_own_store_stays_open_to_it(shop: Shop, tmp_path: Path) -> None:
    """The run is recorded while its task is dry; the task itself cannot write there."""
    store = tmp_path / "store.db"
    seal = Databases(own=[store]).seal(shop.engine)
    with seal:
        for connect in (sqlite3.connect, _kept_connect):
            with own.work(), closing(connect(store)) as connection, connection:
                connection.execute("CREATE TABLE IF NOT EXISTS run (id)")
        assert seal.report().attempts == ()
        with closing(sqlite3.connect(store)) as connection, pytest.raises(sqlite3.OperationalError):
            connection.execute("DROP TABLE run")
        with pytest.raises(DryRunStopped):
            _kept_connect(store)
    assert store.exists()


def test_a_connection_from_before_the_dry_run_is_refused(shop: Shop) -> None:
    """A connection opened at import cannot be sent to the copy, so there is no dry run."""
    with (
        closing(sqlite3.connect(shop.path)),
        pytest.raises(DryRunUnavailable, match="opened before the dry run"),
        Databases().seal(shop.engine),
    ):
        pass


def test_a_connection_of_another_thread_from_before_is_refused(shop: Shop) -> None:
    """sqlite3 lets no other thread look into it, but the file is seen to be open: there is no dry run."""
    opened, end = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(shop.path)):
            opened.set()
            end.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        opened.wait(10)
        with pytest.raises(DryRunUnavailable, match="another thread"), Databases().seal(shop.engine):
            pass
    finally:
        end.set()
        thread.join()


def test_a_connection_of_another_thread_to_another_database_is_no_obstacle(
    shop: Shop, tmp_path: Path
) -> None:
    """A cache that some library keeps in SQLite has nothing to do with the app's database."""
    opened, end = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(tmp_path / "cache.db")):
            opened.set()
            end.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        opened.wait(10)
        assert _dry(shop, _engine_begin).tables
    finally:
        end.set()
        thread.join()


def test_a_thread_that_outlives_the_dry_run_cannot_write(shop: Shop) -> None:
    """A task that does not wait for its thread: it meets a closed database, until it is gone."""
    go, failures = threading.Event(), list[BaseException]()

    def late() -> None:
        go.wait(10)
        try:
            _connect(shop)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=late, name="late")
    before, connect = fingerprint.of_sqlite(shop.path), sqlite3.connect
    report = _dry(shop, lambda _: thread.start())
    go.set()
    thread.join()
    let_go()
    assert fingerprint.of_sqlite(shop.path) == before
    assert len(failures) == 1
    assert any("(late)" in gap for gap in report.not_covered)
    assert sqlite3.connect is connect
    _connect(shop)
    assert fingerprint.of_sqlite(shop.path) != before


def test_a_thread_that_stays_does_not_keep_the_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard still holds while they are removed, and their side files bear the names of the original's:
    which folder is meant tells them apart."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("shop.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (id)")
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    seal = Databases().seal("sqlite:///shop.db")
    with seal, closing(sqlite3.connect("shop.db")) as connection:
        thread.start()
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    go.set()
    thread.join()
    let_go()
    assert list(scratch.iterdir()) == []
    assert seal.report().attempts == ()


def test_a_side_file_named_by_its_open_folder_is_guarded(shop: Shop) -> None:
    """``os.unlink(name, dir_fd=…)``, as ``shutil.rmtree`` calls it, is seen for what it means."""
    log = shop.path.with_name(f"{shop.path.name}-wal")
    log.touch()
    folder = os.open(shop.path.parent, os.O_RDONLY)
    try:
        report = _dry(shop, lambda _: os.unlink(log.name, dir_fd=folder))
    finally:
        os.close(folder)
    assert log.exists()
    assert report.attempts


def test_the_copy_bears_a_time_that_no_write_has(shop: Shop) -> None:
    """A write within the same tick of the clock as the copying is seen: file times are that coarse."""
    ages = []

    def task(shop: Shop) -> None:
        with closing(sqlite3.connect(shop.path)) as connection:
            ((_, _, copy),) = connection.execute("PRAGMA database_list")
        ages.append(time.time() - Path(copy).stat().st_mtime)

    _dry(shop, task)
    assert ages[0] > 1_000_000


def test_everything_is_as_before_after_the_dry_run(shop: Shop) -> None:
    """The same engine, ``sqlite3.connect`` and file work for real once the dry run is over."""
    connect = sqlite3.connect
    _dry(shop, _engine_begin)
    assert sqlite3.connect is connect
    _engine_begin(shop)
    shop.path.with_name("copy").write_bytes(shop.path.read_bytes())
    with closing(sqlite3.connect(shop.path)) as connection:
        assert connection.execute("SELECT min(balance) FROM account").fetchone() == (1000,)


@pytest.mark.parametrize("end", [RuntimeError("mine"), KeyboardInterrupt(), SystemExit(4)], ids=repr)
def test_the_tasks_own_error_comes_out_and_no_copy_stays(
    shop: Shop, end: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the task comes out unchanged, and the copies are gone."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    seal = Databases().seal(shop.engine)
    with pytest.raises(type(end)) as raised, seal:
        _engine_begin(shop)
        raise end
    assert raised.value is end
    assert list(scratch.iterdir()) == []
    assert seal.report().tables


def test_the_copy_can_be_read_by_its_owner_only(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copies hold what the database holds: their folder has mode 0700."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with Databases().seal(shop.engine):
        assert [folder.stat().st_mode & 0o777 for folder in scratch.iterdir()] == [0o700]


def test_a_process_without_a_dry_run_has_no_audit_hook() -> None:
    """Importing the adapters configures nothing: the hook comes with the first seal."""
    code = (
        "import sys; found = []; original = sys.addaudithook; sys.addaudithook = found.append\n"
        "import oneoff.databases.handles, oneoff.databases.sqlite.seal\n"
        "assert not found and 'psycopg' not in sys.modules and 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
