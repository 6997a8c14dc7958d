"""The verbs on the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from oneoff.audit.event import StoredEvent, decode, short_type
from oneoff.audit.merkle import Checkpoint, consistency_proof, verify_consistency
from oneoff.audit.verify import Verification
from oneoff.audit.verify import verify as verify_events
from oneoff.commands.attend import attend, say_no_store
from oneoff.errors import StoreUnavailable
from oneoff.protocols import Services
from oneoff.runs.status import EXECUTING
from oneoff.types import RunId


def log(services: Services, *, run_id: RunId | None = None) -> Iterator[StoredEvent]:
    """The events, oldest first."""
    attend(services)
    say_no_store(services)
    return services.store.events(run_id=run_id)


def verify(services: Services, *, kept: Sequence[Checkpoint] = ()) -> Verification:
    """Compute the whole log again from its bytes and compare it with what the store says of it.

    Args:
        kept: sizes and roots that somebody kept; what was rewritten since then shows only by them.

    Raises:
        StoreUnavailable: there is no store, so there is nothing that could fit together.
    """
    if services.no_store:
        raise StoreUnavailable(
            f"nothing was verified: there is no store {services.no_store}",
            next_step="go to the app's folder, or name the store in ONEOFF_STORE; the first run makes one",
        )
    attend(services)
    largest = max(kept, key=lambda checkpoint: checkpoint.size, default=None)
    found = verify_events(
        services.store.events(),
        services.store.checkpoint,
        accounted=lambda run_id: _accounted(services, run_id),
        remembered=largest,
    )
    others = [each for each in kept if each != largest]
    unfit = [each for each in others if not _fits(services, each, found.checkpoint)]
    return found if not unfit else replace(found, problems=(*found.problems, *map(_rewritten, unfit)))


def _fits(services: Services, old: Checkpoint, new: Checkpoint) -> bool:
    """Whether the log that was just computed begins with that of ``old``, by a proof that is checked."""
    if old.size > new.size:
        return False
    return verify_consistency(old, new, consistency_proof(old.size, new.size, services.store.hashes))


def _rewritten(old: Checkpoint) -> str:
    return f"the first {old.size} events had the root {old.root.hex()} once: the log was rewritten since"


def _accounted(services: Services, run_id: RunId) -> bool:
    """Whether a start without an outcome is no gap: the run executes, or has ended while the log was read."""
    if services.store.get(run_id).status in EXECUTING:
        return True
    return any(
        short_type(decode(stored.body)["type"]) == "outcome"
        for stored in services.store.events(run_id=run_id)
    )
