"""What a store has to do that cannot prune, in the place of the contract's tests of pruning."""

from __future__ import annotations

import pytest

from oneoff.errors import StoreUnavailable
from oneoff.protocols import Store
from tests.contract.store_contract import pruned
from tests.records import begin, finish, make_run, note


class NoPruning:
    """Stands before the contract, whose tests of the same names it replaces."""

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
