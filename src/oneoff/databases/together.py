"""All databases of an app in one dry run, with the watches around them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
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
from oneoff.dryrun.report import DatabaseReport, SuppressedEffect
from oneoff.errors import DryRunUnavailable
from oneoff.threads import Newcomers

_LEVELS = ("static", "preview", "sealed", "copy")
"""From the weakest to the strongest."""


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

    def report(self) -> DatabaseReport:
        """What the task did to this database."""


class Together:
    """Implements :class:`oneoff.protocols.Seal` over any number of databases, none included."""

    def __init__(self, seals: Iterable[DatabaseSeal], *, own: frozenset[Path] = frozenset()) -> None:
        """``own``: databases of oneoff itself, left alone."""
        self._given = tuple(seals)
        self._entered: list[DatabaseSeal] = []
        self._passed_over: list[DatabaseSeal] = []
        self._own = own
        self._undeclared = Undeclared(readable=bool(self._given))
        self._hooks = CommitHooks()
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
            _refuse_open_connections()
            self._seal(seals)
            watch.enter_context(HeldToReading(self._undeclared.notes, self._own))
            self._watch, self._seals = watch.pop_all(), seals.pop_all()
        self._newcomers = Newcomers()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with ExitStack() as end:
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
        return self._undeclared.notes.gaps + self._hooks.called

    def _watches(self) -> Iterator[contextlib.AbstractContextManager[object]]:
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


def _refuse_open_connections() -> None:
    """Of PostgreSQL's drivers, whatever they lead to."""
    other_drivers.refuse_open_connections()
    if "psycopg" in sys.modules:
        from oneoff.databases.postgres.interception import refuse_open_connections

        refuse_open_connections()
