"""The store in a PostgreSQL database: runs, the audit log and the directory of actors, in one schema.

Its role may read, and call the functions of the schema (``sql/postgres_1_pre.sql``): what is appended, and
where, is decided there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeAlias

import psycopg

from oneoff.audit.event import Event, StoredEvent, encode
from oneoff.audit.merkle import HASH_BYTES, Checkpoint, Place, last_leaf, root_at
from oneoff.errors import OneoffError, StoreUnavailable
from oneoff.protocols import EventQuery, RunQuery
from oneoff.runs.document import (
    from_document,
    progress_document,
    progress_from,
    to_document,
    without_name,
)
from oneoff.runs.run import Actor, Progress, Run
from oneoff.stores import postgres_failures as failures
from oneoff.stores import queries, refusals
from oneoff.stores.postgres_call import Row
from oneoff.stores.postgres_link import Link
from oneoff.types import JSON, JSONObject, RunId, from_rfc3339, rfc3339

VERSION = 1
"""The version of the schema that this client was written for."""

_Page: TypeAlias = tuple[list[Row], Mapping[int, list[str]]]
"""Rows of events, and the tables of those that have some."""
_PAGE = 2000
"""Events read at once: no transaction stays open while the caller works on them."""
_LOCK_TRIES = 20
"""How often a change is tried that others come before, such as one that holds a lock and lets it go."""
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class PostgresStore:
    """A store in one database. Threads may share it; a forked child may not."""

    version = VERSION
    statements: Mapping[str, str] = queries.load("postgres.sql")

    def __init__(self, link: Link) -> None:
        self._link = link
        self.unwritable: StoreUnavailable | None = None
        """Why nothing can be written here, if that is known from the start: a replica, a reader's role."""

    @classmethod
    def open(cls, url: str) -> PostgresStore:
        """Open the store in the database at ``url``; nothing is made or upgraded.

        Raises:
            StoreUnavailable: the server cannot be reached, or has no store.
            StoreVersionMismatch: it has to be upgraded first, or was upgraded beyond this oneoff.
        """
        store = cls(Link(url))
        try:
            store._check()
        except BaseException:
            store.close()
            raise
        return store

    def _check(self) -> None:
        row = self._one("select_version")
        if row is None:
            raise failures.damaged(self.place, "it does not say its version")
        version, oldest_client, replica, may_write = row
        if self.version < oldest_client:
            raise failures.newer(
                self.place,
                f"has version {version} and takes clients of version {oldest_client} or newer;"
                f" this oneoff is of version {self.version}",
            )
        if self.version > version:
            raise failures.older(
                self.place, f"has version {version}, and this oneoff needs version {self.version}"
            )
        if replica:
            self.unwritable = failures.only_to_read(self.place, "pg_is_in_recovery")
        elif not may_write:
            self.unwritable = failures.denied(self.place, "it may only read")

    @property
    def place(self) -> str:
        """The store's address, without who logs in."""
        return self._link.place

    def create(self, run: Run, event: Event) -> Run:
        entry = encode(event)
        self._change("create_run", run, {"record": _record(run), "event": entry}, self._recorded(event))
        return run

    def adopt(self, run: Run, events: Sequence[Event]) -> None:
        entries = [encode(event) for event in events]
        landed = self._recorded(events[-1])
        self._change("adopt_run", run, {"record": _record(run), "events": entries}, landed)

    def save(self, run: Run, event: Event | None = None) -> Run:
        entry = None if event is None else encode(event)
        new = replace(run, version=run.version + 1)
        values = {"record": _record(new), "event": entry}
        landed = self._saved(new) if event is None else self._recorded(event)
        rows = self._change("save_run", new, values, landed)
        if rows:
            return self._run(rows[0])
        now = self.get(run.id)  # the answer was lost, the change was not
        return now if now.version == new.version else new

    def get(self, run_id: RunId) -> Run:
        row = self._one("select_run", {"id": _plain(run_id)})
        if row is None:
            raise refusals.not_found(run_id)
        return self._run(row)

    def find(self, query: RunQuery) -> list[Run]:
        values: dict[str, Any] = {
            "statuses": None if query.statuses is None else sorted(query.statuses),
            "task": query.task,
            "actor": query.actor,
            "since": None if query.since is None else rfc3339(query.since),
            "id_prefix": query.id_prefix,
        }
        given = {name: value for name, value in values.items() if value is not None}
        given = {name: _plain(value) if isinstance(value, str) else value for name, value in given.items()}
        where = " AND ".join(self.statements[f"where_{name}"] for name in given)
        conditions = f"WHERE {where}" if where else ""
        rows = self._link.ask(
            " ".join((self.statements["find_runs"], conditions, self.statements["newest_first"])),
            {**given, "limit": query.limit},
        )
        return [self._run(row) for row in rows]

    def beat(self, run_id: RunId, fence: int, at: datetime, progress: Progress | None) -> Run | None:
        values = {
            "id": run_id,
            "fence": fence,
            "at": rfc3339(at),
            "progress": None if progress is None else json.dumps(progress_document(progress)),
        }
        rows = self._tell("beat", values)
        if rows:
            return self._run(rows[0])
        run = self.get(run_id)
        return run if run.fence == fence else None

    def record(self, event: Event) -> None:
        self._change("record", None, {"event": encode(event)}, self._recorded(event))

    def events(self, *, start: int = 0, run_id: RunId | None = None) -> Iterator[StoredEvent]:
        for rows, tables in self._pages(start) if run_id is None else self._pages_of_run(run_id, start):
            for row in rows:
                yield _stored(row, tables.get(row[0]))

    def _pages(self, start: int) -> Iterator[_Page]:
        """The whole log. While one page is looked at, the server and a thread are at the next: half of the
        time of a verification was waiting.
        """
        from concurrent.futures import ThreadPoolExecutor  # only who reads all of a log needs it

        with ThreadPoolExecutor(1, thread_name_prefix="oneoff-page") as reader:
            page = reader.submit(self._page, start)
            while True:
                rows, tables = page.result()
                if len(rows) < _PAGE:
                    yield rows, tables
                    return
                page = reader.submit(self._page, rows[-1][0] + 1)
                yield rows, tables

    def _pages_of_run(self, run_id: RunId, start: int) -> Iterator[_Page]:
        while True:
            rows, tables = self._page_of_run(start, run_id)
            yield rows, tables
            if len(rows) < _PAGE:
                return
            start = rows[-1][0] + 1

    def _page(self, start: int) -> _Page:
        """Rows of events, and the tables of those that have some."""
        rows = self._link.ask_apart(self.statements["scan_events"], {"start": start, "limit": _PAGE})
        tables = dict[int, list[str]]()
        if rows:
            # Later than the events, and none the less theirs: both were written at once, and stay.
            which = {"first": rows[0][0], "last": rows[-1][0]}
            for seq, name in self._link.ask_apart(self.statements["scan_event_tables"], which):
                tables.setdefault(seq, []).append(name)
        return rows, tables

    def _page_of_run(self, start: int, run_id: RunId) -> _Page:
        conditions = " AND ".join(self.statements[name] for name in ("event_run_id", "event_from"))
        values = {"start": start, "limit": _PAGE, "run_id": _escaped(run_id)}
        rows = self._link.ask(self._everywhere(conditions, self.statements["first_events"]), values)
        return [row[:-1] for row in rows], {row[0]: row[-1] for row in rows}

    def search(self, query: EventQuery) -> list[StoredEvent]:
        given = queries.conditions(query)
        if query.actor is None:
            return self._newest(given, query.limit)
        # One subject at a time, for the index: a name may stand for several kinds of actor.
        rows = self._link.ask(self.statements["select_subjects"], {"name": _plain(query.actor)})
        found = [
            event
            for subject in {query.actor, *(subject for (subject,) in rows)}
            for event in self._newest({**given, "actor": subject}, query.limit)
        ]
        found.sort(key=lambda event: (event.columns["time"], event.seq))
        return found if query.limit is None else found[max(0, len(found) - query.limit) :]

    def _newest(self, given: Mapping[str, Any], limit: int | None) -> list[StoredEvent]:
        of_table = "_of_table" if "table" in given else ""
        conditions = " AND ".join(
            self.statements.get(f"event_{name}{of_table}") or self.statements[f"event_{name}"]
            for name in ("kept", *given)
        )
        if of_table:
            select, order = self.statements["select_events"], self.statements["newest_events_of_table"]
            statement = f"{select} {self.statements['in_tables']} {conditions} {order}"
        else:
            statement = self._everywhere(conditions, self.statements["newest_events"])
        values = {name: _escaped(value) if isinstance(value, str) else value for name, value in given.items()}
        rows = self._link.ask(statement, {**values, "limit": limit})
        return [_stored(row[:-1], row[-1]) for row in reversed(rows)]

    def _everywhere(self, conditions: str, order: str) -> str:
        """Reads events from the index, and those behind it from the log's tail, in one statement."""
        select = self.statements["select_events"]
        places = (self.statements[place] for place in ("in_index", "in_tail"))
        return f"{' UNION ALL '.join(f'({select} {place} {conditions} {order})' for place in places)} {order}"

    def checkpoint(self) -> Checkpoint:
        size, _ = self._head()
        return Checkpoint(size, root_at(size, self.hashes))

    def start(self) -> int:
        return self._head()[1]

    def _head(self) -> tuple[int, int]:
        """Size and start of the log."""
        row = self._one("select_head")
        if row is None:
            raise failures.damaged(self.place, "the audit log has no head")
        size, start, filed = row
        if filed is not None and filed >= size:
            raise failures.damaged(self.place, refusals.filed_too_far(filed, size))
        return int(size), int(start)

    def prune(self, to: int, event: Event) -> None:
        self._change("prune", None, {"to": to, "event": encode(event)}, self._recorded(event))

    def forget(self) -> bool:
        [(more,)] = self._tell("forget", {})
        return bool(more)

    def log_name(self) -> str:
        row = self._one("select_log")
        if row is None:
            raise failures.damaged(self.place, "the audit log has no name")
        return str(row[0])

    def hashes(self, places: Sequence[Place]) -> Mapping[Place, bytes]:
        wanted = {(last_leaf(place), place[0]): place for place in places}
        seqs, levels = [seq for seq, _ in wanted], [level for _, level in wanted]
        rows = self._link.ask(self.statements["select_hashes"], {"seqs": seqs, "levels": levels})
        found = {wanted[seq, level]: hash_ for seq, level, hash_ in rows if len(hash_) == HASH_BYTES}
        for place in places:
            if place not in found:
                raise failures.damaged(self.place, f"the audit log lacks the hash of subtree {place}")
        return found

    def subject(self, actor: Actor) -> str:
        who = {"kind": _plain(actor.kind), "name": _plain(actor.name)}
        row = self._one("select_subject", who)
        if row is None:
            [row] = self._tell("subject_of", who)
        return str(row[0])

    def actors(self) -> dict[str, Actor]:
        rows = self._link.ask(self.statements["select_actors"])
        return {subject: Actor(kind=kind, name=name or "", subject=subject) for subject, kind, name in rows}

    def erase(self, name: str, event: Event) -> int:
        entry = encode(event)
        for _ in range(_LOCK_TRIES):
            changes = self._without(name)
            values = {"name": _plain(name), "changes": json.dumps(changes), "event": entry}
            answer = self._change("erase", None, values, self._recorded(event))
            if not answer or answer[0][0]:  # no answer: it was lost, the change was not
                return len(changes)
        raise failures.busy(self.place)

    def _without(self, name: str) -> list[JSONObject]:
        """The records of runs that have this name, without it, and which state of them it was taken from."""
        changes: list[JSONObject] = []
        for run_id, body in self._link.ask(self.statements["select_runs_with"], {"text": json.dumps(name)}):
            erased: Any = without_name(json.loads(body), name)
            if erased is not None:
                changes.append(
                    {
                        "id": run_id,
                        "was": sha256(body.encode()).hexdigest(),
                        "actor": _plain(erased["actor"]["name"]),
                        "body": json.dumps(erased, separators=(",", ":")),
                    }
                )
        return changes

    def close(self) -> None:
        self._link.close()

    def _one(self, name: str, values: Mapping[str, Any] | None = None) -> Row | None:
        rows = self._link.ask(self.statements[name], values)
        return rows[0] if rows else None

    def _change(
        self, name: str, run: Run | None, values: Mapping[str, Any], landed: Callable[[], bool]
    ) -> list[Row]:
        """Make a change that may be made once only; empty where it is made and the answer was lost.

        ``landed`` says whether it is recorded.
        """
        for _ in range(_LOCK_TRIES):
            try:
                return self._tell(name, values, landed)
            except psycopg.Error as error:
                refusal = self._refusal(error, run)
                if refusal is not None:
                    raise refusal from None
        raise refusals.conflict(run) if run else failures.damaged(self.place, "it refuses without a reason")

    def _tell(
        self, name: str, values: Mapping[str, Any], landed: Callable[[], bool] = lambda: False
    ) -> list[Row]:
        """Send a change, again where the connection was lost on the way and the change is not recorded.

        Two of the same cannot both be recorded: of an event's id, and of a run's version, there is one.
        """
        statement = self.statements[name]
        try:
            return self._link.tell(statement, values)
        except failures.ConnectionLost:
            if landed():
                return []
        try:
            return self._link.tell(statement, values)
        except psycopg.Error:
            if landed():  # the first one was still under way
                return []
            raise

    def _recorded(self, event: Event) -> Callable[[], bool]:
        return lambda: self._one("select_event_id", {"id": event.id}) is not None

    def _saved(self, run: Run) -> Callable[[], bool]:
        values = {"id": run.id, "version": run.version, "body": _body(run)}
        return lambda: self._one("select_saved", values) is not None

    def _refusal(self, error: psycopg.Error, run: Run | None) -> OneoffError | None:
        """Why the change was refused; None where it is worth another try."""
        constraint = error.diag.constraint_name
        if constraint == "run_lock" and run is not None and run.lock is not None:
            holder = self._one("select_lock_holder", {"lock": _plain(run.lock), "id": run.id})
            return None if holder is None else refusals.lock_held(run.lock, self._run(holder))
        if constraint == "run_pkey" and run is not None:
            return refusals.already_started(run)
        if constraint == "audit_event_id":
            return refusals.event_recorded(_event_id(error))
        if error.sqlstate == "OO002" and run is not None:
            return refusals.conflict(run)
        if error.sqlstate == "OO003" and run is not None:
            return refusals.not_found(run.id)
        if error.sqlstate == "OO004":
            return refusals.not_pruned(*map(int, (error.diag.message_detail or "").split()))
        if error.sqlstate == "OO007":
            return refusals.too_young(failures.one_line(error))
        return failures.damaged(self.place, failures.one_line(error))

    def _run(self, row: Row) -> Run:
        body, heartbeat_at, progress = row
        try:
            return replace(
                from_document(json.loads(body)),
                heartbeat_at=None if heartbeat_at is None else from_rfc3339(heartbeat_at),
                progress=None if progress is None else progress_from(json.loads(progress)),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise failures.damaged(self.place, f"a run in it cannot be read ({error!r})") from error


def _event_id(error: psycopg.Error) -> str:
    """Of PostgreSQL's detail: ``Key (event_id)=(…) already exists.``"""
    return (error.diag.message_detail or "").partition("=(")[2].partition(")")[0]


def _stored(row: Row, tables: Sequence[str] | None) -> StoredEvent:
    names: list[JSON] = [*sorted(map(_unescaped, tables))] if tables else []
    texts = row[4:]
    if b"\\" in row[1]:  # an event whose body has none has none beside it
        texts = tuple(_unescaped(text) if isinstance(text, str) else text for text in texts)
    return StoredEvent(row[0], row[1], row[2], (*texts, names), row[3])


def _body(run: Run) -> str:
    return json.dumps(to_document(run), separators=(",", ":"))


def _record(run: Run) -> str:
    """The row of a run, as JSON."""
    return json.dumps(
        {
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
            "body": _body(run),
        }
    )


def _plain(text: str) -> str:
    """Text that PostgreSQL takes: it has no NUL, and half a surrogate pair has no UTF-8."""
    return text.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")


def _escaped(text: str) -> str:
    """Text as it stands in a column beside an event."""
    words = text.encode(errors="backslashreplace").decode()
    return words.replace("\\", "\\\\").replace("\x00", "\\0")


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\x00" if found[1] == "0" else found[1], text)
