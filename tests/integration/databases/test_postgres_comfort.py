"""Code that commits, rolls back and nests behaves in a sealed dry run as it does for real."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from oneoff.databases.handles import Databases
from oneoff.dryrun.report import DatabaseReport
from oneoff.errors import DryRunStopped
from tests.postgres import Server

Connect = Callable[..., psycopg.Connection[Any]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A database with one table, for one test."""

    server: Server
    database: str
    url: str

    def seen(self, task: Callable[[Connect], list[Any]]) -> tuple[list[Any], DatabaseReport]:
        """What a task sees when it is sealed, and the report."""
        seal = Databases().seal(self.url)
        with seal:
            seen = task(self.connect)
        return seen, seal.report()

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, **options)


@pytest.fixture
def place(postgres: Server) -> Iterator[Place]:
    with postgres.database() as name:
        postgres.execute(
            "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)",
            "INSERT INTO item SELECT g, g FROM generate_series(1, 5) g",
            database=name,
        )
        yield Place(server=postgres, database=name, url=postgres.url(name))


def _ids(connection: psycopg.Connection[Any]) -> list[int]:
    return [row[0] for row in connection.execute("SELECT id FROM item ORDER BY id").fetchall()]


def _commit_and_rollback(connect: Connect) -> list[Any]:
    with connect() as one:
        one.execute("DELETE FROM item WHERE id = 1")
        one.commit()
        one.execute("DELETE FROM item WHERE id = 2")
        one.rollback()
        return [_ids(one)]


def _error_then_rollback(connect: Connect) -> list[Any]:
    with connect() as one:
        one.execute("DELETE FROM item WHERE id = 1")
        one.commit()
        with pytest.raises(psycopg.errors.UniqueViolation):
            one.execute("INSERT INTO item VALUES (2, 2)")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            one.execute("SELECT 1")
        one.rollback()
        return [_ids(one)]


def _failed_transaction_is_not_committed(connect: Connect) -> list[Any]:
    with connect() as one:
        one.execute("DELETE FROM item WHERE id = 1")
        with pytest.raises(psycopg.errors.UniqueViolation):
            one.execute("INSERT INTO item VALUES (2, 2)")
        one.commit()
        return [_ids(one)]


def _nested_blocks(connect: Connect) -> list[Any]:
    with connect() as one:
        with one.transaction():
            one.execute("DELETE FROM item WHERE id = 1")
            with pytest.raises(ZeroDivisionError), one.transaction():
                one.execute("DELETE FROM item WHERE id = 2")
                raise ZeroDivisionError
            with one.transaction(force_rollback=True):
                one.execute("DELETE FROM item WHERE id = 3")
        with pytest.raises(psycopg.ProgrammingError), one.transaction():
            one.commit()
        with pytest.raises(ZeroDivisionError), one.transaction():
            one.execute("DELETE FROM item WHERE id = 4")
            raise ZeroDivisionError
        return [_ids(one)]


def _block_in_autocommit(connect: Connect) -> list[Any]:
    with connect(autocommit=True) as one:
        one.execute("DELETE FROM item WHERE id = 1")
        with one.transaction(force_rollback=True):
            one.execute("DELETE FROM item WHERE id = 2")
        one.rollback()
        return [_ids(one)]


def _autocommit_error_does_not_spread(connect: Connect) -> list[Any]:
    with connect(autocommit=True) as one:
        one.execute("DELETE FROM item WHERE id = 1")
        with pytest.raises(psycopg.errors.UniqueViolation):
            one.execute("INSERT INTO item VALUES (2, 2)")
        one.execute("DELETE FROM item WHERE id = 3")
        one.rollback()
        return [_ids(one)]


def _autocommit_switched(connect: Connect) -> list[Any]:
    with connect() as one:
        one.execute("DELETE FROM item WHERE id = 1")
        with pytest.raises(psycopg.ProgrammingError):
            one.autocommit = True
        one.rollback()
        one.autocommit = True
        one.execute("DELETE FROM item WHERE id = 2")
        one.autocommit = False
        one.execute("DELETE FROM item WHERE id = 3")
        one.rollback()
        return [_ids(one)]


def _closed_without_commit(connect: Connect) -> list[Any]:
    one = connect()
    one.execute("DELETE FROM item")
    one.close()
    with pytest.raises(psycopg.OperationalError, match="closed"):
        one.execute("SELECT 1")
    with connect() as two:
        return [one.closed, _ids(two)]


