"""The store in memory, for tests: the same contract, gone with the process."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from oneoff.audit.event import Event, StoredEvent, beside, decode, encode
from oneoff.audit.merkle import HASH_BYTES, Checkpoint, Place, grown, last_leaf, leaf_hash, root_at
from oneoff.protocols import EventQuery, RunQuery
from oneoff.runs.document import from_document, to_document, without_name
from oneoff.runs.run import Actor, Progress, Run
from oneoff.runs.status import EXECUTING
from oneoff.stores import refusals
from oneoff.types import RunId


class MemoryStore:
    """A store in this process's memory; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._runs: dict[RunId, Run] = {}
        self._events: list[StoredEvent] = []
        self._start = 0
        self._event_ids: set[str] = set()
        self._hashes: list[bytes] = []
        """Of every event, those that were pruned among them."""
        self._log_name = os.urandom(16).hex()
        self._actors: dict[str, Actor] = {}

    def create(self, run: Run, event: Event) -> Run:
        with self._lock:
            if run.id in self._runs:
                raise refusals.already_started(run)
            return self._put(run, event)

    def adopt(self, run: Run, events: Sequence[Event]) -> None:
        with self._lock:
            if run.id in self._runs:
                raise refusals.already_started(run)
            for event in events:
                self._append(event)
            self._put(run, None)

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
            chosen = self._events[max(0, start - self._start) :]
        return (event for event in chosen if run_id is None or event.columns["run_id"] == run_id)

    def search(self, query: EventQuery) -> list[StoredEvent]:
        subjects = {
            query.actor,
            *(subject for subject, actor in self._actors.items() if actor.name == query.actor),
        }
        with self._lock:
            found = [event for event in self._events if query.fits(event.columns, subjects)]
        found.sort(key=lambda event: (event.columns["time"], event.seq))
        return found if query.limit is None else found[max(0, len(found) - query.limit) :]

    def checkpoint(self) -> Checkpoint:
        with self._lock:
            return Checkpoint(self._size, root_at(self._size, self.hashes))

    def start(self) -> int:
        return self._start

    def prune(self, to: int, event: Event) -> None:
        with self._lock:
            if not self._start < to <= self._size:
                raise refusals.not_pruned(to, self._start, self._size)
            self._append(event)
            gone, self._events = self._events[: to - self._start], self._events[to - self._start :]
            self._start = to
            left = {stored.columns["run_id"] for stored in self._events}
            for run_id in {RunId(str(stored.columns["run_id"])) for stored in gone} - left:
                if run_id in self._runs and not self._runs[run_id].active:
                    del self._runs[run_id]

    def forget(self) -> bool:
        return False

    def log_name(self) -> str:
        return self._log_name

    def hashes(self, places: Sequence[Place]) -> Mapping[Place, bytes]:
        with self._lock:
            return {place: self._hash(place) for place in places}

    def _hash(self, place: Place) -> bytes:
        level, _ = place
        return self._hashes[last_leaf(place)][level * HASH_BYTES : (level + 1) * HASH_BYTES]

    def subject(self, actor: Actor) -> str:
        with self._lock:
            for subject, known in self._actors.items():
                if (known.kind, known.name) == (actor.kind, actor.name):
                    return subject
            subject = os.urandom(8).hex()
            self._actors[subject] = Actor(kind=actor.kind, name=actor.name, subject=subject)
            return subject

    def actors(self) -> dict[str, Actor]:
        with self._lock:
            return dict(self._actors)

    def erase(self, name: str, event: Event) -> int:
        with self._lock:
            self._append(event)
            for subject, actor in self._actors.items():
                if actor.name == name:
                    self._actors[subject] = replace(actor, name="")
            erased = {run.id: without_name(to_document(run), name) for run in self._runs.values()}
            changed = {run_id: from_document(found) for run_id, found in erased.items() if found}
            self._runs |= changed
            return len(changed)

    def close(self) -> None:
        """Nothing to let go of."""

    @property
    def _size(self) -> int:
        return self._start + len(self._events)

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
        hashes = grown(self._size, leaf_hash(body), self.hashes)
        stored = StoredEvent(self._size, body, hashes, beside(decode(body)))
        self._events.append(stored)
        self._event_ids.add(event.id)
        self._hashes.append(hashes)


def _matches(run: Run, query: RunQuery) -> bool:
    return (
        (query.statuses is None or run.status in query.statuses)
        and (query.task is None or run.task == query.task)
        and (query.actor is None or query.actor in (run.actor.name, run.actor.subject))
        and (query.since is None or run.requested_at >= query.since)
        and (query.id_prefix is None or run.id.startswith(query.id_prefix))
    )
