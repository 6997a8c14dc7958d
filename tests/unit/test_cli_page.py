"""The page of the command line has every verb, and every option in one of its spellings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from oneoff.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def verbs(command: click.Command, name: str = "oneoff") -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name; the tasks of an app are none of them."""
    if not isinstance(command, click.Group) or name == "oneoff run":
        yield name, command
        return
    for verb in command.list_commands(click.Context(command)):
        inner = command.get_command(click.Context(command), verb)
        assert inner is not None
        yield from verbs(inner, f"{name} {verb}")


VERBS = dict(verbs(main))


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_and_every_option_is_there(name: str) -> None:
    assert f"**`{name}" in PAGE
    for option in VERBS[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert any(spelling in PAGE for spelling in (*option.opts, *option.secondary_opts)), option.name


def test_the_options_of_a_run_have_rows() -> None:
    for option in VERBS["oneoff exec"].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert f"\n| `{option.opts[0]}" in PAGE
