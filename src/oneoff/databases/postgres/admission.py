"""Which session a new connection of the task belongs to, whichever driver opens it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from oneoff.databases.postgres.session import Row, Session
from oneoff.databases.undeclared import Undeclared
from oneoff.databases.watching import Notes
from oneoff.errors import DryRunUnavailable

active: list[Session] = []
"""The sessions that are sealed now."""
watching: list[Undeclared] = []
"""Of the dry runs that go on now: what is known of all other databases."""
_opening = threading.local()


@contextmanager
def opening() -> Iterator[None]:
    """The connection that this thread opens in the block is the dry run's own, and stays as it is."""
    before, _opening.now = is_opening(), True
    try:
        yield
    finally:
        _opening.now = before


def is_opening() -> bool:
    """Whether this thread is in :func:`opening`."""
    return getattr(_opening, "now", False)


def held() -> bool:
    """Whether databases that are not declared can be read only; not in a real run that is measured."""
    return not watching or watching[-1].held


def refuse_latecomers() -> None:
    """Stop who comes after the end of a dry run, wherever to. Raises DryRunStopped."""
    for session in active if held() else ():
        session.refuse_latecomers()


def sealed_as(row: Row) -> Session | None:
    """The session of the database that ``identify`` has told of; None where it is not sealed."""
    return next((one for one in active if one.identity["identity"] == row["identity"]), None)


def check_role(session: Session, where: str, row: Row) -> None:
    """Raises DryRunUnavailable where the task connects as somebody else."""
    if session.identity["role"] != row["role"]:
        raise refusal(
            session.notes,
            f"the task connects to {where} as {row['role']}, and the dry run is sealed as"
            f" {session.identity['role']}: one session cannot be both",
            "declare the database with the role that the task uses",
        )


def refusal(notes: Notes, message: str, next_step: str) -> DryRunUnavailable:
    """The error for the caller to raise; it is noted as well."""
    notes.attempt(message)
    return DryRunUnavailable(message, next_step=next_step)
