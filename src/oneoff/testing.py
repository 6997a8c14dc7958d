"""The test kit: a task, its dry run and its parameters in a unit test, with no process and no store on disk.

Nothing is enforced here: a dry run in a unit test tells the task that it is one and holds back
``ctx.effect``, no more. Nothing stands between the task and a database; give it one that belongs to the test.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oneoff.dryrun.report import SuppressedEffect, masked
from oneoff.errors import DryRunUnavailable
from oneoff.execution import function
from oneoff.execution.context import Context
from oneoff.execution.log import RunLogger
from oneoff.execution.stopping import INTERRUPT, Stop
from oneoff.runs.run import Actor, Progress
from oneoff.tasks import parameters
from oneoff.tasks.masking import Mask
from oneoff.tasks.registry import Registry
from oneoff.types import RunId

GUARD = "none"
"""The guard in force in a unit test; a real dry run names its own."""


@dataclass(frozen=True)
class Result:
    """What a task did."""

    value: Any
    """What the function returned."""
    log: str
    """Everything that went through ``ctx.log``, a line each."""
    progress: tuple[Progress, ...]
    effects: tuple[SuppressedEffect, ...]
    """The ``ctx.effect`` calls that a dry run held back."""
    guard: str = GUARD


def run(
    app: Registry, task: str, values: Mapping[str, Any] | None = None, *, db: Any = None, stop: bool = False
) -> Result:
    """Call a task as a real run would.

    Args:
        values: The parameters, as Python values; a secret may be given as plain text.
        db: What ``ctx.db`` is; the app's own handle where None.
        stop: Whether ``ctx.should_stop`` is True from the start.

    Raises:
        TaskNotFound, InvalidParameters: as the command line would.
        Exception: whatever the task raises.
    """
    return _call(app, task, values or {}, db=db, stop=stop, dry_run=False)


def dry_run(app: Registry, task: str, values: Mapping[str, Any] | None = None, *, db: Any = None) -> Result:
    """Call a task as a dry run would, save that no database refuses anything: see the module's own text.

    Raises:
        DryRunUnavailable: the task is a command.
        TaskNotFound, InvalidParameters: as the command line would.
        Exception: whatever the task raises.
    """
    return _call(app, task, values or {}, db=db, stop=False, dry_run=True)


def parse(app: Registry, task: str, texts: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a task gets for these texts, as the command line reads them.

    Raises:
        InvalidParameters: with every problem at once.
    """
    return parameters.parse(app.get(task).parameters, texts)


def _call(
    app: Registry, name: str, values: Mapping[str, Any], *, db: Any, stop: bool, dry_run: bool
) -> Result:
    task = app.get(name)
    if task.function is None:
        raise DryRunUnavailable(f"{task.name} is a command: run it as a process")
    checked = parameters.validate(task.parameters, values)
    mask = Mask.of(checked)
    stream, seen, request = io.StringIO(), list[Progress](), Stop()
    if stop:
        request.request(INTERRUPT)
    run_id = RunId("unit-test")
    context = Context(
        run_id=run_id,
        actor=Actor(kind="human", name="unit test"),
        dry_run=dry_run,
        log=RunLogger(run_id=run_id, task=task.name, as_text=True, stream=stream, mask=mask),
        report_progress=lambda done, total, message: seen.append(
            Progress(done=done, total=total, message=mask(message))
        ),
        stop=request,
        open_database=lambda: app.database if db is None else db,
    )
    value = function.call(task, context, checked)
    effects = tuple(masked(effect, mask) for effect in context.suppressed)
    return Result(value, stream.getvalue(), tuple(seen), effects)
