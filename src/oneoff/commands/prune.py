"""``audit prune``: delete the beginning of the audit log once it is old enough."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from oneoff.audit import event
from oneoff.audit.merkle import Checkpoint, root_at
from oneoff.audit.note import checkpoint_text, origin_of
from oneoff.audit.retention import Cut, longest
from oneoff.audit.verify import Verification
from oneoff.commands.attend import attend
from oneoff.commands.audit import finish, verify
from oneoff.commands.checkpoints import publish
from oneoff.errors import NotConfirmed, ReasonRequired, Refused
from oneoff.protocols import RunQuery, Services
from oneoff.runs.status import ACTIVE
from oneoff.types import rfc3339


@dataclass(frozen=True)
class Plan:
    """What would be deleted."""

    cut: Cut
    before: datetime
    root: bytes
    """Of all events before the cut, those among them that were pruned earlier."""


def plan(services: Services, before: datetime) -> Plan:
    """What can be deleted of the events older than ``before``.

    The whole log is verified first: what does not fit is evidence.

    Raises:
        Refused: ``before`` lies within the time that the settings protect, or the log does not fit.
    """
    attend(services)
    _check_age(services, before)
    finish(services)
    found = verify(services)
    _check_fits(found)
    store = services.store
    cut = longest(
        store.events(),
        store.start(),
        before,
        under_way={run.id for run in store.find(RunQuery(statuses=ACTIVE))},
        opened=found.pruned.open if found.pruned else frozenset(),
    )
    return Plan(cut, before, root_at(cut.to, store.hashes))


def _check_age(services: Services, before: datetime) -> None:
    days = services.settings.audit.retention.days
    latest = services.clock.now() - services.settings.audit.retention
    if before > latest:
        raise Refused(
            f"the settings keep every event for {days} days: nothing from {rfc3339(latest)} on is pruned",
            next_step=f"give --before {days}d or more; `retention` is set in [tool.oneoff.audit]",
        )


def _check_fits(found: Verification) -> None:
    if not found.ok:
        raise Refused(
            f"the log does not fit, and is not pruned: {found.problems[0]}",
            next_step="`oneoff audit verify` lists all that does not fit",
        )


def prune(
    services: Services, planned: Plan, *, reason: str | None, yes: bool, stdout_taken: bool = False
) -> None:
    """Delete what was planned, and record that.

    First every anchor gets the present checkpoint, which covers all that goes. The start of the log and the
    event that states it, signed where a key is configured, move together; the bodies are deleted after that,
    in short transactions. Killed in between, the next prune or verify deletes the rest.

    Args:
        stdout_taken: standard output belongs to a document.

    Raises:
        ReasonRequired, NotConfirmed, KeyUnusable: nothing was deleted.
        Refused: an anchor has not kept the checkpoint, or the store keeps an event for longer.
        StoreConflict: somebody else pruned meanwhile.
    """
    if not reason:
        raise ReasonRequired("pruning wants a reason", next_step="add --reason '…'")
    note = _signed(services, planned)
    if not yes:
        _ask(services, planned.cut)
    if not publish(services, stdout_taken=stdout_taken):
        raise Refused(
            "not every anchor has kept a checkpoint of what would be pruned: nothing was deleted",
            next_step="mend the anchor; `oneoff audit checkpoint --anchor` tries it",
        )
    statement = planned.cut.statement(planned.root, planned.before, reason, note)
    told = event.of_log("pruned", services.actor, services.observer, services.clock.now(), **statement)
    services.store.prune(planned.cut.to, told)
    finish(services)
    publish(services, stdout_taken=stdout_taken)


def _signed(services: Services, planned: Plan) -> str | None:
    """The signed checkpoint of the log at the cut; None where no key is configured."""
    if services.settings.audit.key is None:
        services.say("the statement of what is pruned is not signed: no key is configured")
        return None
    origin = origin_of(services.store.log_name())
    return str(services.keys().sign(checkpoint_text(origin, Checkpoint(planned.cut.to, planned.root))))


def _ask(services: Services, cut: Cut) -> None:
    question = f"Delete {in_words(cut)} for good?"
    if not services.asker.interactive:
        raise NotConfirmed(f"{question} Nobody can be asked: there is no terminal", next_step="add --yes")
    if not services.asker.confirm(question):
        raise NotConfirmed("not confirmed: nothing was deleted")


def in_words(cut: Cut) -> str:
    """What goes with this cut."""
    return (
        f"events {cut.start:,} to {cut.to - 1:,} of the audit log, from {cut.oldest} to {cut.newest}, "
        f"and the records of the runs that have no later event ({cut.runs:,} runs start there)"
    )
