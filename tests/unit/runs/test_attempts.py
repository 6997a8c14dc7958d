"""The ids of further attempts tell which run they are of, however long its own is."""

from __future__ import annotations

import pytest

from oneoff.runs.attempts import attempt, number_of
from oneoff.types import RUN_ID, RunId


@pytest.mark.parametrize("first", ["r1", "20261201-120000-abcdef", "web-nightly-29401234", "a" * 40, "a-2"])
def test_the_id_of_an_attempt_is_one_and_is_known_again(first: str) -> None:
    for number in (1, 2, 3, 10, 999):
        made = attempt(RunId(first), number)
        assert RUN_ID.fullmatch(made)
        assert number_of(first, made) == number
    assert attempt(RunId(first), 1) == first


@pytest.mark.parametrize("other", ["r2", "r1-1", "r1-0", "r1-x", "r1-", "r1-02", "r1-22222", "xr1-2", ""])
def test_of_another_run_it_is_none(other: str) -> None:
    assert number_of("r1", other) is None