def _savepoints_by_hand(connect: Connect) -> list[Any]:
    with connect() as one:
        one.execute("SAVEPOINT here")
        one.execute("DELETE FROM item WHERE id = 1")
        one.execute("ROLLBACK TO SAVEPOINT here")
        one.execute("DELETE FROM item WHERE id = 2")
        return [_ids(one)]


def _many_and_streams(connect: Connect) -> list[Any]:
    with connect() as one, one.cursor() as cursor:
        cursor.executemany("INSERT INTO item VALUES (%s, %s)", [(n, n) for n in range(10, 30)])
        streamed = [row[0] for row in cursor.stream("SELECT id FROM item WHERE id > 25 ORDER BY id")]
        with cursor.copy("COPY (SELECT id FROM item WHERE id < 3 ORDER BY id) TO STDOUT") as copy:
            copied = [row[0] for row in copy.rows()]
        cursor.executemany("UPDATE item SET n = 0 WHERE id = %s RETURNING id", [(1,), (2,)], returning=True)
        returned = [cursor.fetchone(), cursor.nextset(), cursor.fetchone()]
        return [streamed, copied, returned, _ids(one)]


def _server_side_cursor_beside_writes(connect: Connect) -> list[Any]:
    read = []
    with connect() as reader, connect() as writer:
        with reader.cursor("walk") as cursor:
            cursor.itersize = 2
            cursor.execute("SELECT id FROM item ORDER BY id")
            for (id_,) in cursor:
                read.append(id_)
                writer.execute("UPDATE item SET n = n + 10 WHERE id = %s", (id_,))
                writer.commit()
        total = writer.execute("SELECT sum(n) FROM item").fetchone()
        return [read, total]


def _two_connections_after_a_failure(connect: Connect) -> list[Any]:
    with connect() as one, connect() as two:
        with pytest.raises(psycopg.errors.UniqueViolation):
            one.execute("INSERT INTO item VALUES (1, 1)")
        two.execute("INSERT INTO item VALUES (77, 1)")
        two.commit()
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            one.execute("SELECT 1")
        one.rollback()
        return [_ids(one), _ids(two)]


def _own_factories(connect: Connect) -> list[Any]:
    with connect(row_factory=dict_row, cursor_factory=psycopg.ClientCursor) as one:
        cursor = one.cursor()
        cursor.execute(sql.SQL("SELECT {} AS a, n FROM item WHERE id = %s").format(sql.Literal("x")), (1,))
        return [isinstance(cursor, psycopg.ClientCursor), cursor.fetchall()]


def _prepared(connect: Connect) -> list[Any]:
    with connect(prepare_threshold=0) as one, connect(prepare_threshold=0) as two:
        seen = []
        for _ in range(3):
            for connection in (one, two):
                seen.append(connection.execute("SELECT n FROM item WHERE id = %s", (2,)).fetchone())
                connection.commit()
        one.execute("DELETE FROM item WHERE id = 1")
        one.rollback()
        return [*seen, two.execute("SELECT n FROM item WHERE id = %s", (2,)).fetchone()]


def _pipeline(connect: Connect) -> list[Any]:
    with connect() as one:
        with one.pipeline():
            one.execute("DELETE FROM item WHERE id = 1")
            cursor = one.execute("SELECT count(*) FROM item")
        counted = cursor.fetchone()
        one.rollback()
        return [counted, _ids(one)]


TASKS = [
    _commit_and_rollback, _error_then_rollback, _failed_transaction_is_not_committed, _nested_blocks,
    _block_in_autocommit, _autocommit_error_does_not_spread, _autocommit_switched, _closed_without_commit,
    _savepoints_by_hand, _many_and_streams, _server_side_cursor_beside_writes,
    _two_connections_after_a_failure, _own_factories, _prepared, _pipeline,
]  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__.strip("_"))
def test_a_task_sees_in_a_dry_run_what_it_sees_for_real(
    place: Place, task: Callable[[Connect], list[Any]]
) -> None:
    """The same code gives the same results sealed and for real, and the sealed run leaves the table alone."""
    sealed, report = place.seen(task)
    assert place.server.execute("SELECT count(*), sum(n) FROM item", database=place.database) == [(5, 15)]
    assert report.attempts == ()
    assert sealed == task(place.connect)


