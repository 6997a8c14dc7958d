"""A command's own questions: known before it runs, and answered while it runs."""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import click
import pytest
from click import confirm as sure

from oneoff.errors import CommandFailed
from oneoff.frameworks.questions import answering, question_of
from tests.unit.frameworks.asked import Asked
from tests.unit.frameworks.booking import Booking


def quiet() -> None:
    Booking().confirm("no question at all")


def plain() -> bool:
    return click.confirm("Delete them all?", abort=True)


def imported_by_name() -> bool:
    return sure("By name?")


def made_up() -> bool:
    return click.confirm(f"Delete {len(sys.path)} carts?")


def by_input() -> bool:
    return input("Sure? ") == "yes"


def helped() -> bool:
    def inside() -> bool:
        return plain()

    return inside()


def prompting() -> str:
    return str(click.prompt("Which one", default="a"))


@pytest.mark.parametrize(
    ("function", "known"),
    [
        (quiet, (False, None)),
        (plain, (True, "Delete them all?")),
        (imported_by_name, (True, "By name?")),
        (made_up, (True, None)),
        (by_input, (True, None)),
        (helped, (True, "Delete them all?")),
        (prompting, (True, None)),
    ],
)
def test_what_is_known_beforehand(function: FunctionType, known: tuple[bool, str | None]) -> None:
    """Whether it asks is read from its code and from what it calls in its own package; so is the text."""
    assert question_of([function]) == known


class NoTerminal(io.StringIO):
    """Nobody is there, and reading would wait for ever."""

    def readline(self, *_: Any) -> Any:
        raise AssertionError("it waits for an answer")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may read from a terminal."""
    monkeypatch.setattr(sys, "stdin", NoTerminal())


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (plain, True),
        (imported_by_name, True),
        (made_up, True),
        (lambda: click.confirm("Both?", default=None), True),
        (lambda: click.confirm("On stderr?", err=True), True),
        (lambda: click.prompt("Which one", default="a"), "a"),
        (lambda: click.prompt("How many", type=int, default=3), 3),
        (lambda: input("Are you sure? Type 'yes' to continue: "), "yes"),
        (lambda: input("Go on? [y/N] "), "y"),
    ],
)
@pytest.mark.parametrize("run", [Asked(confirmed=True), Asked(dry_run=True, confirmed=False)])
def test_an_answer(ask: Callable[[], Any], answer: Any, run: Asked) -> None:
    """A confirmed run and a dry run answer yes, or the default, and the run's log says so."""
    run.log.lines.clear()
    with answering(run):
        assert ask() == answer
    (line,) = run.log.lines
    assert line["message"] == "answered"
    assert line["by"] == ("dry run" if run.dry_run else "confirmation")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: click.prompt("Your name"),
        lambda: click.prompt("Password", hide_input=True),
        lambda: click.prompt("Password", hide_input=True, default="x"),
        lambda: input("How many days? "),
        lambda: input(),
        lambda: getpass.getpass("Token: "),
        lambda: click.edit("a text"),
        lambda: click.edit(filename="a-file"),
        click.getchar,
    ],
)
def test_what_a_confirmation_does_not_answer(ask: Callable[[], Any]) -> None:
    """It ends the command with the question in its words, and never waits."""
    with answering(Asked()), pytest.raises(CommandFailed, match="a confirmation does not answer"):
        ask()


def test_a_question_that_nobody_knew_of() -> None:
    """A run that was not confirmed answers nothing where nobody can be asked, and says how it would."""
    with answering(Asked(confirmed=False)), pytest.raises(CommandFailed, match="Delete them all") as caught:
        plain()
    assert "--yes" in caught.value.next_step


def test_somebody_at_the_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that was not known beforehand goes to whoever is there."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    run = Asked(confirmed=False)
    with answering(run):
        assert made_up() is False
    assert run.log.lines == []


def test_afterwards_all_is_as_before() -> None:
    """Outside of the block nothing is answered."""
    before = (input, getpass.getpass, click.termui.visible_prompt_func, click.termui.hidden_prompt_func)
    with answering(Asked()):
        pass
    after = (input, getpass.getpass, click.termui.visible_prompt_func, click.termui.hidden_prompt_func)
    assert before == after
