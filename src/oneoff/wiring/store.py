"""Builds the store that the settings name: a file, or a schema in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oneoff.errors import StoreCorrupted, StoreUnavailable, StoreVersionMismatch
from oneoff.protocols import Finding, Store, StoreAdmin
from oneoff.settings import Settings
from oneoff.stores import sqlite_file
from oneoff.stores.sqlite import SqliteStore
from oneoff.stores.sqlite_reader import SqliteReader


def open_store(settings: Settings) -> Store:
    """The store, to be written. Raises StoreUnavailable."""
    if settings.store_url is None:
        return SqliteStore.open(settings.store)
    with needing_psycopg():
        from oneoff.stores.postgres import PostgresStore
    return PostgresStore.open(settings.store_url)


def open_to_read(settings: Settings) -> tuple[Store, StoreUnavailable | None]:
    """The store, and why it cannot be written, where that is so. Raises StoreUnavailable."""
    if settings.store_url is not None:
        with needing_psycopg():
            from oneoff.stores.postgres import PostgresStore
        store = PostgresStore.open(settings.store_url)
        return store, store.unwritable
    try:
        return SqliteStore.open(settings.store), None
    except (StoreCorrupted, StoreVersionMismatch):
        raise
    except StoreUnavailable as error:
        return SqliteReader.open(settings.store), error


def store_admin(settings: Settings, owner_url: str | None) -> StoreAdmin:
    """Whoever makes and upgrades the store. Raises StoreUnavailable."""
    if settings.store_url is None or owner_url is None:
        from oneoff.stores.sqlite_admin import SqliteAdmin

        return SqliteAdmin(settings.store)
    with needing_psycopg():
        from oneoff.stores.postgres_admin import PostgresAdmin
    return PostgresAdmin(owner_url, settings.store_url)


def check_store(settings: Settings) -> list[Finding]:
    """What there is to say of the store beside whether it opens, for ``oneoff doctor``; raises nothing."""
    if settings.store_url is None:
        return sqlite_file.check(settings.store)
    try:
        with needing_psycopg():
            from oneoff.stores.postgres_check import check
        return check(settings.store_url)
    except StoreUnavailable:
        return []  # it does not open, which is a finding of its own


@contextmanager
def needing_psycopg() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise StoreUnavailable(
            f"a store in PostgreSQL needs psycopg 3, which cannot be imported: {error}",
            next_step='add "oneoff[postgres]" to what the app installs',
        ) from error
