"""The arguments of a parser as parameters: what argparse gets is what was given."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from oneoff.frameworks.argparses import line_of
from oneoff.frameworks.arguments import Line
from oneoff.tasks import parameters

Add = Callable[[argparse.ArgumentParser], Any]


def parser_with(add: Add) -> argparse.ArgumentParser:
    """A parser with what ``add`` puts on it."""
    parser = argparse.ArgumentParser("manage.py", exit_on_error=False)
    add(parser)
    return parser


def arrived(add: Add, texts: dict[str, Any]) -> tuple[Line, dict[str, Any]]:
    """The line of such a parser, and what the parser makes of the words for these texts."""
    parser = parser_with(add)
    line = line_of(parser, ())
    values = parameters.parse([argument.parameter for argument in line.arguments], texts)
    return line, vars(parser.parse_args(line.words(values)))


@pytest.mark.parametrize(
    ("add", "texts", "value"),
    [
        (lambda p: p.add_argument("--days", type=int, default=90), {}, 90),
        (lambda p: p.add_argument("--days", type=int, default=90), {"days": "-3"}, -3),
        (lambda p: p.add_argument("--name"), {"name": "-x"}, "-x"),
        (lambda p: p.add_argument("-n"), {"n": "-x"}, "-x"),
        (lambda p: p.add_argument("--rate", type=float), {"rate": "0.5"}, 0.5),
        (lambda p: p.add_argument("--rate", type=float), {}, None),
        (lambda p: p.add_argument("--level", choices=[1, 2], type=int), {"level": "2"}, 2),
        (lambda p: p.add_argument("--kind", choices=["a", "b"], default="a"), {}, "a"),
        (lambda p: p.add_argument("--on", action="store_true"), {"on": True}, True),
        (lambda p: p.add_argument("--on", action="store_true"), {}, False),
        (lambda p: p.add_argument("--no-cache", action="store_false", dest="c"), {"no_cache": True}, False),
        (lambda p: p.add_argument("--loud", action="store_const", const=3, default=1), {"loud": True}, 3),
        (lambda p: p.add_argument("--x", action=argparse.BooleanOptionalAction), {"x": False}, False),
        (lambda p: p.add_argument("--x", action=argparse.BooleanOptionalAction), {}, None),
        (lambda p: p.add_argument("-v", action="count", default=0), {"v": "2"}, 2),
        (lambda p: p.add_argument("-v", action="count", default=1), {"v": "3"}, 3),
        (lambda p: p.add_argument("-v", action="count"), {}, None),
        (lambda p: p.add_argument("--name", action="append", default=["a"]), {"name": ["b"]}, ["a", "b"]),
        (lambda p: p.add_argument("--name", action="append", default=["a"]), {}, ["a"]),
        (lambda p: p.add_argument("--name", action="extend", nargs="+"), {"name": ["a", "b"]}, ["a", "b"]),
        (lambda p: p.add_argument("--name", action="append"), {"name": ["a", "b"]}, ["a", "b"]),
        (lambda p: p.add_argument("--name", action="append"), {}, None),
        (lambda p: p.add_argument("--add", action="append_const", const=1), {"add": True}, [1]),
        (lambda p: p.add_argument("--id", nargs="+", type=int), {"id": ["1", "2"]}, [1, 2]),
        (lambda p: p.add_argument("--at", nargs=2), {"at": ["1", "2"]}, ["1", "2"]),
        (
            lambda p: p.add_argument("--at", nargs=2, action="append"),
            {"at": ["1", "2", "3", "4"]},
            [["1", "2"], ["3", "4"]],
        ),
        (lambda p: p.add_argument("--opt", nargs="?", const="c", default="d"), {"opt": "x"}, "x"),
        (lambda p: p.add_argument("poll", type=int), {"poll": "-4"}, -4),
        (lambda p: p.add_argument("polls", nargs="+", type=int), {"polls": ["1", "2"]}, [1, 2]),
        (lambda p: p.add_argument("names", nargs="*"), {"names": ["--a", "-b"]}, ["--a", "-b"]),
        (lambda p: p.add_argument("names", nargs="*"), {}, []),
        (lambda p: p.add_argument("which", nargs="?", default="all"), {}, "all"),
        (lambda p: p.add_argument("when", type=lambda text: text.upper()), {"when": "now"}, "NOW"),
        (lambda p: p.add_argument("--env"), {"its_env": "x"}, "x"),
        (lambda p: p.add_argument("--its", required=True), {"its": "x"}, "x"),
    ],
)
def test_a_value_arrives(add: Add, texts: dict[str, Any], value: Any) -> None:
    """What is given, or the default, is what the command gets, in its own type."""
    line, got = arrived(add, texts)
    assert len(line.arguments) == 1
    assert list(got.values()) == [value]


@pytest.mark.parametrize(
    ("add", "value"),
    [
        (lambda p: p.add_argument("--dry-run", action="store_true"), False),
        (lambda p: p.add_argument("-n", "--dry-run", action="store_true", dest="simulate"), False),
        (lambda p: p.add_argument("--commit", action="store_false", dest="dry_run"), False),
        (lambda p: p.add_argument("--dry-run", action=argparse.BooleanOptionalAction, default=True), False),
        (lambda p: p.add_argument("--yes", "-y", action="store_true"), True),
        (lambda p: p.add_argument("--yes", action=argparse.BooleanOptionalAction), True),
        (lambda p: p.add_argument("--input", action=argparse.BooleanOptionalAction, default=True), False),
        (
            lambda p: p.add_argument("--noinput", "--no-input", action="store_false", dest="interactive"),
            False,
        ),
    ],
)
def test_its_own_switches(add: Add, value: bool) -> None:
    """Its dry run is off, its questions answered; neither is offered."""
    line, got = arrived(add, {})
    assert line.arguments == ()
    assert len(line.switches) == 1
    assert list(got.values()) == [value]


def test_a_secret_by_its_name() -> None:
    """What is called a password is one."""
    line, got = arrived(lambda p: p.add_argument("--password"), {"password": "hush"})
    assert line.arguments[0].parameter.secret
    assert got == {"password": "hush"}


def test_what_is_not_offered() -> None:
    """Help, version, what is hidden, and the options that a framework gives to every command."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--version", action="version", version="1")
        parser.add_argument("--hidden", help=argparse.SUPPRESS)
        parser.add_argument("--settings")

    assert line_of(parser_with(add), {"--settings"}).arguments == ()


def test_commands_below_a_command() -> None:
    """Sub-commands take words as they come."""

    def add(parser: argparse.ArgumentParser) -> None:
        below = parser.add_subparsers(dest="what", required=True)
        below.add_parser("sync").add_argument("--all", action="store_true")

    _, got = arrived(add, {"what": ["sync", "--all"]})
    assert got == {"what": "sync", "all": True}
    _, got = arrived(lambda p: p.add_subparsers(dest="what"), {})
    assert got == {"what": None}


def test_the_help_is_filled_in() -> None:
    """``%(default)s`` is the default; a help text that cannot be filled in stays as it is."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--days", default=9, help="in days (%(default)s)\n  each")
        parser.add_argument("--rate", help="100% of it")

    helps = [argument.parameter.help for argument in line_of(parser_with(add), ()).arguments]
    assert helps == ["in days (9) each", "100% of it"]


def test_two_that_want_one_name() -> None:
    """Each has an option of its own."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--name", dest="other")
        parser.add_argument("--its-name", dest="third")

    line, got = arrived(add, {"name": "a", "its_name": "b", "its_its_name": "c"})
    assert got == {"name": "a", "other": "b", "third": "c"}
    assert len(line.arguments) == 3
