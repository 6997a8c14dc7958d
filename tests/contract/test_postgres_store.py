"""The store in a PostgreSQL database, used by a role that may only read and call its functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from oneoff.audit import event as events
from oneoff.stores.postgres import PostgresStore
from tests.contract.shared_contract import SharedStoreContract
from tests.postgres import Server, let_go
from tests.records import ANN, OBSERVER, START, make_run, note


class TestPostgresStore(SharedStoreContract):
    @pytest.fixture
    def address(self, postgres: Server, store_url: str) -> str:
        let_go(postgres, store_url)
        return store_url

    @pytest.fixture
    def store(self, address: str) -> Iterator[PostgresStore]:
        store = PostgresStore.open(address)
        yield store
        store.close()

    def test_erase_a_run_that_changes_meanwhile(
        self, store: PostgresStore, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Records that another process changed after they were read are read again."""
        run = store.create(make_run("r1", actor=replace(ANN, subject=store.subject(ANN))), note())
        read, other = store._without, PostgresStore.open(address)
        changed = [replace(run, reason="meanwhile")]

        def read_and_wait(name: str) -> object:
            found = read(name)
            while changed:
                other.save(changed.pop(), note())
            return found

        monkeypatch.setattr(store, "_without", read_and_wait)
        assert store.erase("ann", events.about_actor("actor.erased", ANN, OBSERVER, START)) == 1
        other.close()
        now = store.get(run.id)
        assert (now.actor.name, now.reason) == ("", "meanwhile")
        assert [event.columns["type"] for event in store.events()].count("actor.erased") == 1
