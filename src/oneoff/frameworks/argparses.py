"""The arguments of a command that argparse reads."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Any

from oneoff.frameworks.arguments import (
    Argument,
    Count,
    Line,
    Names,
    assigned,
    chunks,
    finished,
    is_secret,
    limits_of,
    long_of,
    role_of,
    switch,
    telling,
    texts,
)
from oneoff.tasks.choices import literal_kind
from oneoff.tasks.kind import Kind, Unfit
from oneoff.tasks.kinds import DECIMAL, FLOAT, ID, INTEGER, SECRET, TEXT
from oneoff.tasks.parameters import Parameter

_MOST_CHOICES = 100
_SWITCHES = (
    argparse._StoreConstAction,  # store_true and store_false are below it
    argparse._AppendConstAction,
    argparse.BooleanOptionalAction,
    argparse._CountAction,
)
_NO_VALUES = (argparse._HelpAction, argparse._VersionAction)


def line_of(parser: argparse.ArgumentParser, leave_out: Collection[str]) -> Line:
    """What can be given to a parser, without the options in ``leave_out`` and what is hidden."""
    names = Names()
    arguments: list[Argument] = []
    fixed: list[str] = []
    switches: list[str] = []
    asks, separated = False, True
    for action in parser._actions:
        if _is_out(action, leave_out):
            continue
        role = role_of(action.option_strings, action.dest) if isinstance(action, _SWITCHES) else ""
        if role:
            switches.append(telling(action.option_strings))
            asks = asks or role == "yes"
            fixed += _fixed(action, role)
        else:
            arguments.append(_argument(action, names, _help(action, parser)))
            separated = separated and not isinstance(action, argparse._SubParsersAction)
    return Line(
        arguments=tuple(arguments),
        fixed=tuple(fixed),
        switches=tuple(switches),
        asks=asks,
        separated=separated,
    )


def _is_out(action: argparse.Action, leave_out: Collection[str]) -> bool:
    known = bool(action.option_strings) and any(option in leave_out for option in action.option_strings)
    return known or isinstance(action, _NO_VALUES) or action.help == argparse.SUPPRESS


def _fixed(action: argparse.Action, role: str) -> list[str]:
    """What says yes; or what says no to a dry run that is on unless it is said otherwise."""
    if role == "yes":
        return [telling(action.option_strings)]
    if not action.default:
        return []
    if isinstance(action, argparse.BooleanOptionalAction):
        return [option for option in action.option_strings if option.startswith("--no-")][:1]
    return [long_of(action.option_strings)] if action.const is False else []


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = str(action.help or "")
    try:
        return text % {**vars(action), "prog": parser.prog}
    except (KeyError, TypeError, ValueError):
        return text


def _argument(action: argparse.Action, names: Names, words: str) -> Argument:
    if isinstance(action, _SWITCHES):
        return _switch(action, names, words)
    kind, count = _kind(action), _count(action)
    option = long_of(action.option_strings).lstrip("-") if action.option_strings else _positional_name(action)
    name, spelled = names.given(option, flag=False)
    says_itself = bool(action.option_strings) or isinstance(action, argparse._SubParsersAction)
    required = action.required if says_itself else action.nargs not in ("?", "*", "...")
    made = Parameter(
        name=name,
        option=spelled,
        kind=kind,
        required=required,
        help=words,
        limits=limits_of(count),
        multiple=count is not None,
        positional=not action.option_strings,
    )
    made = finished(made, _default(action, count))
    if made.positional:
        return Argument(parameter=made, words=lambda value: texts(kind, value))
    return Argument(parameter=made, words=_words(action, kind))


def _positional_name(action: argparse.Action) -> str:
    if action.dest != argparse.SUPPRESS:
        return action.dest
    return action.metavar if isinstance(action.metavar, str) else "arguments"


def _words(action: argparse.Action, kind: Kind) -> Callable[[Any], list[str]]:
    opt, size = long_of(action.option_strings), action.nargs

    def words(value: Any) -> list[str]:
        said = texts(kind, value)
        if size in (None, "?"):
            return [word for text in said for word in assigned(opt, text)]
        sized = chunks(said, size) if isinstance(size, int) else [said]
        return [word for chunk in sized for word in (opt, *chunk)]

    return words


def _switch(action: argparse.Action, names: Names, words: str) -> Argument:
    opt = long_of(action.option_strings)
    if isinstance(action, argparse._CountAction):
        name, spelled = names.given(opt.lstrip("-"), flag=False)
        counted = Parameter(name=name, option=spelled, kind=INTEGER, required=False, help=words)
        first = action.default or 0  # argparse counts on from there
        return Argument(
            parameter=finished(counted, action.default), words=lambda number: [opt] * (number - first)
        )
    if isinstance(action, argparse.BooleanOptionalAction):
        on = next(option for option in action.option_strings if not option.startswith("--no-"))
        off = next(option for option in action.option_strings if option.startswith("--no-"))
        name, spelled = names.given(on.lstrip("-"), flag=True)
        default = None if action.default is argparse.SUPPRESS else action.default
        made = switch(name, spelled, words, default)
        return Argument(parameter=made, words=lambda value: [on if value else off])
    name, spelled = names.given(opt.lstrip("-"), flag=True)
    return Argument(parameter=switch(name, spelled, words), words=lambda value: [opt] if value else [])


def _kind(action: argparse.Action) -> Kind:
    """Of the types that are known by name; the parser itself reads the text of any other."""
    if action.choices is not None and not isinstance(action, argparse._SubParsersAction):
        try:
            choices = [choice for _, choice in zip(range(_MOST_CHOICES + 1), action.choices, strict=False)]
            if len(choices) <= _MOST_CHOICES:
                return literal_kind(choices)
        except (Unfit, TypeError):
            return TEXT
    of = action.type
    if of in (None, str) and is_secret(action.dest) and _count(action) is None:
        return SECRET
    name = f"{getattr(of, '__module__', '')}.{getattr(of, '__qualname__', '')}"
    return _KINDS.get(name, TEXT)


_KINDS = {
    "builtins.int": INTEGER,
    "builtins.float": FLOAT,
    "decimal.Decimal": DECIMAL,
    "uuid.UUID": ID,
}


def _count(action: argparse.Action) -> Count | None:
    appends = isinstance(action, argparse._AppendAction)  # extend is below it
    match action.nargs:
        case int(number):
            return (number, None) if appends else (number, number)
        case "+":
            return 1, None
        case "*" | "..." | "A...":
            return None, None
    return (None, None) if appends else None


def _default(action: argparse.Action, count: object) -> Any:
    """A default that is a plain value; none of an option that adds to it."""
    default = action.default
    if isinstance(action, argparse._AppendAction):
        return None
    if count is not None:
        return list(default) if isinstance(default, list | tuple) else None
    return default if default is not argparse.SUPPRESS else None
