"""The narrow seams to what holds a run, whose work stays only where it is kept, and measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from oneoff.dryrun.measure import Measure
from oneoff.dryrun.report import DatabaseReport, SuppressedEffect


class Seal(Protocol):
    """The app's databases for the time of a run: the task may do what it likes, and only what is kept stays.

    Used as a context manager around the task; all that it tells is complete once it is closed, or measured.
    """

    @property
    def level(self) -> str:
        """``preview``, ``sealed`` or ``copy``, the weakest of them: what is in force, not what was hoped."""

    @property
    def effects(self) -> tuple[SuppressedEffect, ...]:
        """What the app wants done after a commit, and was not called by then."""

    @property
    def attempts(self) -> tuple[str, ...]:
        """What was tried, and stopped, with databases that are not declared."""

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What it does not hold, beside what the reports say."""

    def __enter__(self) -> Seal: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def costs(self) -> tuple[str, ...]:
        """What it will take, in words, to be said before it is entered."""

    def measure(self) -> None:
        """Inside the block, once the task has ended: its part is over, and the reports are made."""

    def keep(self) -> None:
        """After :meth:`measure`, of a real run: make the task's work last, in one commit of each database.

        Raises:
            NotCommitted: it could not be, and every database is as it was.
            PartlyCommitted: some have committed, and are named.
            CommitUnknown: nobody can say.
        """

    def call_hooks(self) -> None:
        """After the block, of a real run that was kept: call what :attr:`effects` lists, in order.

        What the first that fails raises comes through.
        """

    def reports(self) -> tuple[DatabaseReport, ...]:
        """What the task did to each database, as they are declared; one named twice is there once."""


class Guard(Protocol):
    """Stops what a dry run's task would do outside its database.

    Used as a context manager around the task; a try raises :class:`~oneoff.errors.DryRunStopped`.
    """

    name: str
    """As the report calls it; says what is in force."""

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What it does not hold."""

    @property
    def attempts(self) -> tuple[str, ...]:
        """What was tried and stopped, also where the task swallowed that it was."""

    @property
    def beyond(self) -> tuple[str, ...]:
        """What was there before the task, and is out of the guard's reach; known around the task."""

    def __enter__(self) -> Guard: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def around_task(self) -> AbstractContextManager[None]:
        """Goes closely around the task, inside of the seal: for what the task alone gets or loses.

        Raises DryRunUnavailable where that cannot be.
        """


@dataclass(frozen=True, kw_only=True)
class ConfinedCommand:
    """A command that nothing of will stay, as it is to be run."""

    command: tuple[str, ...]
    environ: Mapping[str, str]
    """Variables in place of the app's own."""


class Confinement(Protocol):
    """Holds a command and everything that it starts, for one dry run."""

    level: str
    """``preview``."""
    name: str
    """What holds it, as the report calls it."""

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What it does not hold."""

    def around(
        self, command: Sequence[str], environ: Mapping[str, str]
    ) -> AbstractContextManager[ConfinedCommand]:
        """The command is run in the block. Raises DryRunUnavailable."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A database that can only be read as the role that its URL names: the server said so."""

    port: int
    report: DatabaseReport


class Databases(Protocol):
    """Finds out what the app's database handle is, and seals what is behind it."""

    def resolve(self, handle: Any) -> Any:
        """What ``ctx.db`` is for this handle: a factory such as ``create_app`` is called, all else stays."""

    def seal(self, handle: Any, measure: Measure | None = None) -> Seal:
        """A seal for the databases behind a handle, none for None, that measures as ``measure`` says.

        A function is called to see what it gives.

        Raises :class:`~oneoff.errors.DryRunUnavailable`, with the reason, where none can be enforced, and
        :class:`~oneoff.errors.DryRunStopped` where the function does what it may not.
        """

    def reader(self, url: str) -> Reader:
        """The database behind a URL that is given to a command, looked at by asking the server.

        Raises :class:`~oneoff.errors.DryRunUnavailable` where it can be written as that role.
        """
