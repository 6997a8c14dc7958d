"""The store in a PostgreSQL database, used by a role that may only read and call its functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oneoff.stores.postgres import PostgresStore
from tests.contract.shared_contract import SharedStoreContract


class TestPostgresStore(SharedStoreContract):
    @pytest.fixture
    def address(self, store_url: str) -> str:
        return store_url

    @pytest.fixture
    def store(self, address: str) -> Iterator[PostgresStore]:
        store = PostgresStore.open(address)
        yield store
        store.close()
