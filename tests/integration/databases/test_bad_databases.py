"""A database that cannot be sealed: refused with the reason, a next step, and no password."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
import sqlalchemy as sa

from oneoff.databases.handles import Databases
from oneoff.errors import DryRunStopped, DryRunUnavailable
from tests.postgres import Server


def _refusal(handle: Any) -> DryRunUnavailable:
    databases = Databases()
    with pytest.raises(DryRunUnavailable) as refused, databases.seal(handle):
        pass
    assert refused.value.next_step
    return refused.value


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (id)")
    yield path


def test_a_missing_file(tmp_path: Path) -> None:
    """A dry run creates no database file."""
    path = tmp_path / "missing.db"
    for handle in (f"sqlite:///{path}", sa.create_engine(f"sqlite:///{path}"), lambda: sqlite3.connect(path)):
        assert "does not exist" in _refusal(handle).message
        assert not path.exists()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """The reason is SQLite's own."""
    path = tmp_path / "shop.db"
    path.write_bytes(b"this is a text file, and long enough to be looked at as a database header" * 20)
    assert "not a database" in _refusal(f"sqlite:///{path}").message


def test_a_disk_without_room(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that does not fit is refused before it is begun, with the numbers."""

    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10_000, 9_000, 1_000))
    refused = _refusal(f"sqlite:///{file}")
    assert f"{2 * file.stat().st_size:,} bytes" in refused.message
    assert "1,000 free" in refused.message
    assert "TMPDIR" in refused.next_step


def test_no_place_for_a_copy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own error becomes a refusal: nothing ran, so the run has not failed."""
    monkeypatch.setattr("tempfile.tempdir", str(file.with_name("nowhere")))
    assert "TMPDIR" in _refusal(f"sqlite:///{file}").next_step


@pytest.mark.parametrize(
    "handle",
    [
        "nowhere", "sqlite://", "sqlite:///:memory:", "mysql://root:hunter2@db/shop",
        "postgresql+pg8000://u:hunter2@db/shop", "cockroachdb://u:hunter2@db/shop", 17, Path("x.db"),
        lambda: sqlite3.connect(":memory:"), lambda: None, lambda: 17,
    ],
    ids=lambda handle: handle.__name__ if callable(handle) else repr(handle),
)  # fmt: skip
def test_what_cannot_be_sealed(handle: Any) -> None:
    """Anything else is refused, says what works today, and shows no password."""
    refused = _refusal(handle)
    assert "a dry run works today on" in refused.next_step
    assert "hunter2" not in refused.message


def test_an_engine_in_memory() -> None:
    """There is no file to copy."""
    assert "in-memory" in _refusal(sa.create_engine("sqlite://")).message


def test_a_server_that_is_down() -> None:
    """Nothing listens there; the password of the URL is not shown."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        refused = _refusal(f"postgresql://shop:hunter2@127.0.0.1:{port}/shop")
    assert "cannot be reached" in refused.message
    assert "hunter2" not in refused.message


def test_a_wrong_database_or_role_or_url(postgres: Server) -> None:
    """The server's refusal is passed on, without the password."""
    assert "does not exist" in _refusal(postgres.url("nowhere")).message
    assert "does not exist" in _refusal(postgres.url("postgres", "nobody:hunter2")).message
    malformed = _refusal("postgresql://shop:hunter2@[::1/shop")
    assert "hunter2" not in malformed.message


def test_a_role_without_temp(postgres: Server) -> None:
    """The seal needs temporary tables: a role without TEMP is told what to grant."""
    with postgres.database() as name:
        postgres.execute(
            f"REVOKE TEMP ON DATABASE {name} FROM PUBLIC",
            "DROP ROLE IF EXISTS plain",
            "CREATE ROLE plain LOGIN",
            database=name,
        )
        refused = _refusal(postgres.url(name, "plain"))
    assert "TEMP" in refused.message
    assert refused.next_step == f"GRANT TEMP ON DATABASE {name} TO plain"


def test_an_unprivileged_role_with_temp_is_enough(postgres: Server) -> None:
    """No superuser is needed."""
    with postgres.database() as name:
        postgres.execute("DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk LOGIN")
        postgres.execute("CREATE TABLE t (id int)", "GRANT INSERT ON t TO clerk", database=name)
        seal = Databases().seal(postgres.url(name, "clerk"))
        with seal, psycopg.connect(postgres.url(name, "clerk")) as connection:
            connection.execute("INSERT INTO t VALUES (1)")
        assert [table.inserted for table in seal.report().tables] == [1]
        assert postgres.execute("SELECT count(*) FROM t", database=name) == [(0,)]


def test_a_connection_string_with_options_of_its_own(database_url: str) -> None:
    """Its options= replaces the one that makes the session read-only: refused, with what to do."""
    refused = _refusal(f"{database_url}&options=-csearch_path%3Dpublic")
    assert "not read-only" in refused.message
    assert "options=" in refused.next_step


def test_a_connection_from_before_the_dry_run_that_may_write(database_url: str) -> None:
    """A connection opened at import, before the options were set, is refused."""
    with psycopg.connect(database_url):
        assert "opened before the dry run" in _refusal(database_url).message


def test_a_connection_from_before_that_the_server_has_ended_is_no_obstacle(
    postgres: Server, database_url: str
) -> None:
    """Nothing can be written through a connection that is gone, though its client has not noticed."""
    with psycopg.connect(database_url) as connection:
        postgres.execute(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        with Databases().seal(database_url):
            pass


def test_a_read_only_connection_from_before_is_no_obstacle(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the options set before the app is imported, its early connections are read-only and stay."""
    import os

    from oneoff.databases.postgres.options import arm

    monkeypatch.setenv("PGOPTIONS", "")
    arm(os.environ)
    with psycopg.connect(database_url) as early:
        with Databases().seal(database_url):
            pass
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            early.execute("CREATE TABLE t (id int)")


def test_pooled_connections_from_before_are_closed(database_url: str) -> None:
    """A pool that was used at import is emptied, so that its connections do not outlive the seal's start."""
    engine = sa.create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    seal = Databases().seal(engine)
    with seal, engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (id int)"))
    assert seal.report().schema_changes == ("created table t",)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT to_regclass('t')")).scalar() is None
    engine.dispose()


def test_every_kind_of_handle_is_resolved(file: Path, database_url: str) -> None:
    """``ctx.db`` is what the app gave; a factory's result in place of the factory."""
    databases = Databases()
    engine = sa.create_engine(f"sqlite:///{file}")

    def connect() -> Any:
        return psycopg.connect(database_url)

    assert databases.resolve(engine) is engine
    assert databases.resolve(lambda: engine) is engine
    assert databases.resolve(lambda: database_url) == database_url
    assert databases.resolve(connect) is connect
    assert databases.resolve(None) is None
    for handle in (engine, connect, database_url, lambda: sqlite3.connect(file)):
        with databases.seal(handle):
            pass
    engine.dispose()


def _connect_and_write(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO t VALUES ('by the function')")
    connection.commit()
    return connection


def _make_tables(path: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE made (id int)"))
    return engine


def _journal(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def _around(path: Path) -> sqlite3.Connection:
    return _kept_connect(path)


_kept_connect = sqlite3.connect  # as `from sqlite3 import connect` in an app keeps it


@pytest.mark.parametrize("function", [_connect_and_write, _make_tables, _journal, _around])
def test_a_function_that_does_more_than_connect(function: Callable[[Path], Any], tmp_path: Path) -> None:
    """It is called before it is known what has to be sealed: it may read, and nothing else."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (v)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises((sqlite3.OperationalError, sa.exc.OperationalError, DryRunStopped)):
        Databases().seal(lambda: function(path))
    assert path.read_bytes() == before
    assert sqlite3.connect is _kept_connect


def test_a_function_that_reads_and_connects(tmp_path: Path) -> None:
    """Harmless settings of a connection are no writes."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (v)")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=1)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("CREATE TABLE IF NOT EXISTS t (v)")
        return connection

    with Databases().seal(connect) as seal, closing(connect()) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    assert [table.inserted for table in seal.report().tables] == [1]
