"""The store in a PostgreSQL database, used by a role that may only read and call its functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from oneoff.audit import event as events
from oneoff.errors import StoreUnavailable
from oneoff.protocols import Store
from oneoff.stores.postgres import PostgresStore
from tests.contract.shared_contract import SharedStoreContract
from tests.contract.store_contract import pruned
from tests.records import ANN, OBSERVER, START, begin, finish, make_run, note


class TestPostgresStore(SharedStoreContract):
    @pytest.fixture
    def address(self, store_url: str) -> str:
        return store_url

    @pytest.fixture
    def store(self, address: str) -> Iterator[PostgresStore]:
        store = PostgresStore.open(address)
        yield store
        store.close()

    # The contract's tests of pruning hold the refusal instead: this version cannot.

    def test_prune(self, store: Store) -> None:
        """Pruning is refused in clear words, and every event stays."""
        finish(store, begin(store, make_run("r1")))
        before = store.checkpoint()
        self.refused(store, 2)
        assert (store.start(), store.checkpoint(), len(list(store.events()))) == (0, before, before.size)

    def test_prune_what_is_not_there(self, store: Store) -> None:
        """There is nothing to be deleted of what was never pruned."""
        store.record(note())
        for to in (0, 1, 6):
            self.refused(store, to)
        assert not store.forget()

    def test_prune_everything_of_a_run_under_way(self, store: Store) -> None:
        """The refusal leaves the run's record alone."""
        run = begin(store, make_run("at-work"))
        self.refused(store, 2)
        assert store.get(run.id) == run

    def refused(self, store: Store, to: int) -> None:
        with pytest.raises(
            StoreUnavailable, match="this version cannot prune a store in PostgreSQL"
        ) as caught:
            store.prune(to, pruned(store, min(to, store.checkpoint().size)))
        assert "keep the events" in caught.value.next_step

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
