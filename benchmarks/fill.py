"""Fills a store with runs and their events by the thousand, as no run could: straight into its tables."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from tests.postgres import Server, make_store

from oneoff.audit import event as events
from oneoff.audit.event import Event, Observer, canonical, columns, full_type
from oneoff.audit.merkle import Growth, leaf_hash
from oneoff.runs.document import to_document
from oneoff.runs.run import Actor, Outcome, Process, Release, Run
from oneoff.runs.status import Status
from oneoff.stores import queries
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.sqlite import SqliteStore
from oneoff.types import JSONObject, RunId, TaskName, rfc3339

START = datetime(2026, 1, 1, tzinfo=UTC)
TASKS = tuple(f"task-{number}" for number in range(20))
ACTORS = tuple(f"person-{number}" for number in range(20))
ENVIRONMENTS = ("local", "staging", "production")
TABLES = tuple(f"table_{number}" for number in range(20))
_SQL = queries.load("sqlite.sql")
_BESIDE = "seq, type, run_id, actor, task, environment, time, status, measured"
_INSERT_EVENT = f"INSERT INTO audit_event ({_BESIDE}, event_id, hashes, body) VALUES (:"
_INSERT_EVENT += f"{_BESIDE.replace(', ', ', :')}, :event_id, :hashes, :body)"
_FILE_EVENTS = (
    f"INSERT INTO {{0}}audit_index ({_BESIDE}) SELECT {_BESIDE} FROM {{0}}audit_event WHERE seq < {{1}}"
)


def fill(path: Path, runs: int) -> SqliteStore:
    """A new store with so many runs of three events each, made to look like work."""
    SqliteStore.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    # Straight into the file: what is read back through gigabytes of a -wal file is read slowly.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -500000")
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    connection.execute("BEGIN")
    for kind, objects in (("TRIGGER", triggers), ("INDEX", indexes)):
        for name, _ in objects:
            connection.execute(f"DROP {kind} {name}")
    connection.executemany(
        "INSERT INTO actor (subject, kind, name) VALUES (?, 'human', ?)",
        [(subject(number), name) for number, name in enumerate(ACTORS)],
    )
    size = _rows(connection, runs)
    connection.execute(_FILE_EVENTS.format("", size - size % 256))
    connection.execute("UPDATE audit_head SET size = ?", [size])
    for _, sql in (*indexes, *triggers):
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return SqliteStore.open(path)


def fill_postgres(server: Server, name: str, runs: int) -> PostgresStore:
    """The same in a new database of this server."""
    server.execute(f"CREATE DATABASE {name}")
    url, owner = make_store(server, name), server.url(name)
    with psycopg.connect(owner, autocommit=True, options="") as connection:
        indexes = connection.execute(
            "SELECT indexdef, indexname FROM pg_indexes WHERE schemaname = 'oneoff'"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        ).fetchall()
        for _, index in indexes:
            connection.execute(f"DROP INDEX oneoff.{index}".encode())
        connection.execute("SET maintenance_work_mem = '500MB'")
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO oneoff.actor (subject, kind, name) VALUES (%s, 'human', %s)",
                [(subject(number), name) for number, name in enumerate(ACTORS)],
            )
            size = 0
            for page in _pages(runs):
                size += len(page.events)
                for table, rows in (
                    ("run", page.runs),
                    ("audit_event", page.events),
                    ("audit_event_table", page.tables),
                ):
                    _copy(connection, table, rows)
            connection.execute(_FILE_EVENTS.format("oneoff.", size - size % 256).encode())
            connection.execute(b"UPDATE oneoff.audit_head SET size = %s", [size])
            for definition, _ in indexes:
                connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE")
    return PostgresStore.open(url)


def _copy(connection: psycopg.Connection[Any], table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0]) if rows else []
    into = f"COPY oneoff.{table} ({', '.join(names)}) FROM STDIN".encode()
    if rows:
        with connection.cursor().copy(into) as copy:
            for row in rows:
                copy.write_row([row[name] for name in names])


def subject(number: int) -> str:
    """The opaque id of the actor of this number."""
    return f"{number:016x}"


def _rows(connection: sqlite3.Connection, runs: int) -> int:
    size = 0
    for page in _pages(runs):
        size += len(page.events)
        connection.executemany(_SQL["insert_run"], page.runs)
        connection.executemany(_INSERT_EVENT, page.events)
        connection.executemany("INSERT INTO audit_event_table VALUES (:seq, :name, :time)", page.tables)
    return size


@dataclass
class _Page:
    """Rows of three tables, by the names of their columns."""

    runs: list[Mapping[str, Any]] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    tables: list[Mapping[str, Any]] = field(default_factory=list)


def _pages(runs: int) -> Iterator[_Page]:
    growth, size, made = Growth(), 0, _made(runs)
    while some := list(islice(made, 1000)):
        page = _Page(runs=[values for values, _ in some])
        for beside, body in (told for _, of_run in some for told in of_run):
            row: dict[str, Any] = {**beside, "seq": size, "body": body, "hashes": growth.add(leaf_hash(body))}
            page.tables += [{"seq": size, "name": name, "time": row["time"]} for name in row.pop("tables")]
            row["event_id"] = row.pop("id")
            page.events.append(row)
            size += 1
        yield page


_Told = list[tuple[JSONObject, bytes]]
"""The events of a run: index columns and body."""


def _made(runs: int) -> Iterator[tuple[dict[str, Any], _Told]]:
    """The rows of each run. Real ones are made for a few; the others differ in what has to differ."""
    models = [_run(number) for number in range(_PERIOD)]
    rows = [_run_values(run) for run in models]
    words = [_words(number) for number in range(_PERIOD)]
    told = [[(columns(_envelope(event)), _envelope(event)) for event in _told(run)] for run in models]
    texts = [[(beside, canonical(envelope).decode()) for beside, envelope in events] for events in told]
    for number in range(runs):
        model = number % _PERIOD
        pairs = list(zip(words[model], _words(number), strict=True))
        values = rows[model]
        new: _Told = []
        for beside, text in texts[model]:
            own = [*pairs, (str(beside["id"]), os.urandom(16).hex())]
            time = dict(own)[str(beside["time"])]
            changed = {**beside, "id": own[-1][1], "run_id": pairs[0][1], "time": time}
            new.append((changed, _replaced(text, own).encode()))
        body = _replaced(values["body"], pairs)
        yield {**values, "id": pairs[0][1], "requested_at": pairs[1][1], "body": body}, new


_PERIOD = 60
"""After so many runs their tasks, actors, tables and endings come again."""


def _words(number: int) -> list[str]:
    """What differs between two runs of the same kind."""
    at = START + timedelta(seconds=number * 20)
    times = [rfc3339(at + timedelta(seconds=seconds)) for seconds in (0, 1, 9)]
    return [f"{at:%Y%m%d-%H%M%S}-{number:06x}", *times]


def _replaced(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def _run(number: int) -> Run:
    at = START + timedelta(seconds=number * 20)
    status = (Status.SUCCEEDED, Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED)[number % 4]
    measured = number % 3 == 0
    who = number % len(ACTORS)
    rows: JSONObject = {
        TABLES[number // 3 % len(TABLES)]: {"inserted": 0, "updated": 3, "deleted": number % 5}
    }
    return Run(
        id=RunId(f"{at:%Y%m%d-%H%M%S}-{number:06x}"),
        app="shop",
        task=TaskName(TASKS[number * 7 % len(TASKS)]),
        status=status,
        requested_at=at,
        started_at=at + timedelta(seconds=1),
        ended_at=at + timedelta(seconds=9),
        actor=Actor(kind="human", name=ACTORS[who], subject=subject(who)),
        release=Release(version="1.4.2", commit="c0ffee" * 6 + "c0ff", code="d" * 64, oneoff="0.1.0"),
        parameters={"older_than": "90d", "batch": number},
        environment=ENVIRONMENTS[number % 3],
        confirmation="none needed",
        reason=f"OPS-{number}",
        process=Process(host="worker-1", machine="boot/1", pid=4711, started="1234"),
        outcome=Outcome(status=status, exit_code=0, rows=rows if measured else None, duration_ms=8000),
        fence=1,
        version=2,
    )


_OBSERVER = Observer(host="worker-1", pid=4711)


def _told(run: Run) -> list[Event]:
    assert run.started_at
    assert run.ended_at
    return [
        events.requested(run, _OBSERVER, run.requested_at),
        events.starting(run, _OBSERVER, run.started_at),
        events.outcome(run, _OBSERVER, run.ended_at),
    ]


def _envelope(event: Event) -> JSONObject:
    envelope: JSONObject = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": full_type(event.type),
        "time": rfc3339(event.time),
        "datacontenttype": "application/json",
        "data": event.data,
        "subject": event.run_id,
    }
    return envelope


def _run_values(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "task": run.task,
        "status": run.status.value,
        "actor": run.actor.name,
        "subject": run.actor.subject,
        "environment": run.environment,
        "requested_at": rfc3339(run.requested_at),
        "lock": None,
        "version": run.version,
        "fence": run.fence,
        "heartbeat_at": None,
        "progress": None,
        "body": json.dumps(to_document(run), separators=(",", ":")),
    }
