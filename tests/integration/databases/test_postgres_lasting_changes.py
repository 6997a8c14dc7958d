"""What no rollback of PostgreSQL undoes, or what only a commit sends: it is stopped, or it is an effect."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from oneoff.databases.handles import Databases
from oneoff.dryrun.report import DatabaseReport, Report
from oneoff.errors import DryRunStopped
from tests.integration.databases.postgres_shop import WRITE, Shop, dry

_SEQUENCE = "CREATE SEQUENCE ticket; SELECT setval('ticket', 7)"


def _update(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute(WRITE)


def test_words_that_only_sound_like_it_pass(shop: Shop) -> None:
    """COPY to the client, and a column that is called like a function."""

    def task(shop: Shop) -> None:
        with shop.connect() as connection:
            connection.execute("ALTER TABLE account ADD dblink text, ADD program text")
            with connection.cursor().copy("COPY account TO STDOUT") as copy:
                assert list(copy)

    assert dry(shop, task).attempts == ()


def _moves(report: DatabaseReport) -> list[str]:
    assert Report(databases=(report,)).has_effects
    return [change.partition(", and stays there")[0] for change in report.other_changes]


def test_a_sequence_that_moved_is_named(shop: Shop) -> None:
    """What nextval drew, and what a function hid from the text, stays: the report names each with its way."""
    shop.server.execute(
        _SEQUENCE,
        "CREATE SEQUENCE fresh",
        "CREATE SEQUENCE quiet",
        "CREATE FUNCTION hidden() RETURNS bigint LANGUAGE sql AS $$ SELECT setval('ticket', 500) $$",
        database=shop.database,
    )

    def task(shop: Shop) -> None:
        with shop.connect() as connection:
            connection.execute("SELECT hidden(), nextval('fresh')")
            connection.execute("ALTER SEQUENCE quiet RESTART 70")
            connection.execute("CREATE TABLE made (id serial); INSERT INTO made DEFAULT VALUES")

    report = dry(shop, task)
    assert _moves(report) == [
        "sequence fresh moved from its start to 1",
        "sequence ticket moved from 7 to 500",
    ]
    assert shop.server.execute("SELECT last_value FROM ticket", database=shop.database) == [(500,)]
    assert report.attempts == ()


def test_a_sequence_that_moved_is_named_where_the_dry_run_was_stopped(shop: Shop) -> None:
    """A transaction that the task ended by itself does not hide it."""
    shop.server.execute(_SEQUENCE, database=shop.database)

    def task(shop: Shop) -> None:
        shop.connect().execute("SELECT nextval('ticket'); COMMIT")

    report = dry(shop, task)
    assert report.attempts
    assert _moves(report) == ["sequence ticket moved from 7 to 8"]


def test_a_sequence_that_others_move_is_no_effect(shop: Shop) -> None:
    """The live application goes on drawing numbers while a task reads."""
    shop.server.execute(_SEQUENCE, "CREATE SEQUENCE mine", database=shop.database)

    def task(shop: Shop) -> None:
        with shop.connect() as connection:
            connection.execute("SELECT nextval('mine')")
            shop.server.execute("SELECT nextval('ticket')", database=shop.database)

    assert _moves(dry(shop, task)) == ["sequence mine moved from its start to 1"]


NOTIFICATIONS: dict[str, list[str]] = {
    "NOTIFY carts": ["notifies channel carts"],
    "/* by the app */ notify \"Carts now\", 'x'": ['notifies channel "Carts now"'],
    "SELECT 1; NOTIFY a; NOTIFY b": ["notifies channel a", "notifies channel b"],
    "SELECT pg_catalog.pg_notify('carts', 'x')": ["notifies channel carts"],
    "SELECT pg_notify('c' || id, 'x') FROM account": ["sends notifications (pg_notify)"],
    "SELECT pg_notify(name, 'x') FROM account": ["sends notifications (pg_notify)"],
    "SELECT name AS notify FROM account": [],
}


@pytest.mark.parametrize("statement", NOTIFICATIONS)
def test_a_notification_is_an_effect(shop: Shop, statement: str) -> None:
    """A real run sends it on commit, so a task that only notifies is not one without effects."""

    def task(shop: Shop) -> None:
        with shop.connect() as connection:
            connection.execute(statement.encode())

    report = dry(shop, task)
    assert list(report.other_changes) == NOTIFICATIONS[statement]
    assert Report(databases=(report,)).has_effects == bool(NOTIFICATIONS[statement])
    assert report.attempts == ()


def test_a_notification_to_another_database_is_stopped(shop: Shop) -> None:
    """It is not sealed, and a read-only transaction delivers notifications."""
    with shop.server.database() as other:
        listener = psycopg.pq.PGconn.connect(shop.server.url(other).encode())
        listener.exec_(b"LISTEN carts")

        def task(shop: Shop) -> None:
            with psycopg.connect(shop.server.url(other)) as connection, contextlib.suppress(DryRunStopped):
                connection.execute("NOTIFY carts")

        report = dry(shop, task)
        listener.exec_(b"SELECT 1")  # what was sent comes with the next answer
        assert listener.notifies() is None
        listener.finish()
    assert any("NOTIFY carts" in attempt for attempt in report.attempts)


def test_a_sequence_that_the_role_may_not_read_is_left_out(shop: Shop) -> None:
    """It does not make the dry run fail."""
    shop.server.execute(
        _SEQUENCE,
        "DROP ROLE IF EXISTS porter",
        "CREATE ROLE porter LOGIN",
        "GRANT UPDATE ON account TO porter",
        "GRANT SELECT ON account TO porter",
        database=shop.database,
    )
    url = shop.server.url(shop.database, "porter")
    seal = Databases().seal(url)
    with seal, psycopg.connect(url) as connection:
        connection.execute(WRITE)
    assert seal.report().attempts == ()
    assert [table.updated for table in seal.report().tables] == [20]
    assert seal.report().other_changes == ()


def test_a_sequence_that_somebody_is_altering_does_not_hold_the_dry_run_up(shop: Shop) -> None:
    """Its lock is not waited for, and the report says that sequences were not looked at."""
    shop.server.execute(_SEQUENCE, database=shop.database)
    other = psycopg.pq.PGconn.connect(shop.url.encode())
    other.exec_(b"BEGIN; ALTER SEQUENCE ticket INCREMENT 2")
    report = dry(shop, _update)
    other.finish()
    assert report.attempts == ()
    assert [table.updated for table in report.tables] == [20]
    assert any("whether sequences moved" in gap and "lock" in gap for gap in report.not_covered)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE account ENABLE ROW LEVEL SECURITY",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE POLICY mine ON account",
        "CREATE TYPE mood AS ENUM ('good')",
        "ALTER TABLE account ALTER COLUMN name SET STATISTICS 10",
        "GRANT SELECT ON account TO PUBLIC",
        "COMMENT ON TABLE account IS 'of somebody'",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "SELECT lo_from_bytea(0, 'x')",
    ],
)
def test_what_is_not_compared_is_told_by_its_statement(shop: Shop, statement: str) -> None:
    """A report of it never says that no change was seen."""

    def task(_: Shop) -> None:
        with psycopg.connect(shop.url) as connection:
            connection.execute("SELECT 'GRANT' AS grant FROM account WHERE name = 'create type'")
            connection.execute(statement.encode())

    report = dry(shop, task)
    assert report.attempts == ()
    assert report.other_changes == (f"`{statement}`: by its statement, not compared",)
