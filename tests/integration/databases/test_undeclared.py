"""Databases that the app has not declared: watched in every dry run, whatever is sealed in it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oneoff import own
from oneoff.databases.handles import Databases
from oneoff.databases.together import Together
from oneoff.errors import DryRunStopped, DryRunUnavailable
from tests.cli import Project
from tests.integration.databases import fingerprint
from tests.integration.databases.postgres_shop import Shop
from tests.postgres import serve

_kept_connect = sqlite3.connect  # as `from sqlite3 import connect` in an app keeps it


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data" / "some.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE account (id int, balance int)")
        connection.commit()
    before = fingerprint.of_sqlite(path)
    yield path
    assert fingerprint.of_sqlite(path) == before


def _dry(handle: Any, task: Callable[[], object], **options: Any) -> Together:
    seal = Databases(**options).seal(handle)
    try:
        with seal:
            task()
    except (Exception, DryRunStopped):
        pass
    return seal


def _opens_sqlite(file: Path, shop: Shop) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("INSERT INTO account VALUES (1, 1)")
        connection.commit()


def _reads_sqlite(file: Path, shop: Shop) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT * FROM account")


def _makes_sqlite(file: Path, shop: Shop) -> None:
    sqlite3.connect(file.with_name("new.db")).close()


def _opens_sqlite_around(file: Path, shop: Shop) -> None:
    with closing(_kept_connect(file)) as connection:
        connection.execute("INSERT INTO account VALUES (1, 1)")
        connection.commit()


def _attaches_to_memory(file: Path, shop: Shop) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"ATTACH '{file}' AS real")


def _opens_postgres(file: Path, shop: Shop) -> None:
    with psycopg.connect(shop.url) as connection:
        connection.execute("UPDATE account SET balance = 0")


def _opens_an_engine(file: Path, shop: Shop) -> None:
    with shop.engine.connect():
        pass


def _swallows(file: Path, shop: Shop) -> None:
    try:
        psycopg.connect(shop.url)
    except:  # noqa: E722  # the very thing under test
        return


ROADS = [
    _opens_sqlite, _reads_sqlite, _makes_sqlite, _opens_sqlite_around, _attaches_to_memory, _opens_postgres,
    _opens_an_engine, _swallows,
]  # fmt: skip


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__.strip("_"))
def test_where_none_is_declared_opening_one_fails(
    file: Path, shop: Shop, road: Callable[[Path, Shop], None]
) -> None:
    """Nothing can be known of what it would do there: it is named, and nothing is written."""
    before = shop.fingerprint()
    seal = _dry(None, lambda: road(file, shop))
    assert seal.reports() == ()
    assert len(seal.attempts) == 1
    assert (
        str(file.parent) in seal.attempts[0]
        or shop.database in seal.attempts[0]
        or "memory" in seal.attempts[0]
    )
    assert shop.fingerprint() == before
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_the_next_step_is_to_declare_it(file: Path, shop: Shop) -> None:
    """For one that is opened, and for one that would be made."""
    for road in (_opens_sqlite, _makes_sqlite, _opens_postgres):
        assert "declare it: App(…, database=…)" in _dry(None, partial(road, file, shop)).attempts[0]


def test_what_belongs_to_no_database_goes_on(tmp_path: Path) -> None:
    """A database in memory keeps nothing, and what oneoff writes into its own store is not the task's."""
    store = tmp_path / "store.db"

    def task() -> None:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE t (id)")
        with own.work(), closing(sqlite3.connect(store)) as connection, connection:
            connection.execute("CREATE TABLE run (id)")

    seal = _dry(None, task, own=[store])
    assert (seal.attempts, seal.not_covered, seal.effects) == ((), (), ())
    assert sqlite3.connect is _kept_connect
    assert store.exists()


def test_one_beside_a_declared_one_is_there_to_be_read(file: Path, shop: Shop, tmp_path: Path) -> None:
    """Whatever the kinds: a write fails, and the dry run with it, also where the task swallows the error."""
    declared = tmp_path / "declared.db"
    with closing(sqlite3.connect(declared)) as connection:
        connection.execute("CREATE TABLE t (id)")

    def read_and_write(connection: Any) -> None:
        connection.execute("SELECT * FROM account").fetchall()
        with pytest.raises((sqlite3.OperationalError, psycopg.errors.ReadOnlySqlTransaction)):
            connection.execute("UPDATE account SET balance = 0")
        connection.close()

    before = shop.fingerprint()
    beside_sqlite = _dry(f"sqlite:///{declared}", lambda: read_and_write(psycopg.connect(shop.url)))
    beside_postgres = _dry(shop.url, lambda: read_and_write(sqlite3.connect(file)))
    for seal, name in ((beside_sqlite, shop.database), (beside_postgres, str(file))):
        assert [name in attempt for attempt in seal.attempts] == [True]
        assert [name in gap for gap in seal.not_covered] == [True]
        assert seal.report().attempts == ()
    assert shop.fingerprint() == before


def test_a_connection_from_before_that_may_write_is_refused(shop: Shop) -> None:
    """Also where nothing is declared, since nobody can say what it would be used for."""
    seal = Databases().seal(None)
    with psycopg.connect(shop.url), pytest.raises(DryRunUnavailable, match="opened before"), seal:
        pass
    with psycopg.connect(shop.url) as connection:
        connection.execute("UPDATE account SET balance = balance")


