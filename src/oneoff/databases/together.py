"""All databases of an app in one dry run, or one measured run, with the watches around them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

from oneoff.databases import other_drivers
from oneoff.databases.django import without_pools
from oneoff.databases.hooks import CommitHooks
from oneoff.databases.imports import WhenImported
from oneoff.databases.postgres.options import Armed
from oneoff.databases.sqlite import connections
from oneoff.databases.sqlite.early import HeldToReading
from oneoff.databases.undeclared import Undeclared
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.report import DatabaseReport, SuppressedEffect
from oneoff.errors import CommitUnknown, DryRunUnavailable, NotCommitted, PartlyCommitted
from oneoff.threads import Newcomers

_LEVELS = ("static", "preview", "sealed", "copy")
"""From the weakest to the strongest."""
_OTHER_PROCESSES = "what processes that the task starts write to a database: it is not counted, and stays"


class SealedAlready(Exception):
    """On entering a seal: another one, given before it, holds the same database already."""


class TakesNoWrites(DryRunUnavailable):
    """On entering a seal: its server is a standby. Beside another database it is read, alone refused."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"{database} is a standby, which takes no writes",
            next_step="give the primary server's address; that of the standby may stand beside it",
        )
        self.database = database


class DatabaseSeal(Protocol):
    """One database of them."""

    level: str

    def dispose(self) -> None:
        """Empty the app's pool. It may raise what it likes: it is the app's own."""

    def __enter__(self) -> DatabaseSeal:
        """Raises DryRunUnavailable, TakesNoWrites, SealedAlready."""

    def __exit__(self, *exc_info: object) -> None: ...

    def costs(self) -> tuple[str, ...]:
        """What it will take, in words."""

    def measure(self) -> None:
        """Inside the block, once the task has ended: its part is over, and the report is made."""

    def keep(self) -> None:
        """After :meth:`measure`: make the task's work last. Raises NotCommitted, CommitUnknown."""

    def report(self) -> DatabaseReport:
        """What the task did to this database."""


def keep(seals: Sequence[DatabaseSeal]) -> None:
    """Commit each in turn; all of them have been measured, so what fails here is the commit alone.

    Raises:
        NotCommitted: the first could not, and nothing of the run stayed.
        PartlyCommitted: a later one could not; names those that have.
        CommitUnknown: of one nobody can say.
    """
    kept: list[str] = []
    for seal in seals:
        name = seal.report().database
        try:
            seal.keep()
        except NotCommitted as error:
            if not kept:
                raise
            raise PartlyCommitted(f"{', '.join(kept)} committed, and {name} did not: {error}") from error
        except CommitUnknown as error:
            before = f"{', '.join(kept)} committed; " if kept else ""
            raise CommitUnknown(f"{before}{error}", next_step=error.next_step) from error
        kept.append(name)


