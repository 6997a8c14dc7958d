"""What the app's role may do in the store: read, and call functions that cannot be made to forge anything."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from oneoff.audit import event as events
from oneoff.audit.verify import verify
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.postgres_check import check
from tests.postgres import Server, database_of, make_store
from tests.records import begin, finish, make_run, note

TABLES = (
    "actor",
    "audit_event",
    "audit_event_table",
    "audit_head",
    "audit_index",
    "audit_log",
    "audit_pruned",
    "run",
    "store_version",
)
NOT_NULL = {
    "actor": "(subject, kind) VALUES ('x', 'human')",
    "audit_event": "(seq, event_id, type, time, hashes, body) VALUES (9, 'x', 't', 't', sha256(''), '')",
    "audit_event_table": "VALUES (9, 'x', 't')",
    "audit_head": "VALUES (1, 9)",
    "audit_index": "(seq, type, time) VALUES (9, 't', 't')",
    "audit_log": "VALUES (1, 'x')",
    "audit_pruned": "VALUES (9, '')",
    "run": "(id, task, status, actor, subject, environment, requested_at, version, fence, body)"
    " VALUES ('x', '', '', '', '', '', '', 0, 0, '')",
    "store_version": "VALUES (1, 9, 9)",
}
COLUMN = {"audit_head": "start", "audit_log": "name", "audit_pruned": "seq", "store_version": "version"}
EVERYWHERE = (
    "INSERT INTO oneoff.{table} {row}",
    "UPDATE oneoff.{table} SET {column} = {column}",
    "DELETE FROM oneoff.{table}",
    "TRUNCATE oneoff.{table}",
    "ALTER TABLE oneoff.{table} DISABLE TRIGGER ALL",
    "ALTER TABLE oneoff.{table} ADD COLUMN extra text",
    "DROP TABLE oneoff.{table}",
    "SELECT * FROM oneoff.{table} FOR UPDATE",
    "LOCK TABLE oneoff.{table} IN EXCLUSIVE MODE",
    "CREATE TRIGGER t BEFORE INSERT ON oneoff.{table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
)
ELSEWHERE = (
    "CREATE OR REPLACE FUNCTION oneoff.envelope(entry bytea) RETURNS jsonb LANGUAGE sql AS ''",
    "CREATE OR REPLACE FUNCTION oneoff.record(entry bytea) RETURNS void LANGUAGE sql AS ''",
    "CREATE OR REPLACE FUNCTION oneoff.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "ALTER FUNCTION oneoff.record(bytea) SECURITY INVOKER",
    "DROP FUNCTION oneoff.record(bytea)",
    "SELECT oneoff.envelope('')",
    "CREATE TABLE oneoff.more (id int)",
    "DROP SCHEMA oneoff CASCADE",
    "ALTER SCHEMA oneoff RENAME TO other",
    "ALTER SCHEMA oneoff OWNER TO CURRENT_USER",
    "SET ROLE oneoff_owner",
    "GRANT oneoff_owner TO CURRENT_USER",
    "SET session_replication_role = replica",
)


@pytest.fixture
def store(store_url: str) -> Iterator[PostgresStore]:
    store = PostgresStore.open(store_url)
    finish(store, begin(store, make_run()))
    yield store
    store.close()


@pytest.fixture
def as_app(store_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(store_url, autocommit=True, options="") as connection:
        yield connection


@pytest.mark.parametrize("table", TABLES)
def test_no_table_can_be_changed(table: str, store: PostgresStore, as_app: psycopg.Connection[Any]) -> None:
    """The app's role is refused at every way to write, and the log stays as it was."""
    before = store.checkpoint()
    for statement in EVERYWHERE:
        text = statement.format(table=table, row=NOT_NULL[table], column=COLUMN.get(table, "subject"))
        if "{column}" in statement and table in ("audit_event", "audit_event_table", "audit_index"):
            text = f"UPDATE oneoff.{table} SET time = time"
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_app.transaction():
            as_app.execute(text.encode())
    assert store.checkpoint() == before
    assert verify(store.events(), store.checkpoint, lambda _: False).ok


def test_every_table_is_looked_at(store_url: str, as_app: psycopg.Connection[Any]) -> None:
    """A table that comes later must not be forgotten here."""
    rows = as_app.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'oneoff'::regnamespace AND relkind = 'r'"
    )
    assert sorted(name for (name,) in rows) == list(TABLES)


