"""Several databases commit one after the other, and what became of each is told."""

from __future__ import annotations

import pytest

from oneoff.databases.together import keep
from oneoff.dryrun.report import DatabaseReport
from oneoff.errors import CommitUnknown, NotCommitted, PartlyCommitted
from tests.fakes import FakeSeal


class _Seal(FakeSeal):
    """Of a name, and with an error to raise."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        super().__init__()
        self._name, self._error = name, error

    def keep(self) -> None:
        if self._error is not None:
            raise self._error
        super().keep()

    def __enter__(self) -> _Seal:
        return self

    def dispose(self) -> None:
        """There is no pool."""

    def report(self) -> DatabaseReport:
        return DatabaseReport(database=self._name, level="sealed")


def test_all_are_kept() -> None:
    """In order."""
    seals = [_Seal("a"), _Seal("b")]
    keep(seals)
    assert [seal.done for seal in seals] == [["kept"], ["kept"]]


def test_where_the_first_cannot_nothing_stays() -> None:
    """The others are not asked."""
    other = _Seal("b")
    with pytest.raises(NotCommitted) as raised:
        keep([_Seal("a", NotCommitted("no")), other])
    assert not isinstance(raised.value, PartlyCommitted)
    assert other.done == []


def test_where_a_later_one_cannot_those_that_have_are_named() -> None:
    """Nobody may believe that nothing stayed."""
    with pytest.raises(PartlyCommitted, match="a, b committed, and c did not: no"):
        keep([_Seal("a"), _Seal("b"), _Seal("c", NotCommitted("no"))])


def test_what_is_not_known_is_said_with_what_is() -> None:
    """The reader has to look at that database, and at no other."""
    with pytest.raises(CommitUnknown, match="a committed; lost"):
        keep([_Seal("a"), _Seal("b", CommitUnknown("lost"))])
