"""How a run's effects are measured, and what they are held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oneoff.commands.options import EffectsOptions
from oneoff.commands.runs import get
from oneoff.dryrun.expect import Expectation, expectation, tolerance
from oneoff.dryrun.measure import SAMPLE, Measure
from oneoff.errors import UsageError
from oneoff.protocols import Services
from oneoff.runs.document import to_document
from oneoff.tasks.registry import Registry
from oneoff.tasks.task import Task


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
