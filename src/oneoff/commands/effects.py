"""How a run's effects are wanted, checked before anything is recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneoff.commands.runs import get
from oneoff.dryrun.expect import Expectation, expectation, tolerance
from oneoff.dryrun.measure import SAMPLE, Measure
from oneoff.errors import UsageError
from oneoff.protocols import Services
from oneoff.runs.document import to_document
from oneoff.tasks.registry import Registry
from oneoff.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class EffectsOptions:
    """The options of a run that are about its effects."""

    measured: bool | None = None
    """``--effects``, ``--no-effects``; with neither a dry run measures, and a real one does not."""
    sample: int | None = None
    values: bool = False
    expect: str | None = None
    tolerance: str | None = None

    @property
    def kept(self) -> bool:
        """Whether a real run is measured, and then commits once, at its end."""
        return bool(self.measured) or self.expect is not None

    @property
    def given(self) -> bool:
        return self != EffectsOptions()


def check(wish: EffectsOptions, task: Task, *, dry_run: bool, elsewhere: bool) -> None:
    """Raise UsageError where the options do not go together.

    Args:
        elsewhere: the run is to be executed by another process, or without the store.
    """
    for wrong, words in (
        (elsewhere and wish.given, "the options of effects do not go with --detach or --break-glass"),
        (dry_run and wish.expect is not None, "--expect is for a real run, and this is a dry run"),
        (wish.expect is not None and wish.measured is False, "--expect needs the effects: not --no-effects"),
        (wish.tolerance is not None and wish.expect is None, "--tolerance needs --expect REPORT"),
        (
            wish.measured is False and (wish.values or wish.sample is not None),
            "--values and --sample need the effects: not --no-effects",
        ),
        (
            not dry_run and not wish.kept and (wish.values or wish.sample is not None),
            "a real run shows rows with --effects only",
        ),
        (
            wish.kept and not dry_run and task.command is not None,
            f"{task.name} is a command, and only a Python task's effects can be measured",
        ),
    ):
        if wrong:
            raise UsageError(words)


def measure(services: Services, registry: Registry, wish: EffectsOptions, *, dry_run: bool) -> Measure:
    """What the options say, with what the app and its settings say."""
    return Measure(
        rows=wish.measured is not False,
        sample=SAMPLE if wish.sample is None else wish.sample,
        values=wish.values,
        private=frozenset((*registry.private, *services.settings.private)),
        keeps=not dry_run,
        holds_others=dry_run or wish.expect is not None,
        scan_limit=services.settings.scan_limit,
    )


def expected(services: Services, wish: EffectsOptions, task: Task) -> Expectation | None:
    """The report that ``--expect`` names: by a run, or in a file.

    Raises:
        UsageError: there is none, or it is of another task.
    """
    limit = tolerance(wish.tolerance or "0%")
    if wish.expect is None:
        return None
    name, document = _named(services, wish.expect)
    of = document.get("task") if isinstance(document, dict) else None
    if of is not None and of != task.name:
        raise UsageError(f"{name} is of the task {of}, and this is {task.name}")
    return expectation(name, document, limit)


def _named(services: Services, reference: str) -> tuple[str, Any]:
    path = Path(reference)
    if not path.is_file():
        run = get(services, reference)
        return f"run {run.id}", to_document(run)
    try:
        return reference, json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the report {reference} cannot be read: {error}") from error
