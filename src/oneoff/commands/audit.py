"""The verbs on the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from oneoff.audit.event import StoredEvent, decode, short_type
from oneoff.audit.merkle import Checkpoint, completed
from oneoff.audit.note import origin_of
from oneoff.audit.verify import Verification
from oneoff.audit.verify import verify as verify_events
from oneoff.audit.witness import Change, Discrepancy
from oneoff.commands.attend import attend, require_store, say_no_store
from oneoff.commands.checkpoints import vouch
from oneoff.commands.looks import record_look
from oneoff.errors import EvidenceUnfit, RunNotFound, StoreUnavailable
from oneoff.execution.witness import sight
from oneoff.protocols import EventQuery, Services, Store
from oneoff.runs.status import EXECUTING
from oneoff.types import JSONObject, RunId, rfc3339

_EVENTS_AT_ONCE = 500


@dataclass(frozen=True)
class Listing:
    """Events of the log, oldest first."""

    events: Iterable[StoredEvent]
    """Without a limit they are read as they are asked for, in the log's order; else by their time."""
    cut_off: bool = False
    """Whether older ones match, too."""


def log(services: Services, query: EventQuery) -> Listing:
    """The events that match. The look itself is recorded, and is not among them."""
    attend(services)
    say_no_store(services)
    found = (
        _all(services.store, query) if query.limit is None else _newest(services.store, query, query.limit)
    )
    record_look(services, "queried", filters=_filters(services.store, query))
    return found


def _all(store: Store, query: EventQuery) -> Listing:
    end, subjects = store.checkpoint().size, {query.actor, *_subjects(store, query.actor)}
    there = takewhile(lambda event: event.seq < end, store.events(run_id=query.run_id))
    return Listing(event for event in there if query.fits(event.columns, subjects))


def _newest(store: Store, query: EventQuery, limit: int) -> Listing:
    found = store.search(replace(query, limit=limit + 1))
    return Listing(found[-limit:], cut_off=len(found) > limit)


def _subjects(store: Store, actor: str | None) -> list[str]:
    """Those that a name, or a subject itself, stands for."""
    known = store.actors().values() if actor else ()
    return sorted(one.subject for one in known if actor in (one.name, one.subject))


def _filters(store: Store, query: EventQuery) -> JSONObject:
    """What was asked for, without the name of a person."""
    asked: dict[str, Any] = {name: value for name, value in vars(query).items() if value is not None}
    for name in {"since", "until"} & asked.keys():
        asked[name] = rfc3339(asked[name])
    if query.actor is not None:
        asked["actor"] = _subjects(store, query.actor) or "nobody known"
    return asked


def verified(
    services: Services, *, kept: Iterable[Checkpoint] = (), keys: Sequence[str] = ()
) -> Verification:
    """As :func:`verify`, for somebody who asked for it: recorded with what was found."""
    found = verify(services, kept=kept, keys=keys)
    if services.unwritable is None and found.ok:  # what does not fit is evidence
        finish(services)
    about: JSONObject = {"size": found.size, "root": found.root.hex(), "ok": found.ok}
    record_look(services, "verified", **about, problems=len(found.problems) + found.more)
    return found


def finish(services: Services) -> None:
    """Delete what an earlier prune decided and could not finish."""
    with suppress(StoreUnavailable):  # the next one does it
        while services.store.forget():
            pass


def verify(services: Services, *, kept: Iterable[Checkpoint] = (), keys: Sequence[str] = ()) -> Verification:
    """Compute the whole log again from its bytes and compare it with what is known of it.

    Args:
        kept: sizes and roots that somebody kept; what was rewritten since then shows only by them. What this
            user saw last is among them without being asked for.
        keys: public keys for the signature below what was pruned; else those of the settings.

    Raises:
        StoreUnavailable: there is no store, so there is nothing that could fit together.
    """
    require_store(services, "nothing was verified")
    seen = services.witness.recall() if services.witness else None
    attend(services)
    same = seen is not None and seen.log == services.store.log_name()
    found = _compute(services, [*kept, seen.checkpoint] if seen and same else kept)
    found = _vouched(services, found, keys)
    if seen is None or same:
        return found
    other = Discrepancy(change=Change.REPLACED, seen=seen, present=sight(services))
    return replace(found, problems=(str(other), *found.problems))


def _vouched(services: Services, found: Verification, keys: Sequence[str]) -> Verification:
    """With how the statement of what was pruned is vouched for; a signature that is wrong is a problem."""
    if found.pruned is None:
        return found
    origin = origin_of(services.store.log_name())
    try:
        vouched = vouch(found.pruned, keys, origin=origin, settings=services.settings, own_keys=services.keys)
    except EvidenceUnfit as error:
        return replace(found, problems=(*found.problems, error.message))
    return replace(found, vouched=vouched)


def _compute(services: Services, kept: Iterable[Checkpoint]) -> Verification:
    store, kept = services.store, list(kept)
    while True:
        start = store.start()
        found = verify_events(
            store.events(),
            store.checkpoint,
            accounted=lambda run_id: _accounted(services, run_id),
            kept=kept,
            pruned=_pruned(store, start),
            decode=services.decoder(),
        )
        if store.start() == start:  # else it was pruned while it was read
            return found


def _pruned(store: Store, end: int) -> Iterator[bytes]:
    """The hashes of the events before ``end``, which are kept when events are pruned."""
    for first in range(0, end, _EVENTS_AT_ONCE):
        places = [completed(seq) for seq in range(first, min(end, first + _EVENTS_AT_ONCE))]
        found = store.hashes([place for of_one in places for place in of_one])
        yield from (b"".join(found[place] for place in of_one) for of_one in places)


def _accounted(services: Services, run_id: RunId) -> bool:
    """Whether a start without an outcome is no gap: the run executes, or has ended while the log was read."""
    with suppress(RunNotFound):  # a record that is gone accounts for nothing
        if services.store.get(run_id).status in EXECUTING:
            return True
    return any(
        short_type(decode(stored.body)["type"]) == "outcome"
        for stored in services.store.events(run_id=run_id)
    )
