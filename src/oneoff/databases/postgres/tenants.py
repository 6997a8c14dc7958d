"""A connection of the task in a sealed dry run, whichever driver it came by: a tenant of the one session.

What psycopg's classes (:mod:`.connections`) and the wire (:mod:`.wire`) have in common is here: which texts
are stopped before they are sent, which errors are the dry run's and not the task's, and which commands stand
for the beginning and the end of a transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from oneoff.databases.postgres.ledger import Interleaved
from oneoff.databases.postgres.session import Session, lasts, turns_the_guard_off
from oneoff.databases.watching import Notes

SEAL = "_oneoff_seal"
"""The table whose row cannot be committed."""
_READS = re.compile(r"\s*(?:select|show|values|table|fetch|close|declare|set|explain)\b", re.IGNORECASE)
_WRITES = re.compile(r"\b(?:insert|update|delete|merge|into|analyze|analyse)\b", re.IGNORECASE)
_NOT_IN_A_TRANSACTION = "25001"

_numbers = count(1)


class Tenant:
    """One connection's place in the session. To be used under the session's lock."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = next(_numbers)

    @property
    def failed(self) -> bool:
        """Whether its transaction has failed and has to be rolled back."""
        return self.session.failed(self.number)

    def begin(self, *, autocommit: bool, reads: bool, goes_on: bool = False) -> list[str]:
        """The commands that go before a statement, see :meth:`.Session.before_statement`."""
        with self._clearly():
            return self.session.before_statement(
                self.number, autocommit=autocommit, reads=reads, goes_on=goes_on
            )

    def end(self, *, commit: bool) -> list[str]:
        """The commands that stand for its COMMIT or ROLLBACK. Raises DryRunStopped."""
        with self._clearly():
            return self.session.end_of_transaction(self.number, commit=commit)

    def check_rollback_to(self) -> None:
        """Whether it may go back to a savepoint of its own. Raises DryRunStopped, psycopg.Error."""
        with self._clearly():
            self.session.check_rollback_to(self.number)

    def may_release(self) -> bool:
        """Whether giving up a savepoint of its own would leave those of other tenants alone."""
        return self.session.ledger.may_release(self.number)

    def judge(self, text: str, *, sqlstate: str | None, table: str | None) -> None:
        """Stop the task where an error comes from the dry run and not from itself. Raises DryRunStopped."""
        notes = self.session.notes
        self.session.note_failure(text, sqlstate)
        if table == SEAL and not self.session.broken:
            raise notes.attempt(
                f"{start(text)} checks the dry run's own seal; name the constraints instead of ALL"
            )
        if sqlstate == _NOT_IN_A_TRANSACTION:
            raise notes.attempt(
                f"{start(text)} cannot run inside a transaction, and so not in a sealed dry run"
            )
        self.session.check(start(text))

    @contextmanager
    def _clearly(self) -> Iterator[None]:
        try:
            yield
        except Interleaved as error:
            raise self.session.notes.attempt(
                "two connections had uncommitted work at once and one of them rolled back;"
                " a sealed dry run has one session and cannot undo the one without the other"
            ) from error


def screen(notes: Notes, text: str, shown: str = "") -> None:
    """Stop a statement that no rollback would undo, or that means to get around the seal.

    Args:
        shown: the statement without the values that its driver has written into it, which may be any text.

    Raises:
        DryRunStopped: that is what it is.
    """
    shown = shown or text
    if turns_the_guard_off(text if "set_config" in shown.lower() else shown):
        raise notes.attempt(f"the task turns the dry run's guard off: {start(shown)}")
    if what := lasts(shown):
        raise notes.attempt(f"{start(shown)} {what}")


def only_reads(text: str) -> bool:
    """Whether a statement only reads, as far as its text tells."""
    return bool(_READS.match(text)) and not _WRITES.search(text)


def start(text: str) -> str:
    """The beginning of a statement, for a message."""
    line = " ".join(text.split())
    return f"`{line}`" if len(line) <= 80 else f"`{line[:79]}…`"
