"""The end of a real run whose effects are measured: all of its work is kept, or none."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oneoff.databases.handles import Databases
from oneoff.databases.postgres import ending
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.report import TableEffect
from oneoff.errors import CommitUnknown, DryRunStopped, NotCommitted
from tests.postgres import Server, serve
from tests.threads import let_go

_SCHEMA = """
CREATE TABLE item (id int PRIMARY KEY, v int);
CREATE TABLE part (id int PRIMARY KEY, item int REFERENCES item DEFERRABLE INITIALLY DEFERRED);
INSERT INTO item SELECT n, 0 FROM generate_series(1, 10) n;
"""
_KEEPS = Measure(keeps=True)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        yield postgres.url(name)


def _ask(url: str, query: str) -> Any:
    with psycopg.connect(url, options="") as connection:
        return connection.execute(query.encode()).fetchall()


def test_all_connections_are_kept_in_one_commit(url: str) -> None:
    """What was committed stays with one transaction number, and what was left open does not."""
    seal = Databases().seal(url, _KEEPS)
    with seal:
        for number in (1, 2):
            with psycopg.connect(url) as connection:
                connection.execute("UPDATE item SET v = %s WHERE id = %s", (number, number))
        left_open = psycopg.connect(url)
        left_open.execute("DELETE FROM item")
        assert _other_reader(url, "SELECT sum(v) FROM item") == "0"
        left_open.rollback()
        seal.measure()
        seal.keep()
    assert seal.report().tables == (TableEffect(table="item", updated=2),)
    assert _ask(url, "SELECT sum(v), count(*) FROM item") == [(3, 10)]
    assert _ask(url, "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_oneoff%'") == [(0,)]


def _other_reader(url: str, query: str) -> str:
    code = "import sys, psycopg; print(psycopg.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])"
    done = subprocess.run([sys.executable, "-c", code, url, query], check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_nothing_is_kept_that_a_commit_would_refuse(url: str) -> None:
    """A deferred constraint is checked while the transaction is still sealed, and it stays so."""
    seal = Databases().seal(url, _KEEPS)
    with seal:
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO part VALUES (1, 99)")
        seal.measure()
        with pytest.raises(NotCommitted):
            seal.keep()
    assert "the commit of a real run would fail" in seal.report().attempts[0]
    assert _ask(url, "SELECT count(*) FROM part") == [(0,)]


@contextmanager
def _waiting_commit() -> Iterator[tuple[Server, str]]:
    """A server whose COMMIT waits for a replica that never comes, where it is asked to."""
    with serve() as server, server.database() as name:
        server.execute(_SCHEMA, database=name)
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        yield server, server.url(name)


def _keep_while(url: str, act: Callable[[int], None]) -> None:
    seal = Databases().seal(url, _KEEPS)
    with seal:
        with psycopg.connect(url) as connection:
            connection.execute("SET synchronous_commit = on")
            connection.execute("UPDATE item SET v = 7")
            pid = connection.info.backend_pid
        seal.measure()
        actor = threading.Thread(target=act, args=[pid])
        actor.start()
        try:
            seal.keep()
        finally:
            actor.join()


def _until_it_commits(server: Server, pid: int) -> None:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'SyncRep'"
    deadline = time.monotonic() + 20
    while _other_reader(server.url("postgres"), query) == "0" and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_connection_lost_in_the_commit_is_asked_after() -> None:
    """The server says that the transaction was committed, so it was."""
    with _waiting_commit() as (server, url):

        def end(pid: int) -> None:
            _until_it_commits(server, pid)
            server.psql(f"SELECT pg_terminate_backend({pid})", "postgres")

        _keep_while(url, end)
        assert _ask(url, "SELECT sum(v) FROM item") == [(70,)]


def test_a_server_lost_in_the_commit_leaves_it_unknown() -> None:
    """Nobody can say, and nobody claims to."""
    with _waiting_commit() as (server, url):

        def end(pid: int) -> None:
            _until_it_commits(server, pid)
            server.stop()

        with pytest.raises(CommitUnknown, match="lost during COMMIT"):
            _keep_while(url, end)
        server.start()


def test_a_transaction_does_not_live_for_ever(url: str) -> None:
    """Past its limit the server has rolled it back, although the task sends nothing; its locks are gone."""
    seal = Databases().seal(url)
    with seal, suppress(DryRunStopped), psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE item")
        session: Any = connection
        with ending.Cap(session.session, 0.2):
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                with suppress(psycopg.errors.LockNotAvailable):
                    _ask_beside(url, "SET lock_timeout = 50; SELECT count(*) FROM item")
                    break
        connection.execute("SELECT 1")
    assert any("was open for" in attempt for attempt in seal.report().attempts)
    assert not seal.report().measured


def _ask_beside(url: str, query: str) -> None:
    pgconn = psycopg.pq.PGconn.connect(url.encode())
    try:
        result = pgconn.exec_(query.encode())
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            raise psycopg.errors.LockNotAvailable
    finally:
        pgconn.finish()


_KEEP = """
import sqlite3, sys
from pathlib import Path
from oneoff.databases.handles import Databases
from oneoff.dryrun.measure import Measure
path = sys.argv[1]
seal = Databases().seal(f"sqlite:///{path}", Measure(keeps=True))
with seal:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE item SET v = v + 1")
    connection.execute("CREATE TABLE IF NOT EXISTS made AS SELECT * FROM item")
    connection.commit()
    connection.close()
    seal.measure()
    print("measured", flush=True)
    seal.keep()
