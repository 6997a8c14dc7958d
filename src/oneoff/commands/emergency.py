"""``run --break-glass``: the run goes on where the store cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oneoff.audit.merkle import Checkpoint
from oneoff.commands.run import Request, refuse, run
from oneoff.errors import ReasonRequired, Refused, StoreUnavailable, UsageError
from oneoff.protocols import Services
from oneoff.runs.run import Run
from oneoff.settings import EnvironmentSettings, Settings


@dataclass(frozen=True)
class Emergency:
    """What a run without the store works with."""

    services: Services
    """Over a stand-in for the store, good for one run."""
    place: str
    """The folder where the run is recorded."""
    sub_log: Callable[[], Checkpoint]
    """Size and root of that record."""


def run_anyway(
    request: Request, settings: Settings, services: Callable[[], Services], without: Callable[[], Emergency]
) -> Run:
    """Run a task without the store, if that cannot be used and the environment allows it.

    Args:
        services: opens the store.
        without: finds a place that works in its stead.

    Raises:
        UsageError: what was asked for makes no sense without a store.
        Refused: the store can be used, where the attempt is recorded; or the environment does not allow this.
        StoreUnavailable: there is no other place either.
    """
    options = request.options
    if options.detach or options.dry_run or options.run_id or options.effects.given:
        raise UsageError(
            "--break-glass goes with none of --detach, --dry-run and --run-id, nor with options of effects"
        )
    environment = settings.environment_named(options.environment)
    try:
        refuse(services(), request, Refused("the store can be used: run it without --break-glass"))
    except StoreUnavailable as error:
        why = error
    _check_allowed(environment, options.reason, why)
    emergency = without()
    _warn(emergency, why)
    try:
        return run(emergency.services, request)
    finally:
        emergency.services.say(f"!!! The break-glass record is {emergency.sub_log()}: keep that, too.")


def _check_allowed(environment: EnvironmentSettings, reason: str | None, why: StoreUnavailable) -> None:
    if not environment.break_glass:
        raise Refused(
            f"{environment.name} does not allow to break the glass, and {why}",
            next_step=f"break_glass = true in [tool.oneoff.environments.{environment.name}] allows it",
        ) from why
    if not reason:
        raise ReasonRequired("breaking the glass wants a reason", next_step="add --reason '…'") from why


def _warn(emergency: Emergency, why: StoreUnavailable) -> None:
    """Nobody shall break the glass without noticing."""
    for line in (
        f"THE STORE CANNOT BE USED: {why}",
        "The glass is broken: this run goes on without the store.",
        "No lock and no lease hold: nothing stops a second run beside it.",
        f"What happens is recorded in {emergency.place}: keep that folder.",
        "The next oneoff command here that reaches the store takes it in, and somebody has to review it.",
    ):
        emergency.services.say(f"!!! {line}")