class Together:
    """Implements :class:`oneoff.dryrun.seams.Seal` over any number of databases, none included."""

    def __init__(
        self,
        seals: Iterable[DatabaseSeal],
        *,
        own: frozenset[Path] = frozenset(),
        measure: Measure | None = None,
    ) -> None:
        """``own``: databases of oneoff itself, left alone. ``measure``: as the seals have it."""
        self._given = tuple(seals)
        self._measure = measure or Measure()
        self._kept = False
        self._entered: list[DatabaseSeal] = []
        self._passed_over: list[DatabaseSeal] = []
        self._own = own
        self._undeclared = Undeclared(readable=bool(self._given), held=self._measure.holds_others)
        self._hooks = CommitHooks(keeps=self._measure.keeps, everywhere=self._measure.holds_others)
        self._watch, self._seals = ExitStack(), ExitStack()

    @property
    def level(self) -> str:
        """The weakest of them. Where there is none, nothing can be opened, which is as strong as any."""
        return min((seal.level for seal in self._given), key=_LEVELS.index, default=_LEVELS[-1])

    def __enter__(self) -> Together:
        """Raises DryRunUnavailable where one cannot be sealed; those sealed before it are given back."""
        with ExitStack() as watch, ExitStack() as seals:
            for seal in self._given:
                seal.dispose()
            for watching in self._watches():
                watch.enter_context(watching)
            if self._measure.holds_others:
                _refuse_open_connections()
                watch.enter_context(HeldToReading(self._undeclared.notes, self._own))
            with Armed(os.environ):
                self._seal(seals)
            if not self._measure.holds_others:
                _refuse_open_connections(sealed=True)
            self._watch, self._seals = watch.pop_all(), seals.pop_all()
        self._newcomers = Newcomers()
        return self

    def costs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cost for seal in self._given for cost in seal.costs()))

    def measure(self) -> None:
        for seal in self._entered:
            seal.measure()

    def keep(self) -> None:
        keep(self._entered)
        self._kept = True

    def call_hooks(self) -> None:
        self._hooks.call()

    def __exit__(self, *exc_info: object) -> None:
        with ExitStack() as end:
            if self._kept:  # nothing has to be held any more
                end.callback(self._watch.close)
            else:
                end.callback(self._newcomers.when_gone, self._watch.close)
            end.callback(self._dispose_quietly)
            end.push(self._seals)

    def reports(self) -> tuple[DatabaseReport, ...]:
        return tuple(seal.report() for seal in self._entered)

    def report(self) -> DatabaseReport:
        """The report of the only database."""
        (report,) = self.reports()
        return report

    @property
    def effects(self) -> tuple[SuppressedEffect, ...]:
        return self._hooks.suppressed

    @property
    def attempts(self) -> tuple[str, ...]:
        return self._undeclared.notes.attempts

    @property
    def not_covered(self) -> tuple[str, ...]:
        others = () if self._measure.holds_others else (_OTHER_PROCESSES,)
        return self._undeclared.notes.gaps + self._hooks.called + others

    def _watches(self) -> Iterator[contextlib.AbstractContextManager[object]]:
        if self._measure.holds_others:
            yield Armed(os.environ)
        yield connections.Watched(self._undeclared, self._own)
        yield WhenImported("psycopg", self._psycopg)
        for driver in other_drivers.CONNECTS:
            yield WhenImported(driver, partial(self._other_driver, driver))
        yield WhenImported("django.db.backends.base.base", self._hooks.of_django)
        yield WhenImported("django.db.backends.postgresql.base", without_pools)
        yield WhenImported("sqlalchemy.orm", self._hooks.of_sqlalchemy)

    def _psycopg(self) -> contextlib.AbstractContextManager[object]:
        from oneoff.databases.postgres.interception import Watched

        return Watched(self._undeclared)

    def _other_driver(self, driver: str) -> contextlib.AbstractContextManager[object]:
        try:
            from oneoff.databases.postgres.drivers import Led
        except ImportError:
            return other_drivers.refused(driver, self._undeclared)
        return Led(driver)

    def _seal(self, seals: ExitStack) -> None:
        standby: TakesNoWrites | None = None
        for seal in self._given:
            try:
                seals.enter_context(seal)
            except SealedAlready:
                self._passed_over.append(seal)
            except TakesNoWrites as error:
                self._passed_over.append(seal)
                self._undeclared.excuse(error.database, f"{error}: it is read, and not sealed")
                standby = error
            else:
                self._entered.append(seal)
        if standby is not None and not self._entered:
            raise standby

    def _dispose_quietly(self) -> None:
        for seal in self._passed_over:
            with contextlib.suppress(Exception):  # the app's pool; the task's own error must not be hidden
                seal.dispose()


def _refuse_open_connections(*, sealed: bool = False) -> None:
    """Those of PostgreSQL's drivers that may write, wherever they lead; or that lead to what is sealed."""
    other_drivers.refuse_open_connections()
    if "psycopg" in sys.modules:
        from oneoff.databases.postgres import interception

        if sealed:
            interception.refuse_roads_past()
        else:
            interception.refuse_open_connections()
