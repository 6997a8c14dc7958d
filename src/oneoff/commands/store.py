"""``store init`` and ``store upgrade``: make the place for the records, or bring it up to date."""

from __future__ import annotations

from oneoff.errors import UsageError
from oneoff.protocols import Phase, StoreAdmin
from oneoff.settings import Settings


def init(
    settings: Settings, admin: StoreAdmin, role: str | None, retention_days: int | None = None
) -> list[str]:
    """Make the store; what was done, in words. Raises StoreUnavailable."""
    if retention_days is not None and settings.store_url is None:
        raise UsageError(
            "--retention is for a store in PostgreSQL: a file belongs to who prunes it",
            next_step='set retention = "400d", say, under [tool.oneoff.audit]',
        )
    if role is not None and settings.store_url is None:
        raise UsageError("--role is for a store in PostgreSQL: a file belongs to who makes it")
    return admin.init(role, retention_days)


def upgrade(admin: StoreAdmin, phase: Phase) -> list[str]:
    """Bring the store up to date; what was done, in words. Raises StoreUnavailable."""
    return admin.upgrade(phase)


def check_owner(settings: Settings, owner_url: str | None) -> None:
    """Raise UsageError where the store needs somebody's rights, and they are not named, or the reverse."""
    if settings.store_url is None and owner_url is not None:
        raise UsageError(
            f"the store is the file {settings.store}, and a file has no --owner-url",
            next_step="leave it out, or set ONEOFF_STORE to the PostgreSQL database that is to be the store",
        )
    if settings.store_url is not None and owner_url is None:
        raise UsageError(
            "a store in PostgreSQL is made and upgraded with the rights of its administrator",
            next_step="--owner-url postgresql://ADMIN@HOST/DATABASE,"
            " as a role that may create roles and schemas",
        )
