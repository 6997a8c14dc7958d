"""What ``audit selftest`` attacks: a log that the product's own code has written, and what is kept outside of
it. Each attack begins with the same log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from oneoff.audit import event
from oneoff.audit.event import Event, decode, short_type
from oneoff.audit.evidence import Statement
from oneoff.audit.note import VerifyKey
from oneoff.audit.witness import Sighting
from oneoff.commands.checkpoints import state
from oneoff.commands.looks import record_look, with_subjects
from oneoff.execution.witness import sight
from oneoff.protocols import Keys, Laboratory, Services, Store
from oneoff.runs.document import to_document
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import Status
from oneoff.types import RunId, TaskName, from_rfc3339

RUN_EVENTS = 3
"""Of one run that has ended: it was requested, started, and has its outcome."""
OUTCOME = RUN_EVENTS - 1
"""The place of the first outcome in a stretch of the log."""
LOOK = 2 * RUN_EVENTS
"""The place of the look in a stretch: two runs come before it, and nothing after it."""
UNDER_WAY = RunId("under-way")
STRETCHES = EARLY, MIDDLE, LATE = ("early", "middle", "late")
"""Parts of the log: what this user has seen; what was anchored since; what came after that.

A backup under the name of each holds the log up to the first run in it.
"""
EMPTY, WHOLE = "empty", "whole"
"""Backups of the log before its first event, and as it is before each attack."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is needed to try attacks; built in ``wiring``."""

    laboratory: Laboratory
    services: Callable[[Store], Services]
    """Those of a user with a witness, and without a private key."""
    signer: Keys | None
    """The installation's key; None where ``oneoff[signing]`` is not there."""
    stranger: Callable[[str], Keys]
    """A new key under this name."""


@dataclass(kw_only=True)
class Outside:
    """What is kept where the attacker cannot write, or so it is hoped."""

    remembered: Sighting
    anchored: str
    signed: str = ""
    """Empty where nothing can be signed."""


@dataclass(kw_only=True)
class Scene:
    """The log, what is kept outside of it, and what an attacker can do."""

    bench: Bench
    laboratory: Laboratory
    services: Services
    """Their store is closed: each use opens its own."""
    size: int = 0
    """How many events there are before an attack."""
    started: dict[str, Run] = field(default_factory=dict)
    """By the stretch, its first run when it had started."""
    ended: dict[str, Run] = field(default_factory=dict)
    """The same when it had ended."""
    kept: Outside | None = None

    @property
    def outside(self) -> Outside:
        assert self.kept is not None  # made before the first attack
        return self.kept

    @contextmanager
    def open(self) -> Iterator[Store]:
        """The store as it is now."""
        store = self.laboratory.open()
        try:
            yield store
        finally:
            store.close()

    def bodies(self) -> list[bytes]:
        """The bytes of every event."""
        with self.open() as store:
            return [stored.body for stored in store.events()]

    def events(self) -> list[Event]:
        """Every event, as it can be recorded again."""
        return [_event(body) for body in self.bodies()]

    def record(self, events: Sequence[Event]) -> None:
        """Append them by the store's own code, which computes every hash."""
        with self.open() as store:
            for told in events:
                store.record(told)

    def cut(self, size: int) -> None:
        """Leave the first ``size`` events, as if there had never been more."""
        for what in ("cut_events", "cut_tables", "cut_index", "set_head"):
            self.laboratory.change(what, size=size)

    def write_again(self, events: Sequence[Event]) -> None:
        """Replace the whole log by these events."""
        self.cut(0)
        self.record(events)

    def edit_run(self, run: Run) -> None:
        """Replace the record of a run."""
        body = json.dumps(to_document(run))
        self.laboratory.change("edit_run", id=run.id, status=run.status.value, body=body)

    def statement(self) -> Statement:
        """What the log says of itself now."""
        with self.open() as store:
            return state(replace(self.services, store=store), sign=False)

    def sighting(self) -> Sighting:
        """The log as a user sees it now."""
        with self.open() as store:
            return sight(replace(self.services, store=store))

    def remember(self, sighting: Sighting) -> None:
        """Put this into the user's own memory, whatever was there."""
        witness = self.services.witness
        assert witness is not None
        if witness.recall() != sighting:
            witness.remember(sighting, instead=True)

    @property
    def key(self) -> VerifyKey:
        """The installation's public key."""
        key = self.bench.signer.verify_key() if self.bench.signer else None
        assert key is not None  # attacks that need one are not tried without
        return key

    def signed(self, *, by: str | None = None) -> str:
        """A note of the log as it is now, by the installation's key or by a new one of this name."""
        signer = self.bench.stranger(by) if by else self.bench.signer
        assert signer is not None  # attacks that need one are not tried without
        return str(signer.sign(self.statement().text))


def set_up(bench: Bench) -> Scene:
    """Write the log: three stretches, each of two runs and a look, and a run that is under way.

    The first two stretches are in the index.
    """
    laboratory = bench.laboratory
    laboratory.open().close()
    laboratory.keep(EMPTY)
    store = laboratory.open()
    services = bench.services(store)
    services = replace(services, actor=with_subjects(services.actor, store))
    store.close()
    scene = Scene(bench=bench, laboratory=laboratory, services=services)
    for stretch in STRETCHES:
        if stretch == LATE:
            laboratory.change("index_all")  # what comes after that is the log's tail
        with scene.open() as store:
            scene.started[stretch] = _start(services, store, RunId(stretch))
            scene.ended[stretch] = _end(services, store, scene.started[stretch])
        laboratory.keep(stretch)
        with scene.open() as store:
            _end(services, store, _start(services, store, RunId(f"{stretch}-too")))
            record_look(replace(services, store=store), "queried", filters={})
        _keep_outside(scene, stretch)
    with scene.open() as store:
        _start(services, store, UNDER_WAY)
        scene.size = store.checkpoint().size
    laboratory.keep(WHOLE)
    return scene


def _keep_outside(scene: Scene, stretch: str) -> None:
    if stretch == EARLY:
        scene.kept = Outside(remembered=scene.sighting(), anchored="")
    elif stretch == MIDDLE:
        scene.outside.anchored = scene.statement().line
        scene.outside.signed = scene.signed() if scene.bench.signer else ""


def _start(services: Services, store: Store, run_id: RunId) -> Run:
    now = services.clock.now
    run = Run(
        id=run_id,
        app="selftest",
        task=TaskName("remove-members"),
        status=Status.REQUESTED,
        requested_at=now(),
        actor=services.actor,
        release=services.release,
    )
    run = store.create(run, event.requested(run, services.observer, now()))
    run = run.claimed(services.processes.current(), now())
    return store.save(run, event.starting(run, services.observer, now()))


def _end(services: Services, store: Store, run: Run) -> Run:
    now = services.clock.now()
    run = run.ended(Outcome(status=Status.SUCCEEDED, rows={"members": {"deleted": 900}}, duration_ms=1), now)
    return store.save(run, event.outcome(run, services.observer, now))


def _event(body: bytes) -> Event:
    envelope: Any = decode(body)
    return Event(
        id=envelope["id"],
        type=short_type(envelope["type"]),
        time=from_rfc3339(envelope["time"]),
        source=envelope["source"],
        run_id=envelope.get("subject"),
        data=envelope["data"],
    )