@pytest.mark.parametrize("statement", ELSEWHERE)
def test_nothing_else_can_be_changed(
    statement: str, store: PostgresStore, as_app: psycopg.Connection[Any]
) -> None:
    """Neither functions, nor the schema, nor who owns it."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_app.execute(statement.encode())
    assert verify(store.events(), store.checkpoint, lambda _: False).ok


@pytest.mark.parametrize("table", [table for table in TABLES if table.startswith("audit_")])
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_triggers_stop_an_owner_by_mistake(
    role: str, table: str, store: PostgresStore, postgres: Server, store_url: str
) -> None:
    """Even a superuser has to turn the guards off first; replication's way around triggers does not."""
    database = database_of(store_url)
    for place in ("audit_pruned", "audit_index"):  # where there is nothing yet
        postgres.execute(f"INSERT INTO oneoff.{place} {NOT_NULL[place]}", database=database)
    column = COLUMN.get(table, "time")
    for statement in (f"UPDATE oneoff.{table} SET {column} = {column}", f"DELETE FROM oneoff.{table}"):
        with pytest.raises(psycopg.Error, match="append-only"):
            postgres.execute(f"SET session_replication_role = {role}", statement, database=database)
    with pytest.raises(psycopg.Error, match="append-only"):
        postgres.execute(
            f"SET session_replication_role = {role}", f"TRUNCATE oneoff.{table}", database=database
        )


def envelope(**changes: Any) -> bytes:
    """An event as bytes, with whatever somebody would make of it."""
    return json.dumps({**json.loads(events.encode(note())), **changes}).encode()


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"no JSON",
        b"[]",
        b"\xff\xfe",
        b"\x01" + envelope(),
        envelope(data=1),
        envelope(id=1),
        envelope(id=None),
        envelope(subject=1),
        envelope(type="outcome"),
        envelope(type="dev.oneoff.audit.run.x\x00.v1"),
        envelope(time="9999"),
        envelope(data={"text": "x" * 70_000}),
        envelope(data={"n": 2**53}),
        envelope(data={"deep": json.loads("[" * 300 + "]" * 300)}),
        envelope(data={"half": "\ud800"}),
    ],
    ids=lambda junk: repr(junk[:12] + junk[-30:]),
)
def test_what_is_no_event_is_refused(
    junk: bytes, store: PostgresStore, as_app: psycopg.Connection[Any]
) -> None:
    """What verification could not read does not get into the log."""
    before = store.checkpoint()
    with pytest.raises(psycopg.Error):
        as_app.execute("SELECT oneoff.record(%s)", [junk])
    assert store.checkpoint() == before


EDGE = (
    *(2**53 + step for step in (-2, -1, 0, 1)),
    *(-(2**53) + step for step in (-1, 0, 1, 2)),
    9007199254740991.5,
    1e15,
    1e16,
    -1e300,
    0.1,
)


@pytest.mark.parametrize(
    "event",
    [
        *(envelope(data={"n": n}) for n in EDGE),
        *(envelope(data={"a": [{"b": ["text", None, True, n]}]}) for n in EDGE),
        *(envelope(data={"d": json.loads("[" * depth + "]" * depth)}) for depth in (252, 253, 254, 255)),
        *(envelope(type=f"dev.oneoff.audit.{end}") for end in ("a.v1", "a.v", "A.v1", ".v1", "a.v1\n")),
        *(envelope(type=kind) for kind in ("dev.oneoff.audit.", "dev-oneoff.audit.a.v1", None, 1, ["a"])),
        *(
            envelope(time=f"2026-03-01{rest}")
            for rest in ("T12:00:00.000000Z", "T12:00:00.00000Z", "T12:00:00,000000Z", "T12:0x:00.000000Z",
                         "T12:-0:00.000000Z", "T12:00:00.000000Z\n", "T12:0\u0661:00.000000Z")
        ),
        envelope(time=None),
        envelope(time=20260301),
    ],
    ids=lambda event: repr(event[-60:]),
)  # fmt: skip
def test_the_quick_checks_refuse_the_same(
    event: bytes, as_app: psycopg.Connection[Any], postgres: Server, store_url: str, store: PostgresStore
) -> None:
    """What is asked of an event in a quick way is what these conditions say in a plain one."""
    [(plain,)] = as_app.execute(
        "SELECT coalesce(found ->> 'type' ~ '^dev\\.oneoff\\.audit\\.[a-z][a-z0-9_.-]*\\.v[0-9]+$'"
        " AND found ->> 'time' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$'"
        " AND NOT jsonb_path_exists(found, '$.**{256}')"
        " AND NOT jsonb_path_exists(found, '$.** ? (@ > 9007199254740991 || @ < -9007199254740991)'), false)"
        " FROM (SELECT %s::jsonb AS found) AS event",
        [event.decode()],
    ).fetchall()
    asked = "SELECT oneoff.envelope(decode(%s, 'hex'))"
    with psycopg.connect(postgres.url(database_of(store_url)), options="") as connection:
        try:
            connection.execute(asked, [event.hex()])
        except psycopg.Error as error:
            assert (error.sqlstate, plain) == ("OO005", False)
        else:
            assert plain