print("kept", flush=True)
"""


def _file(folder: Path, mode: str, rows: int) -> Path:
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, v INT, padding TEXT)")
        database.execute("CREATE TABLE other (n INT)")
        database.execute("INSERT INTO other VALUES (0)")
        database.executemany("INSERT INTO item VALUES (?, 0, ?)", ((n, "x" * 500) for n in range(rows)))
        database.commit()
    return path


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_kill_leaves_the_file_before_or_after(tmp_path: Path, mode: str) -> None:
    """At any moment of bringing the copy over: never half of it, and the next run works."""
    path, chance, done = _file(tmp_path, mode, 20_000), random.Random(7), 0
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", _KEEP, path], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"measured\n"
        time.sleep(chance.random() * 0.12)
        process.send_signal(signal.SIGKILL)
        told = process.communicate()[0]
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            (values,) = database.execute("SELECT group_concat(DISTINCT v) FROM item").fetchall()
            made = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'made'").fetchone()[0]
        now = int(values[0])
        assert now in (done, done + 1)
        assert made == (now > 0)
        assert now == done + 1 or b"kept" not in told
        done = now
    assert (
        subprocess.run([sys.executable, "-c", _KEEP, path], check=True, capture_output=True).returncode == 0
    )


_WRITER = """
import random, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
print("up", flush=True)
done = 0
try:
    while True:
        connection.execute("UPDATE other SET n = n + 1")
        done += 1
        time.sleep(random.random())
except KeyboardInterrupt:
    print(done, flush=True)
"""


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_no_write_of_others_is_lost(tmp_path: Path, mode: str) -> None:
    """Beside a busy writer a run is kept or refused, and every row that the writer committed is there."""
    path = _file(tmp_path, mode, 500)
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, path], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"up\n"
    kept = refused = 0
    deadline = time.monotonic() + 30
    while not (kept and refused) and time.monotonic() < deadline:
        seal = Databases().seal(f"sqlite:///{path}", _KEEPS)
        with seal:
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("UPDATE item SET v = v + 1")
            seal.measure()
            try:
                seal.keep()
                kept += 1
            except NotCommitted:
                refused += 1
    writer.send_signal(signal.SIGINT)
    counted = int(writer.communicate()[0])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT n FROM other").fetchone()[0] in (counted, counted + 1)
        assert database.execute("SELECT DISTINCT v FROM item").fetchall() == [(kept,)]
    assert kept


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_lasting_setting_cannot_be_brought_over(tmp_path: Path, mode: str) -> None:
    """A backup would not carry it: nothing is committed, with the reason."""
    path = _file(tmp_path, mode, 10)
    seal = Databases().seal(f"sqlite:///{path}", _KEEPS)
    with seal:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {'delete' if mode == 'wal' else 'wal'}")
            connection.execute("DELETE FROM item")
            connection.commit()
        seal.measure()
        with pytest.raises(NotCommitted, match="changed the journal_mode"):
            seal.keep()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (10,)


def test_a_thread_that_goes_on_writing_is_not_kept(tmp_path: Path) -> None:
    """What it writes after the counts would come along with the copy."""
    path, go = _file(tmp_path, "delete", 10), threading.Event()
    thread = threading.Thread(target=go.wait, args=[20], name="left")
    seal = Databases().seal(f"sqlite:///{path}", _KEEPS)
    with seal:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM item")
        thread.start()
        seal.measure()
        with pytest.raises(NotCommitted, match="left threads running \\(left\\)"):
            seal.keep()
    go.set()
    thread.join()
    let_go()


def test_a_file_that_others_lock_is_given_up(tmp_path: Path) -> None:
    """Within seconds, and with nothing changed."""
    path = _file(tmp_path, "wal", 10)
    seal = Databases().seal(f"sqlite:///{path}", _KEEPS)
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE')"
    command = [sys.executable, "-c", f"{code}; print(1, flush=True); input()", str(path)]
    with seal:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM item")
        seal.measure()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None and holder.stdout.readline()
            with pytest.raises(NotCommitted, match="locked"):
                seal.keep()
            holder.kill()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (10,)
