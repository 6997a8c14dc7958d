"""The audit log, held against what this user saw of it before; done at each use of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oneoff.audit.merkle import Checkpoint, consistency_proof
from oneoff.audit.witness import Change, Discrepancy, Sighting, compare
from oneoff.errors import StoreCorrupted
from oneoff.protocols import Services


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at the log has shown."""

    present: Sighting
    seen: Sighting | None
    """What was remembered before."""
    discrepancy: Discrepancy | None
    """Why the log is not the one that was seen; nothing was remembered then."""


def look(services: Services) -> Look:
    """Demand of the log that it continues what was seen of it, and remember it as it is now.

    Raises:
        StoreUnavailable: the log's head cannot be read.
    """
    seen = services.witness.recall() if services.witness else None  # first: the log only grows meanwhile
    present = sight(services)
    if services.no_store:
        found = Discrepancy(change=Change.GONE, seen=seen, present=present) if seen else None
        return Look(present=present, seen=seen, discrepancy=found)
    if seen is not None:
        change = compare(seen, present, _proof(services, seen.checkpoint, present.checkpoint))
        if change is not None:
            found = Discrepancy(change=change, seen=seen, present=present)
            return Look(present=present, seen=seen, discrepancy=found)
    if services.witness and (seen is None or seen.checkpoint != present.checkpoint):
        services.witness.remember(present)
    return Look(present=present, seen=seen, discrepancy=None)


def sight(services: Services) -> Sighting:
    """The log as it is now."""
    store = services.store
    return Sighting(log=store.log_name(), checkpoint=store.checkpoint(), at=services.clock.now())


def _proof(services: Services, old: Checkpoint, new: Checkpoint) -> Sequence[bytes] | None:
    """None where hashes are missing; empty where there is nothing to prove."""
    if new.size <= old.size:
        return []
    try:
        return consistency_proof(old.size, new.size, services.store.hashes)
    except StoreCorrupted:
        return None
