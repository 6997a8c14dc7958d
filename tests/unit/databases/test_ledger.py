"""The rules by which several connections share one sealed session."""

from __future__ import annotations

import pytest

from oneoff.databases.postgres.ledger import Interleaved, Ledger

ONE, TWO = 1, 2


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_a_commit_gives_the_savepoint_up(ledger: Ledger) -> None:
    """Savepoints do not pile up over many transactions."""
    assert ledger.begin(ONE) == ["SAVEPOINT _oneoff_1"]
    assert ledger.begin(ONE) == []
    ledger.wrote(ONE)
    assert ledger.commit(ONE) == ["RELEASE SAVEPOINT _oneoff_1"]
    assert not ledger.open(ONE)
    assert ledger.commit(ONE) == []


def test_a_rollback_goes_back_to_the_savepoint(ledger: Ledger) -> None:
    """The tenant's own work is undone."""
    ledger.begin(ONE)
    ledger.wrote(ONE)
    assert ledger.rollback(ONE, failed=False) == [
        "ROLLBACK TO SAVEPOINT _oneoff_1",
        "RELEASE SAVEPOINT _oneoff_1",
    ]


def test_committing_below_another_transaction_waits_with_the_release(ledger: Ledger) -> None:
    """Releasing a savepoint releases those above it, so it is put off until they have ended."""
    ledger.begin(ONE)
    ledger.begin(TWO)
    ledger.wrote(TWO)
    assert ledger.commit(ONE) == []
    assert ledger.commit(TWO) == ["RELEASE SAVEPOINT _oneoff_1"]


def test_a_reader_may_end_beside_a_writer(ledger: Ledger) -> None:
    """Rolling back what only read undoes nothing of anybody's."""
    ledger.begin(ONE)
    ledger.begin(TWO)
    ledger.wrote(TWO)
    assert ledger.rollback(ONE, failed=False) == []
    assert ledger.commit(TWO) == ["RELEASE SAVEPOINT _oneoff_1"]


@pytest.mark.parametrize("committed", [True, False])
def test_a_rollback_never_undoes_what_another_has_written_since(ledger: Ledger, committed: bool) -> None:
    """Committed or not, the other's work must stay."""
    ledger.begin(ONE)
    ledger.wrote(ONE)
    ledger.begin(TWO)
    ledger.wrote(TWO)
    if committed:
        ledger.commit(TWO)
    with pytest.raises(Interleaved):
        ledger.rollback(ONE, failed=False)


def test_a_later_writer_may_roll_back(ledger: Ledger) -> None:
    """The one that began last undoes only its own work, also after the earlier one committed."""
    ledger.begin(ONE)
    ledger.wrote(ONE)
    ledger.begin(TWO)
    ledger.wrote(TWO)
    ledger.commit(ONE)
    assert ledger.rollback(TWO, failed=False)[0] == "ROLLBACK TO SAVEPOINT _oneoff_2"


def test_a_failed_transaction_is_undone_for_the_others_and_still_has_to_end(ledger: Ledger) -> None:
    """Another tenant can go on; the failed one stays failed until it rolls back."""
    ledger.begin(ONE)
    ledger.wrote(ONE)
    assert ledger.doom(ONE)[0] == "ROLLBACK TO SAVEPOINT _oneoff_1"
    assert ledger.doomed(ONE)
    assert ledger.open(ONE)
    assert ledger.rollback(ONE, failed=False) == []
    assert not ledger.open(ONE)


def test_an_autocommit_statement_is_no_open_transaction(ledger: Ledger) -> None:
    """It is settled before the next one: kept, or undone where it failed."""
    ledger.begin(ONE, autocommit=True)
    ledger.wrote(ONE)
    assert not ledger.open(ONE)
    assert ledger.settle(ONE, failed=False) == ["RELEASE SAVEPOINT _oneoff_1"]
    ledger.begin(ONE, autocommit=True)
    assert ledger.settle(ONE, failed=True)[0] == "ROLLBACK TO SAVEPOINT _oneoff_2"
    assert ledger.settle(ONE, failed=False) == []


def test_a_savepoint_of_the_tenants_own_is_only_reached_alone(ledger: Ledger) -> None:
    """Names of savepoints may be the same in two connections, so going back needs nobody in between."""
    ledger.check_rollback_to(ONE)
    ledger.begin(ONE)
    ledger.check_rollback_to(ONE)
    ledger.begin(TWO)
    with pytest.raises(Interleaved):
        ledger.check_rollback_to(ONE)


def test_a_savepoint_below_another_transaction_is_not_given_up(ledger: Ledger) -> None:
    """Giving it up would take the later transaction's savepoints with it."""
    assert ledger.may_release(ONE)
    ledger.begin(ONE)
    assert ledger.may_release(ONE)
    ledger.begin(TWO, autocommit=True)
    assert ledger.runs(TWO)
    assert not ledger.may_release(ONE)
    ledger.settle(TWO, failed=False)
    assert not ledger.runs(TWO)
    assert ledger.may_release(ONE)
