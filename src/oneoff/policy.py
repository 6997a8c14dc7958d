"""What an environment and a task demand before a real run. Pure: it says what is wanted, others ask."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from oneoff.errors import Refused
from oneoff.settings import GUARDS, LEVELS, EnvironmentSettings
from oneoff.tasks.task import Task

NOT_NEEDED = "none needed"
"""How a run is confirmed that nobody had to confirm."""


@dataclass(frozen=True)
class Demand:
    """A confirmation that a run needs."""

    question: str
    typed: str | None
    """The word that has to be typed; None where yes or no is enough."""


def confirmation(task: Task, environment: EnvironmentSettings, *, dry_run: bool) -> Demand | None:
    """The confirmation for this run; None where it needs none, as a dry run never does."""
    if dry_run:
        return None
    if environment.protected:
        return Demand(task.confirm or f"Run {task.name} in {environment.name}?", environment.name)
    return Demand(task.confirm, None) if task.confirm else None


def accepted(demand: Demand, *, yes: bool, confirm: str | None) -> str | None:
    """How the command line itself confirms the demand, or None where somebody has to be asked."""
    if demand.typed is not None:
        return "--confirm" if confirm == demand.typed else None
    return "--yes" if yes else None


def unasked(task: Task, *, yes: bool) -> str:
    """How a run is confirmed of which nothing is demanded; a framework's command may still ask as it goes."""
    return "--yes" if yes and task.origin else NOT_NEEDED


def reason_problem(environment: EnvironmentSettings, reason: str | None, *, dry_run: bool) -> str | None:
    """Why this reason does not do, or None where it does."""
    if dry_run or environment.reason is None:
        return None
    if not reason:
        return f"{environment.name} wants a reason"
    if re.fullmatch(environment.reason, reason) is None:
        return f"{environment.name} wants a reason that matches {environment.reason!r}, not {reason!r}"
    return None


def check_place(environment: EnvironmentSettings, *, here: bool) -> None:
    """A run of an environment that is in Kubernetes has the app's code and secrets only in a pod of it.

    Raises:
        Refused: it would run in this process, and nobody said that this is the pod.
    """
    if environment.kubernetes is not None and not here:
        raise Refused(
            f"{environment.name} is in Kubernetes, and this process is not",
            next_step=f"`oneoff run TASK --env {environment.name}` starts its Job; "
            "in a pod of the app, add --here",
        )


def shortfall(required: Iterable[str], *, level: str, guard: str) -> str | None:
    """The first of the required levels and guards that a dry run falls short of; None where it does not.

    Args:
        required: any of :data:`~oneoff.settings.LEVELS` and :data:`~oneoff.settings.GUARDS`.
        guard: as the report calls it.
    """
    in_force = {level, guard.replace(" ", "-")}
    for wanted in required:
        scale = LEVELS if wanted in LEVELS else GUARDS
        stronger = scale[scale.index(wanted) :]
        if in_force.isdisjoint(stronger):
            return wanted
    return None
