"""The store in one SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oneoff.stores.sqlite import SqliteStore
from tests.contract.shared_contract import SharedStoreContract


class TestSqliteStore(SharedStoreContract):
    @pytest.fixture
    def address(self, tmp_path: Path) -> str:
        return str(tmp_path / ".oneoff" / "store.db")

    @pytest.fixture
    def store(self, address: str) -> Iterator[SqliteStore]:
        store = SqliteStore.open(Path(address))
        yield store
        store.close()
