"""A task: a function of the app or a command in any language, under one name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from oneoff.tasks.parameters import Parameter
from oneoff.types import TaskName

NATURES = ("one-shot", "migration", "resumable")
"""How careful whoever runs a task's process elsewhere has to be: a cluster repeats the last kind alone."""
RESUMABLE = NATURES[2]
"""Run again after it was cut off, it goes on where it was, or does no harm."""
RAW = TaskName("exec")
"""The task that stands in the records for a raw command; no app's task may be called so."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One registered task. Exactly one of ``function`` and ``command`` is set; at most one where the task is
    known by its document alone (:mod:`oneoff.tasks.fromschema`)."""

    name: TaskName
    help: str = ""
    """The whole text for people; its first line is the summary."""
    parameters: tuple[Parameter, ...] = ()
    confirm: str | None = None
    """The question to put before a real run; None where the task needs no confirmation."""
    lock: str | None = None
    """Only one run at a time among the tasks that name this lock."""
    timeout: timedelta | None = None
    schedule: str | None = None
    """When it runs by itself: cron, as Kubernetes reads it."""
    time_zone: str = "UTC"
    """The zone of the schedule, by its name in the IANA database."""
    nature: str = NATURES[0]
    """One of :data:`NATURES`."""
    function: Callable[..., Any] | None = None
    takes_context: bool = False
    """Whether the function's first argument is the Context."""
    command: tuple[str, ...] | None = None
    """An argument list, run without a shell."""
    dry_run_command: tuple[str, ...] | None = None
    """What a dry run runs in the command's place; None where that is the command itself."""
    runner: bool = True
    """Whether oneoff is in the image; else the bare command is run, and watched from outside."""
    environ: dict[str, str] = field(default_factory=dict)
    """Variables that a command gets in addition to the app's own."""
    origin: str = ""
    """Which framework's command it is; empty where the app or the settings declare it."""
    hides: tuple[str, ...] = ()
    """Other commands of this name, which the framework or this task wins over."""

    @property
    def summary(self) -> str:
        return self.help.strip().partition("\n")[0]


def raw_task(command: Sequence[str]) -> Task:
    """What ``oneoff exec`` runs."""
    return Task(name=RAW, help="A raw command.", command=tuple(command))
