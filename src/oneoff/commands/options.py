"""How a run is wanted, apart from what it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from oneoff.commands.effects import EffectsOptions
from oneoff.types import RunId


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
