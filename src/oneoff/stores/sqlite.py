"""The store in one SQLite file: runs, the audit log and the directory of actors."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from oneoff.audit.event import COLUMNS, Event, StoredEvent, written
from oneoff.audit.merkle import HASH_BYTES, Checkpoint, Growth, Place, last_leaf, leaf_hash, peaks, root_at
from oneoff.errors import StoreUnavailable
from oneoff.protocols import EventQuery, RunQuery
from oneoff.runs.document import (
    from_document,
    progress_document,
    progress_from,
    to_document,
    without_name,
)
from oneoff.runs.run import Actor, Progress, Run
from oneoff.runs.status import ACTIVE
from oneoff.stores import failures, queries, refusals, sqlite_file
from oneoff.types import JSON, RunId, from_rfc3339, rfc3339

T = TypeVar("T")

_SQL = queries.load("sqlite.sql")
_FORGOTTEN_AT_ONCE = 1_000
"""Events deleted in one transaction: some tens of milliseconds, and others may write in between."""

_INSERT_EVENT = _SQL["insert_event"]
_ID, _TIME = map(COLUMNS.index, ("id", "time"))
_PLACES = ("in_index", "in_tail")

_Row = tuple[Any, ...]


class SqliteStore:
    """A store in one file. Threads may share it; a forked child may not (SQLite, howtocorrupt §2.6)."""

    page_size = 128
    """Events read at once: no read transaction stays open while the caller works on them, and so few stay in
    the processor's cache until then."""
    _known: _End | None = None
    """The end of the log after this process's last append: the next one need not read it again."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._identity = sqlite_file.identity(path)

    @classmethod
    def open(cls, path: Path) -> SqliteStore:
        """Open the store at ``path``, and make or upgrade it if need be.

        A folder that is made for it is private and hidden from git.

        Raises:
            StoreUnavailable: it cannot be used: not writable, no room, locked.
            StoreCorrupted: the file is damaged or no store.
            StoreVersionMismatch: a newer oneoff wrote it.
        """
        return cls(path, sqlite_file.prepare(path))

    def create(self, run: Run, event: Event) -> Run:
        self.adopt(run, [event])
        return run

    def adopt(self, run: Run, events: Sequence[Event]) -> None:
        entries = [_entry(event) for event in events]
        with self._write() as connection:
            if connection.execute(_SQL["select_run"], {"id": run.id}).fetchone():
                raise refusals.already_started(run)
            self._change(connection, _SQL["insert_run"], run)
            for entry in entries:
                self._append(connection, entry)

    def save(self, run: Run, event: Event | None = None) -> Run:
        entry = None if event is None else _entry(event)
        with self._write() as connection:
            saved = self._change(connection, _SQL["update_run"], replace(run, version=run.version + 1))
            if saved is None:
                known = connection.execute(_SQL["select_run"], {"id": run.id}).fetchone()
                raise refusals.conflict(run) if known else refusals.not_found(run.id)
            if entry is not None:
                self._append(connection, entry)
            return self._run(saved)

    def get(self, run_id: RunId) -> Run:
        row = self._one(_SQL["select_run"], {"id": _plain(run_id)})
        if row is None:
            raise refusals.not_found(run_id)
        return self._run(row)

    def find(self, query: RunQuery) -> list[Run]:
        always: dict[str, Any] = {
            "task": query.task,
            "since": None if query.since is None else rfc3339(query.since),
            "id_prefix": query.id_prefix,
        }
        # One status at a time, a name or a subject: each has an index in the order of the result.
        statuses: list[dict[str, Any]] = [{}]
        if query.statuses == ACTIVE:
            statuses = [{"active": True}]
        elif query.statuses is not None:
            statuses = [{"status": status.value} for status in query.statuses]
        actors: list[dict[str, Any]] = [{}]
        if query.actor is not None:
            actors = [{"actor": query.actor}, {"subject": query.actor}]
        found: dict[str, Run] = {}
        for status in statuses:
            for actor in actors:
                found |= {run.id: run for run in self._newest_runs(always | status | actor, query.limit)}
        newest = sorted(found.values(), key=lambda run: (rfc3339(run.requested_at), run.id), reverse=True)
        return newest if query.limit is None else newest[: query.limit]

    def _newest_runs(self, conditions: Mapping[str, Any], limit: int | None) -> list[Run]:
        given = _texts({name: value for name, value in conditions.items() if value is not None})
        where = " AND ".join(_SQL[f"where_{name}"] for name in given)
        sql = " ".join((_SQL["find_runs"], f"WHERE {where}" if where else "", _SQL["newest_first"]))
        rows = self._read(sql, {**given, "limit": -1 if limit is None else limit})  # negative: no limit
        return [self._run(row) for row in rows]

    def beat(self, run_id: RunId, fence: int, at: datetime, progress: Progress | None) -> Run | None:
        values = {
            "id": run_id,
            "fence": fence,
            "at": rfc3339(at),
            "progress": None if progress is None else json.dumps(progress_document(progress)),
        }
        row = self._one(_SQL["beat"], values)
        if row is not None:
            return self._run(row)
        run = self.get(run_id)
        return run if run.fence == fence else None

    def record(self, event: Event) -> None:
        entry = _entry(event)
        if self._known is not None and not entry.tables:
            with self._using() as connection:
                if self._placed(connection, entry, self._known):  # one statement, and one transaction
                    return
        with self._write() as connection:
            self._append(connection, entry)

    def events(self, *, start: int = 0, run_id: RunId | None = None) -> Iterator[StoredEvent]:
        while True:
            rows, tables = self._page(start) if run_id is None else self._page_of_run(start, run_id)
            for row in rows:
                yield _stored(row, tables.get(row[0], []))
            if len(rows) < self.page_size:
                return
            start = rows[-1][0] + 1

    def _page(self, start: int) -> tuple[list[_Row], Mapping[int, list[JSON]]]:
        """Rows of events, and the tables of those that have some."""
        rows = self._read(_SQL["scan_events"], {"start": start, "limit": self.page_size})
        tables = dict[int, list[JSON]]()
        if rows:
            # Later than the events, and none the less theirs: both were written at once, and stay.
            which = {"first": rows[0][0], "last": rows[-1][0]}
            for seq, name in self._read(_SQL["scan_event_tables"], which):
                tables.setdefault(seq, []).append(name)
        return rows, tables

    def _page_of_run(self, start: int, run_id: RunId) -> tuple[list[_Row], Mapping[int, list[JSON]]]:
        conditions = " AND ".join(_SQL[f"event_{name}"] for name in ("run_id", "from"))
        values = {"start": start, "limit": self.page_size, "run_id": _plain(run_id)}
        rows = self._read(_everywhere(conditions, _SQL["first_events"]), values)
        return [row[:-1] for row in rows], {row[0]: json.loads(row[-1]) for row in rows}

    def search(self, query: EventQuery) -> list[StoredEvent]:
        given = queries.conditions(query)
        if query.actor is None:
            return self._newest(given, query.limit)
        # One subject at a time, for the index: a name may stand for several kinds of actor.
        subjects = {subject for (subject,) in self._read(_SQL["select_subjects"], {"name": query.actor})}
        found = [
            event
            for subject in subjects | {query.actor}
            for event in self._newest({**given, "actor": subject}, query.limit)
        ]
        found.sort(key=lambda event: (event.columns["time"], event.seq))
        return found if query.limit is None else found[max(0, len(found) - query.limit) :]

    def _newest(self, given: Mapping[str, Any], limit: int | None) -> list[StoredEvent]:
        of_table = "_of_table" if "table" in given else ""
        conditions = " AND ".join(
            _SQL.get(f"event_{name}{of_table}") or _SQL[f"event_{name}"] for name in ("kept", *given)
        )
        if of_table:
            parts = (_SQL["select_events"], _SQL["in_tables"], conditions, _SQL["newest_events_of_table"])
            sql = " ".join(parts)
        else:
            sql = _everywhere(conditions, _SQL["newest_events"])
        rows = self._read(sql, {**_texts(given), "limit": -1 if limit is None else limit})
        return [_stored(row[:-1], json.loads(row[-1])) for row in reversed(rows)]

    def checkpoint(self) -> Checkpoint:
        size, _ = self._head(self._one(_SQL["select_head"], {}))
        return Checkpoint(size, root_at(size, self.hashes))

    def start(self) -> int:
        return self._head(self._one(_SQL["select_head"], {}))[1]

    def prune(self, to: int, event: Event) -> None:
        entry = _entry(event)
        with self._write() as connection:
            size, start = self._head(connection.execute(_SQL["select_head"]).fetchone())
            if not start < to <= size:
                raise refusals.not_pruned(to, start, size)
            self._append(connection, entry)
            connection.execute(_SQL["move_start"], {"start": to})

    def forget(self) -> bool:
        with self._using() as connection:
            connection.execute("PRAGMA secure_delete = ON")  # deleted is overwritten
            with sqlite_file.transaction(connection):
                (first,) = connection.execute(_SQL["select_pruned"]).fetchone()
                if first is None:
                    return False
                _, start = self._head(connection.execute(_SQL["select_head"]).fetchone())
                which = {"first": first, "end": min(start, first + _FORGOTTEN_AT_ONCE)}
                for step in ("keep_hashes", "delete_runs", "delete_tables", "delete_index", "delete_events"):
                    connection.execute(_SQL[step], which)
            if which["end"] < start:
                return True
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return False

    def log_name(self) -> str:
        row = self._one(_SQL["select_log"], {})
        if row is None:
            raise failures.damaged(self.path, "the audit log has no name")
        return str(row[0])

    def hashes(self, places: Sequence[Place]) -> Mapping[Place, bytes]:
        return self._read_with(lambda connection: self._hashes(connection, places))

    def _hashes(self, connection: sqlite3.Connection, places: Sequence[Place]) -> Mapping[Place, bytes]:
        wanted = {(last_leaf(place), place[0]): place for place in places}
        rows = connection.execute(_SQL["select_hashes"], {"places": json.dumps([*wanted])})
        found = {wanted[seq, level]: hash_ for seq, level, hash_ in rows}
        for place, hash_ in found.items():
            if hash_ is None or len(hash_) != HASH_BYTES:
                raise failures.damaged(self.path, f"the audit log lacks the hash of subtree {place}")
        return found

    def subject(self, actor: Actor) -> str:
        who = {"kind": _plain(actor.kind), "name": _plain(actor.name)}
        row = self._one(_SQL["select_subject"], who)
        if row is None:
            self._read(_SQL["insert_actor"], {**who, "subject": os.urandom(8).hex()})
            row = self._one(_SQL["select_subject"], who)
        if row is None:
            raise failures.damaged(self.path, "it does not keep the actors it is given")
        return str(row[0])

    def actors(self) -> dict[str, Actor]:
        rows = self._read(_SQL["select_actors"], {})
        return {subject: Actor(kind=kind, name=name or "", subject=subject) for subject, kind, name in rows}

    def erase(self, name: str, event: Event) -> int:
        entry, plain, changed = _entry(event), _plain(name), 0
        with self._using() as connection:
            connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
            with sqlite_file.transaction(connection):
                connection.execute(_SQL["erase_actor"], {"name": plain})
                which = {"text": json.dumps(name)}
                for (run_id,) in connection.execute(_SQL["select_runs_with"], which).fetchall():
                    (body, *_) = connection.execute(_SQL["select_run"], {"id": run_id}).fetchone()
                    erased: Any = without_name(json.loads(body), name)
                    if erased is not None:
                        text = json.dumps(erased, separators=(",", ":"))
                        actor = _plain(erased["actor"]["name"])
                        connection.execute(_SQL["erase_run"], {"id": run_id, "actor": actor, "body": text})
                        changed += 1
                self._append(connection, entry)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return changed

    def close(self) -> None:
        if os.getpid() == self._pid:
            with self._lock:
                self._connection.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection for this thread alone, with foreign errors explained."""
        if os.getpid() != self._pid:
            raise StoreUnavailable(
                f"process {os.getpid()} was forked from the one that opened the store {self.path}",
                next_step="only the process that runs the task may write; a child returns its result to it",
            )
        with self._lock:
            try:
                if sqlite_file.identity(self.path) != self._identity:
                    # SQLite would go on writing into a file that no name leads to.
                    raise failures.swapped(self.path)
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise failures.explain(error, self.path) from error

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._using() as connection, sqlite_file.transaction(connection):
            yield connection

    def _read(self, sql: str, values: Mapping[str, Any]) -> list[_Row]:
        return self._read_with(lambda connection: connection.execute(sql, values).fetchall())

    def _read_with(self, read: Callable[[sqlite3.Connection], T]) -> T:
        with self._using() as connection:
            return read(connection)

    def _one(self, sql: str, values: Mapping[str, Any]) -> _Row | None:
        rows = self._read(sql, values)
        return rows[0] if rows else None

    def _change(self, connection: sqlite3.Connection, sql: str, run: Run) -> _Row | None:
        """Insert or update the run; LockHeld where another one executes under its lock."""
        values = _values(run)
        try:
            rows: list[_Row] = connection.execute(sql, values).fetchall()
        except sqlite3.IntegrityError:
            holder = connection.execute(_SQL["select_lock_holder"], values).fetchone()
            if holder is None or run.lock is None:
                raise
            raise refusals.lock_held(run.lock, self._run(holder)) from None
        return rows[0] if rows else None

    def _append(self, connection: sqlite3.Connection, entry: _Entry) -> None:
        """Give an event the next place, in a transaction."""
        if self._known is not None and self._placed(connection, entry, self._known):
            return
        size, _ = self._head(connection.execute(_SQL["select_head"]).fetchone())
        growth = Growth(size, self._hashes(connection, peaks(0, size)))
        row = connection.execute(_SQL["select_last_id"], {"last": size - 1}).fetchone()
        self._known = _End(growth, row[0] if row else None)
        if not self._placed(connection, entry, self._known):
            raise failures.damaged(
                self.path, f"its head counts {size} events, and event {size - 1} is missing"
            )

    def _placed(self, connection: sqlite3.Connection, entry: _Entry, end: _End) -> bool:
        """Give an event the next place, unless the log does not end so any more."""
        seq, made = end.growth.size, end.growth.next(entry.leaf)
        values = (*entry.columns, made, entry.body, seq, end.last_id)
        try:
            if connection.execute(_INSERT_EVENT, values).rowcount != 1:
                return False
        except sqlite3.IntegrityError as error:
            if connection.execute(_SQL["select_event_id"], {"id": entry.id}).fetchone():
                raise refusals.event_recorded(entry.id) from None
            raise failures.damaged(self.path, f"event {seq} stands beyond the audit log's head") from error
        if entry.tables:
            which = {"seq": seq, "time": entry.time, "tables": json.dumps(entry.tables)}
            connection.execute(_SQL["insert_event_tables"], which)
        # A transaction that fails after all leaves this ahead of the log: the next insert finds none like it.
        end.growth.take(made)
        end.last_id = entry.id
        return True

    def _head(self, head: _Row | None) -> tuple[int, int]:
        """Size and start of the log."""
        if head is None:
            raise failures.damaged(self.path, "the audit log has no head")
        size, start, filed = head
        if filed is not None and filed >= size:
            raise failures.damaged(self.path, refusals.filed_too_far(filed, size))
        return int(size), int(start)

    def _run(self, row: _Row) -> Run:
        body, heartbeat_at, progress = row
        try:
            return replace(
                from_document(json.loads(body)),
                heartbeat_at=None if heartbeat_at is None else from_rfc3339(heartbeat_at),
                progress=None if progress is None else progress_from(json.loads(progress)),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise failures.damaged(self.path, f"a run in it cannot be read ({error!r})") from error


@dataclass
class _End:
    """The end of the log, as far as the next append needs it."""

    growth: Growth
    last_id: str | None
    """Of the last event; None where there is none."""


class _Entry(NamedTuple):
    """An event's row, but for its place."""

    columns: tuple[Any, ...]
    """Those of :data:`COLUMNS` that are in its own table, in that order."""
    tables: Any
    body: bytes
    leaf: bytes

    @property
    def id(self) -> str:
        return str(self.columns[_ID])

    @property
    def time(self) -> str:
        return str(self.columns[_TIME])


def _entry(event: Event) -> _Entry:
    """Made before the transaction, to keep that short."""
    body, (*columns, tables) = written(event)
    return _Entry(tuple(columns), tables, body, leaf_hash(body))


def _everywhere(conditions: str, order: str) -> str:
    """Reads events from the index, and those behind it from the log's tail, in one statement."""
    parts = (
        f"SELECT * FROM ({_SQL['select_events']} {_SQL[place]} {conditions} {order})" for place in _PLACES
    )
    return f"{' UNION ALL '.join(parts)} {order}"


def _stored(row: _Row, tables: list[JSON]) -> StoredEvent:
    return StoredEvent(
        row[0], row[1], row[2], (*row[4:], tables), bool(row[3])
    )  # measured: 1 is True, 0 is False


def _values(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "task": _plain(run.task),
        "status": run.status.value,
        "actor": _plain(run.actor.name),
        "subject": run.actor.subject,
        "environment": _plain(run.environment),
        "requested_at": rfc3339(run.requested_at),
        "lock": None if run.lock is None else _plain(run.lock),
        "version": run.version,
        "fence": run.fence,
        "heartbeat_at": None if run.heartbeat_at is None else rfc3339(run.heartbeat_at),
        "progress": None if run.progress is None else json.dumps(progress_document(run.progress)),
        "body": json.dumps(to_document(run), separators=(",", ":")),
    }


def _texts(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, str) else value for name, value in values.items()}


def _plain(text: str) -> str:
    """Text that SQLite takes: half a surrogate pair (an undecodable byte) has no UTF-8."""
    return text.encode(errors="backslashreplace").decode()