_LATE = """
import sys
from oneoff.databases.handles import Databases
from oneoff.errors import DryRunStopped

seal = Databases().seal(None)
with seal:
    assert "psycopg" not in sys.modules
    import psycopg.rows
    from psycopg import connect
    try:
        connect(sys.argv[1])
    except DryRunStopped:
        pass
(attempt,) = seal.attempts
print(attempt)
connect(sys.argv[1]).close()
"""


def test_a_driver_that_the_task_imports_is_watched_from_its_first_connection(shop: Shop) -> None:
    """What is not loaded when the dry run begins costs nothing, and escapes nothing."""
    environ = {name: value for name, value in os.environ.items() if name != "PGOPTIONS"}
    done = subprocess.run(
        [sys.executable, "-c", _LATE, shop.url], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert shop.database in done.stdout


_BROKEN = """
import sys
from oneoff.databases.imports import WhenImported
from contextlib import nullcontext

begun = []
with WhenImported("broken_driver", lambda: begun.append(1) or nullcontext()):
    for _ in range(2):
        try:
            import broken_driver
        except ZeroDivisionError:
            print("its own error")
    sys.modules.pop("broken_driver", None)
    open(sys.argv[1], "w").close()
    import broken_driver
    assert begun == [1]
with WhenImported("broken_driver", lambda: begun.append(2) or nullcontext()):
    assert begun == [1, 2]
"""


def test_a_library_that_cannot_be_imported_tells_the_task_itself(tmp_path: Path) -> None:
    """The watch waits on for an import that works."""
    text = "import os\nif not os.path.exists({path!r}):\n    1 / 0\n"
    mended = tmp_path / "mended"
    (tmp_path / "broken_driver.py").write_text(text.format(path=str(mended)))
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _BROKEN, mended], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["its own error"] * 2


def test_a_sqlite_connection_from_before_may_only_read(file: Path, tmp_path: Path) -> None:
    """Nothing stands between it and its file, so SQLite is told; afterwards it writes as before."""
    early, own = sqlite3.connect(tmp_path / "cache.db"), sqlite3.connect(tmp_path / "store.db")
    with closing(early), closing(own):
        early.execute("CREATE TABLE t (id)")

        def task() -> None:
            own.execute("CREATE TABLE run (id)")
            assert early.execute("SELECT count(*) FROM t").fetchone() == (0,)
            early.execute("INSERT INTO t VALUES (1)")

        seal = Databases(own=[tmp_path / "store.db"]).seal(None)
        with pytest.raises(sqlite3.OperationalError, match="readonly"), seal:
            task()
        assert seal.not_covered == (
            f"sqlite {tmp_path / 'cache.db'}: opened before the dry run, and read-only in it",
        )
        early.execute("INSERT INTO t VALUES (1)")
        refusal = pytest.raises(sqlite3.OperationalError, match="readonly")
        with Databases().seal(None), refusal:  # in the middle of its transaction
            early.execute("INSERT INTO t VALUES (2)")
        early.commit()
        assert early.execute("SELECT * FROM t").fetchall() == [(1,)]


def test_a_standby_beside_its_primary_is_read(tmp_path: Path) -> None:
    """A replica takes no writes by itself, so that it stands in nobody's way; alone it is refused."""
    with serve() as primary, primary.database() as name, primary.standby() as standby:
        primary.execute("CREATE TABLE t (id int)", database=name)
        while not standby.execute("SELECT 1 FROM pg_class WHERE relname = 't'", database=name):
            time.sleep(0.02)
        seal = Databases().seal([standby.url(name), primary.url(name)])
        with seal:
            with psycopg.connect(primary.url(name)) as connection:
                connection.execute("INSERT INTO t VALUES (1)")
            with psycopg.connect(standby.url(name)) as connection:
                assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert [table.inserted for table in seal.report().tables] == [1]
        assert seal.attempts == ()
        assert [gap.partition("is a ")[2] for gap in seal.not_covered] == [
            "standby, which takes no writes: it is read, and not sealed"
        ]
        alone = pytest.raises(DryRunUnavailable, match="is a standby")
        with alone as refused, Databases().seal(standby.url(name)):
            pass
        assert "primary" in refused.value.next_step


_ADMIN = """
import sqlite3

import oneoff

admin = oneoff.App("shop")


@admin.task
def greet() -> None:
    print("hello")


@admin.task
def clean() -> None:
    sqlite3.connect({path!r}).execute("DELETE FROM account")
"""


def test_an_app_that_declares_none_on_the_command_line(file: Path, tmp_path: Path) -> None:
    """It says that nothing was sealed; a task that opens a database has failed, and learns why."""
    project = Project(tmp_path)
    project.write(
        pyproject_toml='[tool.oneoff]\napp = "admin:admin"\n', admin_py=_ADMIN.format(path=str(file))
    )
    fine = project("run", "greet", "--dry-run")
    assert fine.code == 0, fine.err
    assert "no database was sealed, because the app declares none" in fine.out
    assert "No change was seen" not in fine.out
    failed = project("run", "clean", "--dry-run", "-o", "json")
    assert failed.code == 1
    assert f"opens sqlite {file}" in failed.json["error"]
    assert "declare it: App(…, database=…)" in failed.json["error"]
    assert failed.json["dry_run_report"]["databases"] == []
