"""What holds the task of a dry run, so that nothing of it stays, and the report of what it was held by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from oneoff.dryrun.report import DatabaseReport, Report, SuppressedEffect
from oneoff.dryrun.seams import ConfinedCommand, Confinement, Guard, Seal
from oneoff.errors import DryRunUnavailable


@dataclass(frozen=True, kw_only=True)
class HeldFunction:
    """A function: its database is sealed, and a guard stops what it would do elsewhere."""

    seal: Seal
    guard: Guard
    strict: bool = False
    """Whether the task may find nothing from before that is out of the guard's reach."""

    @property
    def level(self) -> str:
        return self.seal.level

    @property
    def by(self) -> str:
        return self.guard.name

    def costs(self) -> tuple[str, ...]:
        """What it will take, in words."""
        return self.seal.costs()

    @contextmanager
    def around(self) -> Iterator[None]:
        """The task runs in the block. Raises DryRunUnavailable."""
        with self.guard, self.seal, self.guard.around_task():
            if self.strict and self.guard.beyond:
                raise DryRunUnavailable(
                    f"no level holds {'; '.join(self.guard.beyond)}, and {self.by} is required",
                    next_step="open or start it in the task, or require less (--require-level)",
                )
            yield

    def report(self, effects: tuple[SuppressedEffect, ...], *, complete: bool) -> Report:
        """After the block. A task that was stopped once has not shown all that it does."""
        attempts = (*self.guard.attempts, *self.seal.attempts)
        return Report(
            level=self.level,
            databases=self.seal.reports(),
            effects=(*effects, *self.seal.effects),
            guard=self.by,
            complete=complete and not attempts,
            not_covered=(*self.guard.not_covered, *self.seal.not_covered),
            attempts=attempts,
        )


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """All that a command may reach in its dry run, and how it finds it."""

    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables in place of the app's own."""
    ports: frozenset[int] = frozenset()
    databases: tuple[DatabaseReport, ...] = ()
    not_covered: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HeldCommand:
    """A command: the kernel holds it with everything that it starts, among what can only be read."""

    command: tuple[str, ...]
    """What runs: the task's own, or what is declared for its dry run."""
    surroundings: Surroundings
    confinement: Confinement

    @property
    def level(self) -> str:
        return self.confinement.level

    @property
    def by(self) -> str:
        return self.confinement.name

    def costs(self) -> tuple[str, ...]:
        """What it will take beside what it takes itself."""
        return ()

    @contextmanager
    def around(self) -> Iterator[ConfinedCommand]:
        """What is to be run in the block."""
        with self.confinement.around(self.command, self.surroundings.environ) as confined:
            yield confined

    def report(self, *, complete: bool) -> Report:
        """After the block."""
        return Report(
            level=self.level,
            databases=self.surroundings.databases,
            guard=self.by,
            command=self.command,
            complete=complete,
            not_covered=(*self.surroundings.not_covered, *self.confinement.not_covered),
        )
