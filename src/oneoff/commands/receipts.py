"""``audit prove`` and ``audit check``: what a run left in the log, for somebody who has no store."""

from __future__ import annotations

from collections.abc import Sequence

from oneoff.audit import receipt
from oneoff.audit.merkle import Checkpoint, root_at
from oneoff.audit.receipt import Shown
from oneoff.errors import OneoffError
from oneoff.protocols import Services
from oneoff.runs.run import Run
from oneoff.types import JSONObject


def prove(services: Services, run: Run, *, kept: Checkpoint | None = None) -> JSONObject:
    """The receipt of a run, against the log as it is now or as it was at a checkpoint that somebody kept.

    Raises:
        OneoffError: the log does not begin with the events of that checkpoint, the run is not in it, or the
            log is damaged.
    """
    store = services.store
    events = list(store.events(run_id=run.id))
    checkpoint = store.checkpoint()
    if kept is not None:
        if kept.size > checkpoint.size or root_at(kept.size, store.hashes) != kept.root:
            raise OneoffError(
                f"the log does not begin with the events of the checkpoint {kept}",
                next_step=f"`oneoff audit verify --checkpoint {kept}` says what differs",
            )
        checkpoint = kept
    within = [event for event in events if event.seq < checkpoint.size]
    if not within:
        raise OneoffError(f"the log of {checkpoint.size} events has none of run {run.id}")
    if len(within) < len(events):
        services.say(f"{len(events) - len(within)} events of the run came after the checkpoint: left out")
    try:
        return receipt.make(run.id, store.log_name(), checkpoint, within, store.hashes)
    except receipt.WrongReceipt as error:
        raise OneoffError(
            f"the log is damaged, and proves nothing of this run: {error}",
            next_step="`oneoff audit verify` says where",
        ) from error


def compared(shown: Shown, kept: Sequence[Checkpoint]) -> bool | None:
    """Whether the receipt's checkpoint is among those kept elsewhere.

    False where one of the same size differs; None where none has that size, so that nothing is known.
    """
    same = [checkpoint for checkpoint in kept if checkpoint.size == shown.checkpoint.size]
    return None if not same else all(checkpoint == shown.checkpoint for checkpoint in same)
