"""A function of a real run that is measured: it works in a seal, and one commit makes all of it last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from oneoff.dryrun.expect import Expectation
from oneoff.dryrun.report import Report, SuppressedEffect
from oneoff.dryrun.seams import Seal
from oneoff.errors import NotCommitted, PartlyCommitted
from oneoff.execution.signals import Signals
from oneoff.execution.verdict import Attempt


@dataclass(kw_only=True)
class KeptFunction:
    """Its databases are sealed until the end; what it does elsewhere is its own affair."""

    seal: Seal
    expectation: Expectation | None = None
    committed: bool | None = False
    """None where nobody knows, or where it is true of some databases only."""
    _exceeded: tuple[str, ...] = ()

    def costs(self) -> tuple[str, ...]:
        return self.seal.costs()

    @contextmanager
    def around(self) -> Iterator[None]:
        """The task runs in the block, and then :meth:`keep`."""
        with self.seal:
            yield

    def keep(self, attempt: Attempt, signals: Signals) -> None:
        """Commit if nothing speaks against it; no request to end comes in between.

        Raises:
            NotCommitted: it goes beyond what is expected of it, or a database did not take it.
            CommitUnknown: nobody can say.
        """
        self.seal.measure()
        found = self.seal.reports()
        if self.seal.attempts or any(database.attempts for database in found):
            return
        if self.expectation is not None:
            self._exceeded = self.expectation.exceeded_by(found)
        if self._exceeded:
            more = f" and {len(self._exceeded) - 1} more" if len(self._exceeded) > 1 else ""
            raise NotCommitted(f"nothing was committed, the dry run is exceeded: {self._exceeded[0]}{more}")
        with signals.shielded():
            attempt.committing, self.committed = True, None
            try:
                self.seal.keep()
                self.committed = True
            except PartlyCommitted:
                raise
            except NotCommitted:
                self.committed = False
                raise
            finally:
                attempt.committing = False

    def report(self, effects: tuple[SuppressedEffect, ...], *, complete: bool) -> Report:
        """After the block."""
        attempts = self.seal.attempts
        return Report(
            level=self.seal.level,
            databases=self.seal.reports(),
            effects=(*effects, *self.seal.effects),
            real=True,
            committed=self.committed,
            expected=self.expectation.name if self.expectation else None,
            exceeded=self._exceeded,
            complete=complete and not attempts,
            not_covered=self.seal.not_covered,
            attempts=attempts,
        )
