"""What a dry run or a measured run is held by, decided before it runs; refused where that is too little."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

from oneoff import policy
from oneoff.dryrun.expect import Expectation
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.seams import Seal
from oneoff.errors import DryRunStopped, DryRunUnavailable, OneoffError
from oneoff.execution.failure import summary
from oneoff.execution.held import HeldCommand, HeldFunction, Surroundings
from oneoff.execution.kept import KeptFunction
from oneoff.protocols import Services
from oneoff.settings import GUARDS, EnvironmentSettings
from oneoff.tasks.masking import Mask
from oneoff.tasks.registry import Registry
from oneoff.tasks.task import Task

_NO_DATABASE = (
    "what the command would do to a database: it reaches none, because the environment names none that it can"
    " only read (preview_environ)"
)
_READERS = (
    "what the command does at that database's port with another name and password, or in another database",
    "what a role that can only read may do all the same: notifications, large objects, advisory locks",
)


def hold(
    services: Services,
    task: Task,
    registry: Registry,
    environment: EnvironmentSettings,
    *,
    mask: Mask,
    measure: Measure,
    require: Iterable[str] = (),
) -> HeldFunction | HeldCommand:
    """What will hold the task.

    Raises:
        DryRunUnavailable: nothing can, or nothing as strong as the environment and the wish demand.
    """
    required = (*environment.require_level, *require)
    held = (
        HeldFunction(
            seal=_seal(services, registry, mask, measure, services.guard(mask, environment)),
            guard=services.guard(mask, environment),
            strict=GUARDS[-1] in required,
        )
        if task.command is None
        else _held_command(services, task.dry_run_command or task.command, environment)
    )
    shortfall = policy.shortfall(required, level=held.level, guard=held.by)
    if shortfall is not None:
        raise DryRunUnavailable(
            f"a dry run of {task.name} is held at level {held.level} by {held.by} here,"
            f" and {shortfall} is required",
            next_step="run it where it can be held so, or require less: --require-level,"
            f" require_level of [tool.oneoff.environments.{environment.name}]",
        )
    return held


def hold_to_the_end(
    services: Services, registry: Registry, *, mask: Mask, measure: Measure, expectation: Expectation | None
) -> KeptFunction:
    """What will hold a function of a real run until it is committed. Raises DryRunUnavailable."""
    # No guard: the app's own function is called for real anyway.
    seal = _seal(services, registry, mask, measure, contextlib.nullcontext())
    return KeptFunction(seal=seal, expectation=expectation)


def surroundings(services: Services, environment: EnvironmentSettings) -> Surroundings:
    """What a command may reach: databases that it can only read, and hosts that the environment lets through.

    Raises:
        DryRunUnavailable: a variable is missing, or what it names can be written.
    """
    environ = {name: _variable(name, source) for name, source in environment.preview_environ.items()}
    readers = [services.databases.reader(url) for url in environ.values()]
    hosts = environment.dry_run_hosts
    ports = [reader.port for reader in readers] + [int(host.rpartition(":")[2]) for host in hosts]
    through = (f"{host}, which the environment lets through" for host in hosts)
    return Surroundings(
        environ=environ,
        ports=frozenset(ports),
        databases=tuple(reader.report for reader in readers),
        not_covered=(*(_READERS if readers else (_NO_DATABASE,)), *through),
    )


def _variable(name: str, source: str) -> str:
    """What a command of a dry run gets for a variable: the value of another one of this process."""
    if source not in os.environ:
        raise DryRunUnavailable(
            f"the dry run of a command gets {name} from the variable {source}, which is not set",
            next_step=f"set {source} to the URL of a role that can only read",
        )
    return os.environ[source]


def _held_command(
    services: Services, command: tuple[str, ...], environment: EnvironmentSettings
) -> HeldCommand:
    around = surroundings(services, environment)
    return HeldCommand(command=command, surroundings=around, confinement=services.confine(around.ports))


def _seal(
    services: Services,
    registry: Registry,
    mask: Mask,
    measure: Measure,
    guard: contextlib.AbstractContextManager[object],
) -> Seal:
    try:
        # The app's own code runs here, and may print.
        with contextlib.redirect_stdout(sys.stderr), guard:
            return services.databases.seal(registry.database, measure)
    except OneoffError:
        raise
    except (Exception, SystemExit, DryRunStopped) as error:
        raise DryRunUnavailable(
            f"the app's database cannot be opened: {summary(error, mask)}",
            next_step="a function that gives the database is called before the task, to see what it gives: it"
            " may read, and neither write, nor start a process, nor reach another machine",
        ) from error
