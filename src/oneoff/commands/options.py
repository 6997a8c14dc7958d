"""How a run is wanted, apart from what it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from oneoff.errors import UsageError
from oneoff.tasks.task import Task
from oneoff.types import RunId


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


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is wanted, apart from what it runs; the options that every surface offers."""

    environment: str | None = None
    dry_run: bool = False
    yes: bool = False
    confirm: str | None = None
    reason: str | None = None
    detach: bool = False
    run_id: RunId | None = None
    break_glass: bool = False
    here: bool = False
    """Run in this process, though the environment is in Kubernetes: this is its pod."""
    effects: EffectsOptions = field(default_factory=EffectsOptions)
    require_level: tuple[str, ...] = ()
    """What a dry run has to be held by at least, besides what its environment demands."""
    command_with: Callable[[Sequence[str]], str] = lambda options: " ".join(["oneoff run …", *options])
    """What was typed, with further options: the command that would have worked."""
    keep_stdout: bool = False
    """Standard output belongs to a document that follows; the task's own goes to standard error."""


def check_effects(wish: EffectsOptions, task: Task, *, dry_run: bool, elsewhere: bool) -> None:
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
