"""What was seen of a log, held against what is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.audit import merkle
from oneoff.audit.merkle import Checkpoint
from oneoff.audit.witness import Change, Discrepancy, Sighting, compare
from tests.records import START

LOG, OTHER = "a" * 32, "b" * 32


def leaves(size: int, *, changed: int | None = None) -> list[bytes]:
    return [merkle.leaf_hash(b"other" if index == changed else b"%d" % index) for index in range(size)]


def hashes_of(log: list[bytes]) -> merkle.Hashes:
    return lambda places: {
        (level, position): merkle.root_of(log[position << level : (position + 1) << level])
        for level, position in places
    }


def sighting(log: list[bytes], name: str = LOG) -> Sighting:
    return Sighting(log=name, checkpoint=Checkpoint(len(log), merkle.root_of(log)), at=START)


def held_against(old: list[bytes], new: list[bytes]) -> Change | None:
    """As a caller does it: the proof is made by the log as it is now."""
    proof = merkle.consistency_proof(len(old), len(new), hashes_of(new)) if len(new) > len(old) else []
    return compare(sighting(old), sighting(new), proof)


@given(st.integers(0, 70), st.integers(0, 70))
def test_a_log_that_grew_continues_what_was_seen(old: int, more: int) -> None:
    """However long it was and became."""
    assert held_against(leaves(old), leaves(old + more)) is None


@given(st.integers(1, 70), st.integers(0, 70), st.data())
def test_a_log_that_was_rewritten(old: int, more: int, data: st.DataObject) -> None:
    """One event of those that were seen is another: no longer log passes for the old one."""
    changed = data.draw(st.integers(0, old - 1))
    assert held_against(leaves(old), leaves(old + more, changed=changed)) is Change.REWRITTEN


@given(st.integers(1, 70), st.data())
def test_a_log_that_was_shortened(old: int, data: st.DataObject) -> None:
    """An older copy, or one that was cut."""
    assert held_against(leaves(old), leaves(data.draw(st.integers(0, old - 1)))) is Change.SHORTENED


def test_another_log_and_a_damaged_one() -> None:
    """The name tells logs apart even where both are empty; without a proof nothing is shown."""
    assert compare(sighting([]), sighting([], OTHER), []) is Change.REPLACED
    assert compare(sighting(leaves(3)), sighting(leaves(5)), None) is Change.DAMAGED
    assert compare(sighting(leaves(3)), sighting(leaves(3)), None) is None, "nothing has to be proven"


@pytest.mark.parametrize("change", Change)
def test_every_change_is_said_in_words_of_its_own(change: Change) -> None:
    """With both sizes where both matter."""
    found = Discrepancy(change=change, seen=sighting(leaves(7)), present=sighting(leaves(4), OTHER))
    assert change.value in str(found)
    assert "7" in str(found)
    assert str(found) != str(replace(found, change=Change.DAMAGED)) or change is Change.DAMAGED