@pytest.mark.parametrize(
    "odd",
    [
        envelope(id="a", data={}),
        envelope(id="b", data={"target": {"task": 1, "environment": ["x"]}, "outcome": "none"}),
        envelope(id="c", data={"outcome": {"status": 1, "rows": {"t": 1, "\\u0000": {}, "ü": {}, "Z": {}}}}),
        envelope(id="d", type="dev.oneoff.audit.run.run.v1"),
        envelope(id="e", type="dev.oneoff.audit.run.v1"),
        envelope(id="f", type="dev.oneoff.audit.later.v2"),
        envelope(id="g\\\x00\\0\\\\u0000", subject="\\\x00\x00\\"),
        envelope(id="h", data={"outcome": {"rows": []}, "initiator": {"subject": "\u2028\U0001f680"}}),
    ],
    ids=lambda odd: repr(odd[-40:]),
)
def test_columns_follow_from_the_bytes(
    odd: bytes, store: PostgresStore, as_app: psycopg.Connection[Any]
) -> None:
    """Whatever odd event the role appends by hand, the server derives what Python derives."""
    as_app.execute("SELECT oneoff.record(%s)", [odd])
    last = next(store.events(start=3))
    assert last.columns == events.columns(events.decode(odd))
    assert verify(store.events(), store.checkpoint, lambda _: False).ok


def test_names_in_the_way_change_nothing(store: PostgresStore, postgres: Server, store_url: str) -> None:
    """Functions and tables of the caller under the same names are not used."""
    database = database_of(store_url)
    postgres.execute("GRANT CREATE ON SCHEMA public TO shop", database=database)
    with psycopg.connect(store_url, autocommit=True, options="") as connection:
        connection.execute(
            "CREATE FUNCTION public.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT '\\x00'::bytea $$"
        )
        connection.execute("CREATE TEMP TABLE audit_head AS SELECT 1 AS id, 77::bigint AS size")
        connection.execute("SET search_path = pg_temp, public, pg_catalog")
        connection.execute("SET synchronous_commit = off")
        connection.execute("SELECT oneoff.record(%s)", [events.encode(note())])
    assert store.checkpoint().size == 4
    assert verify(store.events(), store.checkpoint, lambda _: False).ok


def bad(url: str) -> dict[str, str]:
    return {finding.name: finding.message for finding in check(url) if not finding.ok}


def test_doctor_finds_a_healthy_store(store_url: str) -> None:
    """Every finding is good."""
    assert bad(store_url) == {}


WRONG = [
    (
        "GRANT INSERT ON oneoff.run TO keeper",
        "REVOKE INSERT ON oneoff.run FROM keeper",
        "role",
        "keeper on run",
    ),
    (
        "GRANT UPDATE ON oneoff.run TO PUBLIC",
        "REVOKE UPDATE ON oneoff.run FROM PUBLIC",
        "role",
        "everybody on run",
    ),
    (
        "GRANT CREATE ON SCHEMA oneoff TO keeper",
        "REVOKE CREATE ON SCHEMA oneoff FROM keeper",
        "role",
        "may create",
    ),
    ("GRANT oneoff_owner TO keeper", "REVOKE oneoff_owner FROM keeper", "role", "member"),
    ("ALTER ROLE keeper SUPERUSER", "ALTER ROLE keeper NOSUPERUSER", "role", "superuser"),
    (
        "REVOKE EXECUTE ON FUNCTION oneoff.record(bytea) FROM keeper",
        "GRANT EXECUTE ON FUNCTION oneoff.record(bytea) TO keeper",
        "role",
        "lacks EXECUTE on oneoff.record",
    ),
    ("ALTER ROLE oneoff_owner LOGIN", "ALTER ROLE oneoff_owner NOLOGIN", "owner", "may log in"),
    (
        "ALTER TABLE oneoff.run OWNER TO postgres",
        "ALTER TABLE oneoff.run OWNER TO oneoff_owner",
        "owner",
        "several",
    ),
    (
        "ALTER TABLE oneoff.audit_event DISABLE TRIGGER refuse_delete",
        "ALTER TABLE oneoff.audit_event ENABLE ALWAYS TRIGGER refuse_delete",
        "guards",
        "audit_event on refuse_delete",
    ),
]


def test_doctor_tells_of_rights_that_are_too_many_or_too_few(postgres: Server) -> None:
    """Ownership, grants, membership, guards."""
    with postgres.database() as database:
        url = make_store(postgres, database, "keeper")
        for do, undo, name, words in WRONG:
            postgres.execute(do, database=database)
            assert words in bad(url).get(name, ""), do
            postgres.execute(undo, database=database)
        assert bad(url) == {}


CLOCK = "oneoff.stores.postgres_check.time"


def test_doctor_tells_of_a_clock_that_is_off(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 5 s are told, with which of the two is ahead."""
    now = time.time
    monkeypatch.setattr(CLOCK, SimpleNamespace(time=lambda: now() - 60))
    assert "ahead of this one" in bad(store_url)["clock"]
    monkeypatch.setattr(CLOCK, SimpleNamespace(time=lambda: now() + 60))
    assert "behind this one" in bad(store_url)["clock"]
