"""The record of one run, and the changes that it may go through. Frozen: a change makes a new record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from oneoff.errors import OneoffError
from oneoff.runs.intent import KUBERNETES
from oneoff.runs.status import ACTIVE, EXECUTING, TRANSITIONS, Status
from oneoff.tasks.kind import shown
from oneoff.types import JSONObject, RunId, TaskName

FOREGROUND = "foreground"
"""The launcher of a run that executes in the process that was asked for it."""
BREAK_GLASS = "break-glass"
"""The launcher of a run that went by without the store; it was recorded afterwards."""
ERASED = "(erased)"
"""Stands for a name that was erased."""


class InvalidTransition(OneoffError):
    """A run cannot go from its status to that one."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who asked, as far as this machine can tell."""

    kind: str
    """human, ci, schedule or agent. What the environment says: a claim, which decides nothing."""
    name: str
    """The operating system's name of the user."""
    subject: str = ""
    """The opaque id that stands for this actor in the audit log; the store gives it out."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """What the environment says of the actor (a CI's user name, say). Never proof, never decides."""
    opaque_claims: Mapping[str, str] = field(default_factory=dict)
    """The same with a subject in the place of each person's name: the form that the audit log keeps."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Which code a run belongs to."""

    version: str | None = None
    """The app's version: of ``App(version=…)`` or of its pyproject.toml."""
    commit: str | None = None
    """The git commit that is checked out, where there is one."""
    code: str | None = None
    """SHA-256 of the Python files of the task's package; of the argument list for a command."""
    oneoff: str | None = None


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process, told apart from a later one of the same number."""

    host: str
    machine: str
    """Boot and pid namespace: only on the same machine does ``pid`` mean anything."""
    pid: int
    started: str
    """The kernel's start time of the process (field 22 of ``/proc/PID/stat``), empty where there is none."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is, in units of the task's own."""

    done: int
    total: int | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    status: Status
    exit_code: int | None = None
    """The command's own exit code; None for a function, or where a signal ended the command."""
    error: str | None = None
    """One line for people."""
    traceback: str | None = None
    rows: JSONObject | None = None
    """Rows per table where they were measured, else None."""
    duration_ms: int | None = None
    """Measured by a clock that does not jump."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a task."""

    id: RunId
    app: str
    """The name of the app that the task belongs to; as it was asked for where it could not be loaded."""
    task: TaskName
    status: Status
    requested_at: datetime
    actor: Actor
    release: Release
    parameters: JSONObject = field(default_factory=dict)
    """Frozen as they were given, defaults filled in; a secret holds :data:`SECRET_MARK`."""
    environment: str = "local"
    protected: bool = False
    dry_run: bool = False
    reason: str | None = None
    confirmation: str | None = None
    """How: ``none needed``, ``answered``, ``--yes``, ``environment typed`` or ``--confirm``."""
    command: tuple[str, ...] | None = None
    """The argument list where the task is a command."""
    lock: str | None = None
    timeout_seconds: float | None = None
    launcher: str = FOREGROUND
    launch: JSONObject | None = None
    """Of which workload it was made by its launcher, and in what it is not the app; None for a local run."""
    rerun_of: RunId | None = None
    process: Process | None = None
    """The process that answers for the run now: its requester first, then the one that executes it."""
    fence: int = 0
    """Counts the processes that took this run; a process with an older number may write nothing."""
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    ended_at: datetime | None = None
    stop_requested: str | None = None
    """``cancel`` or ``kill`` once somebody asked for the end."""
    progress: Progress | None = None
    outcome: Outcome | None = None
    dry_run_report: JSONObject | None = None
    effects_report: JSONObject | None = None
    """Of a real run whose effects were measured."""
    checkpoint: str | None = None
    """The audit log's size and root after the outcome, where this very process has recorded it."""
    version: int = 0
    """Counts the changes of this record; a store refuses to save over a newer one."""

    @property
    def report(self) -> JSONObject | None:
        """What was measured of its effects."""
        return self.dry_run_report or self.effects_report

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def watched(self) -> bool:
        """Whether it is a bare command at work in Kubernetes: no process of it tells this store anything."""
        return self.launcher == KUBERNETES and self.process is None and self.status in EXECUTING

    @property
    def in_words(self) -> str:
        """What runs, and where, for whoever has to confirm it or wants to follow it."""
        given = [f"{name}={shown(value)}" for name, value in self.parameters.items() if value is not None]
        words = f"{self.task} in {self.environment}"
        return f"{words} with {', '.join(given)}" if given else words

    def to(self, status: Status, **changes: Any) -> Run:
        """This run in another status.

        Raises:
            InvalidTransition: the table in :mod:`oneoff.runs.status` has no such step.
        """
        if status not in TRANSITIONS[self.status]:
            raise InvalidTransition(f"run {self.id} is {self.status} and cannot become {status}")
        return replace(self, status=status, **changes)

    def claimed(self, process: Process, at: datetime) -> Run:
        """Running, in the hands of ``process``, under the next fence."""
        return self.to(Status.RUNNING, process=process, fence=self.fence + 1, started_at=at, heartbeat_at=at)

    def ended(self, outcome: Outcome, at: datetime) -> Run:
        """Ended for good."""
        return self.to(outcome.status, outcome=outcome, ended_at=at)