def test_a_rollback_that_would_undo_another_connections_work_fails_the_dry_run(place: Place) -> None:
    """Two connections with interleaved work share one session: what cannot be told apart is not guessed."""

    def task(connect: Connect) -> list[Any]:
        with connect() as one, connect() as two:
            one.execute("DELETE FROM item WHERE id = 1")
            two.execute("DELETE FROM item WHERE id = 2")
            with pytest.raises(DryRunStopped, match="two connections"):
                one.rollback()
            two.commit()
        return []

    _, report = place.seen(task)
    assert any("two connections" in attempt for attempt in report.attempts)


def test_values_in_client_side_literals_are_left_out(place: Place) -> None:
    """A statement that psycopg composes is recorded with a place holder where its literal stood."""

    def task(connect: Connect) -> list[Any]:
        with connect() as one:
            one.execute(
                sql.SQL("SELECT {}, {}").format(sql.Literal("secret"), sql.Identifier("n"))
                + sql.SQL(" FROM item")
            )
        return []

    _, report = place.seen(task)
    assert [statement.sql for statement in report.statements] == ['SELECT %s, "n" FROM item']


def test_options_of_the_user_are_kept_and_put_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGOPTIONS of the user's own are in force during the dry run, and are as before after it."""
    monkeypatch.setenv("PGOPTIONS", "-c search_path=pg_catalog")

    def task(connect: Connect) -> list[Any]:
        with connect() as one:
            return one.execute("SHOW search_path").fetchall()

    seen, _ = place.seen(task)
    assert seen == [("pg_catalog",)]
    assert os.environ["PGOPTIONS"] == "-c search_path=pg_catalog"


@pytest.mark.parametrize("end", [RuntimeError("mine"), KeyboardInterrupt(), SystemExit(4)], ids=repr)
def test_the_tasks_own_error_comes_out(place: Place, end: BaseException) -> None:
    """Whatever ends the task comes out unchanged, the session is gone, and the counts so far are kept."""
    seal = Databases().seal(place.url)
    with pytest.raises(type(end)) as raised, seal, place.connect() as connection:
        connection.execute("DELETE FROM item")
        connection.commit()
        raise end
    assert raised.value is end
    assert [table.deleted for table in seal.report().tables] == [5]
    deadline = time.monotonic() + 10
    while _backends(place):  # a server needs a moment to see that a client is gone
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_goes_away_stops_the_dry_run(place: Place) -> None:
    """The backend is terminated in the middle: the task is stopped, and the report says why."""
    seal = Databases().seal(place.url)
    with pytest.raises(DryRunStopped, match="lost") as stopped, seal, place.connect() as connection:
        connection.execute("DELETE FROM item")
        place.server.psql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{place.database}'",
            "postgres",
        )
        connection.execute("SELECT 1")
    assert isinstance(stopped.value.__cause__, psycopg.OperationalError)
    assert seal.report().attempts == (str(stopped.value),)
    assert not seal.report().measured


def test_a_killed_dry_run_leaves_no_transaction_behind(place: Place) -> None:
    """kill -9 in the middle: the server ends the session by itself, and nothing stays."""
    code = (
        "import sys, time, psycopg\n"
        "from oneoff.databases.handles import Databases\n"
        "url = sys.argv[1]\n"
        "with Databases().seal(url), psycopg.connect(url) as connection:\n"
        "    connection.execute('DELETE FROM item')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, place.url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert [state for _, state in _backends(place)] == ["idle in transaction"]
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _backends(place):
        assert time.monotonic() < deadline, "the session outlived its process"
        time.sleep(0.01)
    assert place.server.execute("SELECT count(*) FROM item", database=place.database) == [(5,)]


def test_a_batch_task_commits_as_often_as_it_likes(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A batch task's savepoints are given up as it goes, and psycopg logs nothing unusual."""

    def task(connect: Connect) -> list[Any]:
        with connect() as one:
            for number in range(2_000):
                one.execute("INSERT INTO item VALUES (%s, 0)", (1_000 + number,))
                one.commit()
        return []

    with caplog.at_level(logging.WARNING):
        _, report = place.seen(task)
    assert [table.inserted for table in report.tables] == [2_000]
    assert caplog.records == []


def _backends(place: Place) -> list[Any]:
    return place.server.execute(
        "SELECT pid, state FROM pg_stat_activity"
        f" WHERE datname = '{place.database}' AND backend_type = 'client backend'"
    )
