"""The store in memory, for tests: the same contract, gone with the process."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from oneoff.audit.event import Event, StoredEvent, columns, decode, encode
from oneoff.audit.merkle import Checkpoint, Place, growth, leaf_hash, root_at
from oneoff.protocols import EventQuery, RunQuery
from oneoff.runs.document import from_document, to_document
from oneoff.runs.run import Actor, Progress, Run
from oneoff.runs.status import EXECUTING
from oneoff.stores import refusals
from oneoff.types import JSONObject, RunId, rfc3339


class MemoryStore:
    """A store in this process's memory; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._runs: dict[RunId, Run] = {}
        self._events: list[StoredEvent] = []
        self._event_ids: set[str] = set()
        self._hashes = dict[Place, bytes]()
        self._log_name = os.urandom(16).hex()
        self._actors: dict[tuple[str, str], str] = {}

    def create(self, run: Run, event: Event) -> Run:
        with self._lock:
            if run.id in self._runs:
                raise refusals.already_started(run)
            return self._put(run, event)

    def save(self, run: Run, event: Event | None = None) -> Run:
        with self._lock:
            stored = self.get(run.id)
            if stored.version != run.version:
                raise refusals.conflict(run)
            if stored.heartbeat_at and (run.heartbeat_at is None or stored.heartbeat_at > run.heartbeat_at):
                run = replace(run, heartbeat_at=stored.heartbeat_at, progress=stored.progress)
            return self._put(replace(run, version=run.version + 1), event)

    def get(self, run_id: RunId) -> Run:
        with self._lock:
            if run_id not in self._runs:
                raise refusals.not_found(run_id)
            return self._runs[run_id]

    def find(self, query: RunQuery) -> list[Run]:
        with self._lock:
            found = [run for run in self._runs.values() if _matches(run, query)]
        found.sort(key=lambda run: (run.requested_at, run.id), reverse=True)
        return found[: query.limit]

    def beat(self, run_id: RunId, fence: int, at: datetime, progress: Progress | None) -> Run | None:
        with self._lock:
            run = self.get(run_id)
            if run.fence != fence:
                return None
            if run.active:
                run = replace(run, heartbeat_at=at, progress=progress or run.progress)
                self._runs[run_id] = run
            return run

    def record(self, event: Event) -> None:
        with self._lock:
            self._append(event)

    def events(self, *, start: int = 0, run_id: RunId | None = None) -> Iterator[StoredEvent]:
        with self._lock:
            chosen = self._events[start:]
        return (event for event in chosen if run_id is None or event.columns["run_id"] == run_id)

    def search(self, query: EventQuery) -> list[StoredEvent]:
        subjects = {
            query.actor,
            *(subject for (_, name), subject in self._actors.items() if name == query.actor),
        }
        with self._lock:
            found = [event for event in self._events if _fits(event.columns, query, subjects)]
        found.sort(key=lambda event: (event.columns["time"], event.seq))
        return found if query.limit is None else found[max(0, len(found) - query.limit) :]

    def checkpoint(self) -> Checkpoint:
        with self._lock:
            return Checkpoint(len(self._events), root_at(len(self._events), self.hashes))

    def log_name(self) -> str:
        return self._log_name

    def hashes(self, places: Sequence[Place]) -> Mapping[Place, bytes]:
        with self._lock:
            return {place: self._hashes[place] for place in places}

    def subject(self, actor: Actor) -> str:
        with self._lock:
            return self._actors.setdefault((actor.kind, actor.name), os.urandom(8).hex())

    def actors(self) -> dict[str, Actor]:
        with self._lock:
            return {
                subject: Actor(kind=kind, name=name, subject=subject)
                for (kind, name), subject in self._actors.items()
            }

    def close(self) -> None:
        """Nothing to let go of."""

    def _put(self, run: Run, event: Event | None) -> Run:
        if run.lock is not None and run.status in EXECUTING:
            for other in self._runs.values():
                if other.id != run.id and other.lock == run.lock and other.status in EXECUTING:
                    raise refusals.lock_held(run.lock, other)
        # Through JSON and back, as every store keeps it: what cannot be kept fails in a test, too.
        kept = from_document(json.loads(json.dumps(to_document(run))))
        if event is not None:
            self._append(event)
        self._runs[run.id] = kept
        return kept

    def _append(self, event: Event) -> None:
        if event.id in self._event_ids:
            raise refusals.event_recorded(event.id)
        body = encode(event)
        stored = StoredEvent(
            seq=len(self._events), body=body, leaf=leaf_hash(body), columns=columns(decode(body))
        )
        self._events.append(stored)
        self._event_ids.add(event.id)
        self._hashes[0, stored.seq] = stored.leaf
        self._hashes |= growth(stored.seq, stored.leaf, self.hashes)


def _fits(beside: JSONObject, query: EventQuery, subjects: Container[str | None]) -> bool:
    exact = {
        "run_id": query.run_id,
        "type": query.type,
        "task": query.task,
        "environment": query.environment,
        "measured": query.measured,
        "status": query.status,
    }
    time, tables = str(beside["time"]), beside["tables"]
    return (
        all(wanted is None or beside[name] == wanted for name, wanted in exact.items())
        and (query.actor is None or beside["actor"] in subjects)
        and (query.table is None or (isinstance(tables, list) and query.table in tables))
        and (query.since is None or time >= rfc3339(query.since))
        and (query.until is None or time < rfc3339(query.until))
    )


def _matches(run: Run, query: RunQuery) -> bool:
    return (
        (query.statuses is None or run.status in query.statuses)
        and (query.task is None or run.task == query.task)
        and (query.actor is None or query.actor in (run.actor.name, run.actor.subject))
        and (query.since is None or run.requested_at >= query.since)
        and (query.id_prefix is None or run.id.startswith(query.id_prefix))
    )
