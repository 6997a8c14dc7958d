"""``audit accept``: go on with a log that is not the one that was seen, because somebody answers for it."""

from __future__ import annotations

from oneoff.audit import event
from oneoff.audit.witness import Discrepancy, Sighting
from oneoff.errors import LogChanged, NotConfirmed
from oneoff.execution.witness import look, sight
from oneoff.protocols import Services
from oneoff.types import JSONObject, rfc3339


def accept(services: Services, *, reason: str, yes: bool) -> Discrepancy | None:
    """Record that the log as it is now is accepted, and remember it in place of what was seen.

    Returns:
        What was accepted; None where the log continues what was seen, and nothing was to be done.

    Raises:
        NotConfirmed: nobody confirmed it.
        LogChanged: it was recorded, and cannot be remembered: the next command refuses again.
    """
    found = look(services).discrepancy
    if found is None:
        return None
    services.say(f"{found}\n  seen     {found.seen}\n  present  {found.present}")
    _confirm(services, yes)
    _record(services, found, reason)
    assert services.witness is not None  # it is what the discrepancy comes from
    if not services.witness.remember(sight(services), instead=True):
        raise LogChanged(
            "the log was accepted, and what was seen before cannot be replaced",
            next_step="make the file writable that is named above, and accept again",
        )
    return found


def _confirm(services: Services, yes: bool) -> None:
    way_out = "oneoff audit accept --yes --reason '…'"
    if yes:
        return
    if not services.asker.interactive:
        raise NotConfirmed("nobody can be asked: there is no terminal", next_step=way_out)
    question = "What was recorded since it was seen may be lost for good. Go on with the log as it is?"
    if not services.asker.confirm(question):
        raise NotConfirmed("the log was not accepted", next_step=way_out)


def _record(services: Services, found: Discrepancy, reason: str) -> None:
    services.store.record(
        event.of_log(
            "accepted",
            services.actor,
            services.observer,
            services.clock.now(),
            change=found.change.value,
            seen=_document(found.seen),
            present=_document(found.present),
            reason=reason,
        )
    )


def _document(sighting: Sighting) -> JSONObject:
    return {
        "log": sighting.log,
        "size": sighting.checkpoint.size,
        "root": sighting.checkpoint.root.hex(),
        "time": rfc3339(sighting.at),
    }
