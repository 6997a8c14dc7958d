"""``audit prove`` and ``audit check``: what a run left in the log, for somebody who has no store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oneoff.audit import receipt
from oneoff.audit.event import StoredEvent, decode
from oneoff.audit.merkle import Checkpoint, root_at
from oneoff.audit.receipt import Shown
from oneoff.commands.runs import get
from oneoff.errors import OneoffError, RunNotFound
from oneoff.protocols import EventQuery, Services, Store
from oneoff.runs.run import Run
from oneoff.types import JSONObject


def find(services: Services, reference: str) -> Run:
    """As :func:`oneoff.commands.runs.get`; where the log was pruned, the error says what went with it."""
    try:
        return get(services, reference)
    except RunNotFound as error:
        raise _gone(services.store, error.message) or error from None


def prove(services: Services, run: Run, *, kept: Checkpoint | None = None) -> JSONObject:
    """The receipt of a run, against the log as it is now or as it was at a checkpoint that somebody kept.

    Of a run whose first events were pruned, it holds those that are kept, and the event that states the cut.

    Raises:
        RunNotFound: its events were pruned.
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
        none = f"the log of {checkpoint.size} events has none of run {run.id}"
        raise (None if events else _gone(store, none)) or OneoffError(none)
    if len(within) < len(events):
        services.say(f"{len(events) - len(within)} events of the run came after the checkpoint: left out")
    whole = within[0].columns["type"] in receipt.BEGINNINGS
    cut = None if whole else _cut(store)
    if cut is not None:
        services.say(f"the run's events before {store.start()} were pruned: this is the rest of them")
        if cut.seq >= checkpoint.size:
            services.say("that they were pruned was stated after the checkpoint: left out")
            cut = None
    try:
        return receipt.make(run.id, store.log_name(), checkpoint, within, store.hashes, pruned=cut)
    except receipt.WrongReceipt as error:
        raise OneoffError(
            f"the log is damaged, and proves nothing of this run: {error}",
            next_step="`oneoff audit verify` says where",
        ) from error


def _cut(store: Store) -> StoredEvent | None:
    """The event that states where the log begins; None where it was never pruned."""
    start = store.start()
    if not start:
        return None
    found = store.search(EventQuery(type="log.pruned"))
    stated: list[Any] = [(event, decode(event.body)["data"]) for event in found]
    return next((event for event, data in stated if data.get("to") == start), None)


def _gone(store: Store, message: str) -> RunNotFound | None:
    """The error for a run that nothing is left of; None where nothing was ever pruned."""
    cut = _cut(store)
    if cut is None:
        return None
    return RunNotFound(
        f"{message}: the events before {store.start()} were pruned on {cut.columns['time']},"
        " and the records of their runs",
        next_step="nothing can be proven of what was pruned, save by a receipt or an export from before",
    )


def compared(shown: Shown, kept: Sequence[Checkpoint]) -> bool | None:
    """Whether the receipt's checkpoint is among those kept elsewhere.

    False where one of the same size differs; None where none has that size, so that nothing is known.
    """
    same = [checkpoint for checkpoint in kept if checkpoint.size == shown.checkpoint.size]
    return None if not same else all(checkpoint == shown.checkpoint for checkpoint in same)
