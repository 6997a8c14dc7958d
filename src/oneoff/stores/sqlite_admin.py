"""Makes and upgrades a store in a SQLite file: opening it does both."""

from __future__ import annotations

from pathlib import Path

from oneoff.protocols import Phase
from oneoff.stores.sqlite import SqliteStore
from oneoff.stores.sqlite_file import SCHEMA, exists


class SqliteAdmin:
    """Implements :class:`oneoff.protocols.StoreAdmin`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def init(self, role: str | None, retention_days: int | None = None) -> list[str]:
        """Raises StoreUnavailable."""
        there = exists(self._path)
        SqliteStore.open(self._path).close()
        what = "the store is there" if there else "made the store"
        return [f"{what}: {self._path}, version {len(SCHEMA)}"]

    def upgrade(self, phase: Phase) -> list[str]:
        """Raises StoreUnavailable."""
        return self.init(None)
