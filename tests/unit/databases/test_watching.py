"""What a seal notes down."""

from __future__ import annotations

import pytest

from oneoff.databases.watching import Notes, StatementLog
from oneoff.types import without_password


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://shop:hunter2@db/shop",
        "postgresql://shop:p@hunter2@db/shop",
        'invalid URI "postgresql://shop:hunter2@db:x/shop"',
        "host=db password=hunter2 user=shop",
        "host=db PASSWORD = 'hunter2 \\' more' user=shop",
        "postgresql://db/shop?password=hunter2&user=shop",
    ],
)
def test_passwords_are_masked(text: str) -> None:
    """Whatever form a connection string has, its password is not shown."""
    assert "hunter2" not in without_password(text)
    assert "more'" not in without_password(text)
    assert "shop" in without_password(text)


def test_equal_statements_are_counted_together() -> None:
    """Times, rows and seconds add up; unknown row counts are left out."""
    log = StatementLog()
    for rows in (3, -1, 4):
        log.add("DELETE FROM t", rows, 0.5)
    (statement,) = log.statements
    assert (statement.times, statement.rows, statement.seconds) == (3, 7, 1.5)


def test_different_statements_are_kept_up_to_a_bound() -> None:
    """A task that builds its SQL by hand does not fill the memory; what is left out is counted."""
    log = StatementLog()
    for number in range(250):
        log.add(f"SELECT {number}", 1, 0.0)
        log.add(f"SELECT {number}", 1, 0.0)
    assert len(log.statements) == 200
    assert log.left_out == 50
    log.add("x" * 5000, 1, 0.0)


def test_notes_are_kept_once_and_without_passwords() -> None:
    """The same attempt in a loop is one attempt; the signal carries its text."""
    notes = Notes()
    signal = notes.attempt("postgresql://u:hunter2@db is not read-only")
    notes.attempt("postgresql://u:hunter2@db is not read-only")
    notes.gap("b")
    notes.gap("a")
    assert notes.attempts == ("postgresql://u:***@db is not read-only",)
    assert str(signal) == notes.attempts[0]
    assert notes.gaps == ("b", "a")
