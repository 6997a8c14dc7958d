"""``audit erase``: forget a person's name. What was done stays, under an opaque subject."""

from __future__ import annotations

from dataclasses import dataclass

from oneoff.audit import event
from oneoff.commands.attend import attend
from oneoff.errors import NotConfirmed, ReasonRequired, Refused, UsageError
from oneoff.protocols import RunQuery, Services
from oneoff.runs.status import ACTIVE


@dataclass(frozen=True)
class Erased:
    """What was forgotten."""

    subjects: tuple[str, ...]
    """They stay in the log, and stand for nobody known."""
    runs: int
    """Records of runs that had the name."""


def erase(services: Services, who: str, *, reason: str | None, yes: bool) -> Erased:
    """Remove the name from the directory, in all kinds, and from the records of runs.

    Args:
        who: the name, or one of its opaque subjects.

    Raises:
        UsageError: nobody of that name or subject is known.
        Refused: a run of theirs is under way; or no reason, or not confirmed.
    """
    attend(services)
    name, subjects = _known(services, who)
    if not reason:
        raise ReasonRequired("erasing a name wants a reason", next_step="add --reason '…', without the name")
    for run in services.store.find(RunQuery(statuses=ACTIVE)):
        if name in (run.actor.name, *run.actor.claims.values()):
            raise Refused(
                f"run {run.id} is under way for them: nothing was erased",
                next_step=f"`oneoff wait {run.id}` waits for its end",
            )
    if not yes:
        _ask(services, name, subjects)
    told = event.about_actor(
        "actor.erased",
        services.actor,
        services.observer,
        services.clock.now(),
        subjects=[*subjects],
        reason=reason,
    )
    return Erased(subjects, services.store.erase(name, told))


def _known(services: Services, who: str) -> tuple[str, tuple[str, ...]]:
    """The name, and every subject that stands for it."""
    actors = services.store.actors()
    name = actors[who].name if who in actors else who
    subjects = tuple(sorted(subject for subject, actor in actors.items() if actor.name == name))
    if not name:
        raise UsageError(f"the name of {who} was erased before", next_step="")
    if not subjects:
        raise UsageError(f"the directory has no {who!r}", next_step="`oneoff audit log` shows who did what")
    return name, subjects


def _ask(services: Services, name: str, subjects: tuple[str, ...]) -> None:
    question = f"Forget for good that {name} is {', '.join(subjects)}?"
    if not services.asker.interactive:
        raise NotConfirmed(f"{question} Nobody can be asked: there is no terminal", next_step="add --yes")
    if not services.asker.confirm(question):
        raise NotConfirmed("not confirmed: nothing was erased")
