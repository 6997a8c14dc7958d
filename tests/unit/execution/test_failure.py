from __future__ import annotations

import pytest

from oneoff.execution import function
from oneoff.execution.failure import own_traceback, summary


class Odd(Exception):
    """Lies about what it is."""

    exceptions = 5


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as found:
        return found


@pytest.mark.parametrize("error", [Odd("x"), Mute(), ExceptionGroup("g", [Odd("y"), Mute()])])
def test_an_exception_may_be_broken(error: BaseException) -> None:
    """What it is called is said all the same."""
    assert type(error).__name__ in summary(error)
    assert type(error).__name__ in own_traceback(caught(error))


def test_our_frames_are_left_out_everywhere() -> None:
    """Of the error, of its cause, and of every member of a group."""

    def through_ours() -> None:
        function.call(None, None, {})  # type: ignore[arg-type]  # fails inside our own module

    members = []
    try:
        through_ours()
    except AttributeError as error:
        members.append(error)
    group = ExceptionGroup("all", members)
    group.__cause__ = members[0]
    shown = own_traceback(caught(group))
    assert "through_ours" in shown
    assert "execution/function.py" not in shown


def test_a_summary_is_one_short_line() -> None:
    """Whatever the message is."""
    assert summary(ValueError("a\nb")) == "ValueError: a"
    assert len(summary(ValueError("x" * 10_000))) == 500
    assert summary(ValueError()) == "ValueError"
