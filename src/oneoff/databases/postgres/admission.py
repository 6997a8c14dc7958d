"""Which session a new connection of the task belongs to, whichever driver opens it."""

from __future__ import annotations

from oneoff.databases.postgres.session import Row, Session
from oneoff.errors import DryRunUnavailable

active: list[Session] = []
"""The sessions that are sealed now."""


def first() -> Session | None:
    """The one that notes what concerns none in particular; latecomers are stopped. Raises DryRunStopped."""
    for session in active:
        session.refuse_latecomers()
    return active[0] if active else None


def sealed_as(row: Row) -> Session | None:
    """The session of the database that ``identify`` has told of; None where it is not sealed."""
    return next((one for one in active if one.identity["identity"] == row["identity"]), None)


def check_role(session: Session, where: str, row: Row) -> None:
    """Raises DryRunUnavailable where the task connects as somebody else."""
    if session.identity["role"] != row["role"]:
        raise refusal(
            session,
            f"the task connects to {where} as {row['role']}, and the dry run is sealed as"
            f" {session.identity['role']}: one session cannot be both",
            "declare the database with the role that the task uses",
        )


def refusal(session: Session, message: str, next_step: str) -> DryRunUnavailable:
    """The error for the caller to raise; it is noted as well."""
    session.notes.attempt(message)
    return DryRunUnavailable(message, next_step=next_step)
