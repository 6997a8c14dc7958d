"""What stands on a command line for a task's parameters."""

from __future__ import annotations

from typing import Any

import click
import pytest

from oneoff.cli.options import collect_texts, task_options
from oneoff.errors import UsageError
from oneoff.tasks.kinds import TEXT
from oneoff.tasks.parameters import Parameter


class Nobody:
    """Nobody to ask."""

    interactive = False

    def confirm(self, question: str) -> bool:
        raise AssertionError(question)

    def text(self, prompt: str) -> str:
        raise AssertionError(prompt)

    def secret(self, prompt: str) -> str:
        raise AssertionError(prompt)


def placed(name: str, *, multiple: bool = False) -> Parameter:
    """A parameter that may stand by its place."""
    return Parameter(
        name=name, option=f"--{name}", kind=TEXT, required=False, multiple=multiple, positional=True
    )


def values(parameters: tuple[Parameter, ...], *words: str) -> Any:
    """The texts of a command line."""
    command = click.Command("task", params=task_options(parameters))
    given = command.make_context("task", list(words)).params
    return collect_texts(parameters, given, Nobody()).values


ONE, MANY, LAST = placed("one"), placed("many", multiple=True), placed("last")


@pytest.mark.parametrize(
    ("parameters", "words", "found"),
    [
        ((ONE,), (), {}),
        ((ONE,), ("a",), {"one": "a"}),
        ((ONE,), ("--one", "a"), {"one": "a"}),
        ((ONE, LAST), ("--one", "a", "b"), {"one": "a", "last": "b"}),
        ((ONE, MANY), ("a", "b", "c"), {"one": "a", "many": ["b", "c"]}),
        ((MANY, LAST), ("a", "b", "c"), {"many": ["a", "b"], "last": "c"}),
        ((MANY, LAST), ("c",), {"last": "c"}),
        ((ONE,), ("--", "-x"), {"one": "-x"}),
        ((ONE,), ("@@x",), {"one": "@x"}),
    ],
)
def test_arguments_by_their_place(
    parameters: tuple[Parameter, ...], words: tuple[str, ...], found: dict[str, Any]
) -> None:
    """Each takes what no option gave; one that takes several leaves enough for those behind it."""
    assert values(parameters, *words) == found


@pytest.mark.parametrize("words", [("a", "b"), ("--one", "a", "b")])
def test_an_argument_too_many(words: tuple[str, ...]) -> None:
    """It is named."""
    with pytest.raises(UsageError, match="'b' is one"):
        values((ONE,), *words)


def test_options_have_no_place() -> None:
    """A task without positional parameters takes none."""
    plain = Parameter(name="one", option="--one", kind=TEXT)
    assert [type(option) for option in task_options((plain,))] == [click.Option]
