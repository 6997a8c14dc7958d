"""The verbs on the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from oneoff.audit.event import StoredEvent, decode, short_type
from oneoff.audit.merkle import Checkpoint
from oneoff.audit.verify import Verification
from oneoff.audit.verify import verify as verify_events
from oneoff.audit.witness import Change, Discrepancy
from oneoff.commands.attend import attend, require_store, say_no_store
from oneoff.execution.witness import sight
from oneoff.protocols import Services
from oneoff.runs.status import EXECUTING
from oneoff.types import RunId


def log(services: Services, *, run_id: RunId | None = None) -> Iterator[StoredEvent]:
    """The events, oldest first."""
    attend(services)
    say_no_store(services)
    return services.store.events(run_id=run_id)


def verify(services: Services, *, kept: Iterable[Checkpoint] = ()) -> Verification:
    """Compute the whole log again from its bytes and compare it with what is known of it.

    Args:
        kept: sizes and roots that somebody kept; what was rewritten since then shows only by them. What this
            user saw last is among them without being asked for.

    Raises:
        StoreUnavailable: there is no store, so there is nothing that could fit together.
    """
    require_store(services, "nothing was verified")
    seen = services.witness.recall() if services.witness else None
    attend(services)
    same = seen is not None and seen.log == services.store.log_name()
    found = verify_events(
        services.store.events(),
        services.store.checkpoint,
        accounted=lambda run_id: _accounted(services, run_id),
        kept=[*kept, seen.checkpoint] if seen and same else kept,
        hashes=services.store.hashes,
    )
    if seen is None or same:
        return found
    other = Discrepancy(change=Change.REPLACED, seen=seen, present=sight(services))
    return replace(found, problems=(str(other), *found.problems))


def _accounted(services: Services, run_id: RunId) -> bool:
    """Whether a start without an outcome is no gap: the run executes, or has ended while the log was read."""
    if services.store.get(run_id).status in EXECUTING:
        return True
    return any(
        short_type(decode(stored.body)["type"]) == "outcome"
        for stored in services.store.events(run_id=run_id)
    )
