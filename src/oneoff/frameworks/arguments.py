"""A command's own arguments as parameters of a task, and a run's values as the words of its command line.

The framework reads the words as if somebody had typed them, so whatever it knows of them (types, callbacks,
groups that exclude each other) holds here too. What has its default is not said at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oneoff.errors import InvalidParameters
from oneoff.tasks.kind import Kind
from oneoff.tasks.kinds import BOOLEAN
from oneoff.tasks.limits import Limits
from oneoff.tasks.parameters import Parameter, read_one
from oneoff.tasks.secret import Secret
from oneoff.tasks.signature import RESERVED_OPTIONS

OWN_DRY_RUN = frozenset({"dry-run", "dryrun", "dry"})
"""A switch of this name is the command's own dry run. It is never given: the real path runs, and is held."""
OWN_YES = frozenset({"yes", "assume-yes", "noinput", "no-input", "no-confirm"})
"""A switch of this name answers the command's questions. It is always given: the run is confirmed."""

SECRETS = frozenset({"password", "passwd", "secret", "token", "apikey", "api-key"})
"""An argument whose name ends with one of these is a secret: what is in the audit log stays there."""

Words = Callable[[Any], list[str]]
"""Says a value in the words of a command line."""


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One argument of a command."""

    parameter: Parameter
    words: Words
    always: bool = False
    """Said even where it has its default: else the command would ask for it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The part of a command line that belongs to one command, or to one group above it."""

    command: str = ""
    """Its name, where it is not the program itself."""
    arguments: tuple[Argument, ...] = ()
    fixed: tuple[str, ...] = ()
    """Words for its own switches: yes, and no dry run."""
    switches: tuple[str, ...] = ()
    """Those switches, for people."""
    asks: bool = False
    question: str | None = None
    """What it asks before it goes on, where that is known."""
    separated: bool = True
    """Whether ``--`` may stand before what is positional."""

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The words for a run's values, by the names of the parameters."""
        options: list[str] = []
        rest: list[str] = []
        for argument in self.arguments:
            parameter = argument.parameter
            value = values[parameter.name]
            default = not (parameter.required or parameter.positional or argument.always)
            if value is None or (default and value == parameter.default):
                continue
            (rest if parameter.positional else options).extend(argument.words(value))
        command = [self.command] if self.command else []
        return [*command, *self.fixed, *options, *(["--"] if rest and self.separated else []), *rest]


def command_line(lines: Iterable[Line], values: Mapping[str, Any]) -> list[str]:
    """The whole command line behind the program's name."""
    return [word for line in lines for word in line.words(values)]


def said_of(lines: Iterable[Line]) -> str:
    """For the help: which of its switches are not offered, and why."""
    switches = [switch for line in lines for switch in line.switches]
    if not switches:
        return ""
    return f"Its own {', '.join(switches)} cannot be given: oneoff's --dry-run and --yes take their place."


class Names:
    """Gives each argument of one task a name and an option that nothing else has."""

    def __init__(self) -> None:
        self._options = set(RESERVED_OPTIONS)
        self._names: set[str] = set()

    def given(self, word: str, *, flag: bool, group: str = "") -> tuple[str, str]:
        """Name and option for an argument called ``word``; ``--its-WORD`` where oneoff has that itself."""
        plain = re.sub(r"[^\w-]", "-", word).strip("-_") or "argument"
        for key in _candidates(plain.replace("_", "-"), group):
            name, options = key.replace("-", "_"), {f"--{key}", *([f"--no-{key}"] if flag else [])}
            if not options & self._options and name.lower() not in self._names:
                self._options |= options
                self._names.add(name.lower())
                return name, f"--{key}"
        raise AssertionError("there is always a next candidate")


def _candidates(key: str, group: str) -> Iterable[str]:
    yield key
    yield f"its-{key}"
    if group:
        yield f"{group.replace('_', '-')}-{key}"
    number = 2
    while True:
        yield f"{key}-{number}"
        number += 1


Count = tuple[int | None, int | None]
"""How few and how many values a parameter takes that takes several."""


def limits_of(count: Count | None, limits: Limits | None = None) -> Limits:
    """The limits of a parameter, of each of its values and of their number."""
    low, high = count or (None, None)
    return replace(limits or Limits(), min_items=low, max_items=high)


def finished(made: Parameter, default: Any = None) -> Parameter:
    """The parameter with its default: None, "not given", where the command's own is no value of its kind."""
    made = replace(made, help=" ".join(made.help.split()))
    if made.required:
        return made
    try:
        value = None if made.secret or default is None else read_one(made, default, made.kind.accept)
    except InvalidParameters:
        value = None
    return replace(made, default=value, nullable=value is None)


def switch(name: str, option: str, help: str, default: Any = False) -> Parameter:  # noqa: A002 # its word there
    """A parameter that is on or off."""
    return finished(Parameter(name=name, option=option, kind=BOOLEAN, required=False, help=help), default)


def texts(kind: Kind, value: Any) -> list[str]:
    """A value, or each of several, as somebody would type it."""
    return [_text(kind, item) for item in (value if isinstance(value, list) else [value])]


def _text(kind: Kind, value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    frozen = kind.freeze(value)
    return str(frozen).lower() if isinstance(frozen, bool) else str(frozen)


def chunks(items: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    """The items in groups; a last one that is too short is for the command to refuse."""
    return (items[at : at + size] for at in range(0, len(items), size))


def assigned(option: str, value: str) -> list[str]:
    """An option with its one value, whatever that begins with."""
    if option.startswith("--"):
        return [f"{option}={value}"]
    return [f"{option}{value}"] if value else [option, value]


def long_of(options: Sequence[str]) -> str:
    """The option that says most: the longest of those with two dashes, if there is any."""
    return max(options, key=lambda option: (option.startswith("--"), len(option)))


def is_secret(name: str) -> bool:
    """Whether an argument is a secret, by its name."""
    words = name.lower().replace("_", "-")
    return any(words == secret or words.endswith(f"-{secret}") for secret in SECRETS)


def role_of(options: Iterable[str], target: str = "") -> str:
    """``dry run``, ``yes`` or nothing: what a switch is for, by its options and where its value goes."""
    words = {_plain(option) for option in (*options, target)}
    return "dry run" if words & OWN_DRY_RUN else "yes" if words & OWN_YES else ""


def telling(options: Sequence[str]) -> str:
    """The option of such a switch that gave it away."""
    return next((option for option in options if _plain(option) in OWN_DRY_RUN | OWN_YES), long_of(options))


def _plain(option: str) -> str:
    return option.lstrip("-").replace("_", "-").lower()
