"""Parameters of a task, and the ways that values come in and go out.

In: :func:`parse` takes text from a command line or form, :func:`thaw` the JSON form from a record or file,
:func:`validate` Python values. Each reports every problem of its input at once. Out: :func:`freeze` makes the
JSON form. ``thaw(freeze(values))`` gives the same values, save for secrets, which have to be given again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from oneoff.errors import InvalidParameters, Problem
from oneoff.tasks.kind import Kind, Unfit, clean, shown
from oneoff.tasks.kinds import BOOLEAN
from oneoff.tasks.limits import Limits
from oneoff.tasks.secret import Secret
from oneoff.types import JSON, JSONObject

OPTION = re.compile(r"--[^\W_][\w-]*")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a task."""

    name: str
    """As the function spells it."""
    option: str
    """As the command line spells it, with its dashes: ``--older-than``."""
    kind: Kind
    required: bool = True
    default: Any = None
    """Means nothing where the parameter is required."""
    help: str = ""
    limits: Limits = field(default_factory=Limits)
    multiple: bool = False
    """A list; on the command line the option is repeated."""
    nullable: bool = False
    """None is a value too. It cannot be typed: only a default, a file or Python code can say it."""
    positional: bool = False
    """Whether its value may stand on the command line without the option, by its place among such."""

    @property
    def secret(self) -> bool:
        return self.kind.secret

    @property
    def flag(self) -> bool:
        """Whether it is a switch of two options, such as ``--x/--no-x``, that takes no value."""
        return self.kind is BOOLEAN and not self.multiple

    @property
    def options(self) -> tuple[str, ...]:
        """Every option that belongs to it: one, or the two of a switch, the one for true first."""
        return (self.option, f"--no-{self.option[2:]}") if self.flag else (self.option,)

    @property
    def metavar(self) -> str:
        return self.kind.metavar

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be typed, where that is a closed list."""
        return self.kind.choices

    @property
    def allowed(self) -> str:
        """What is allowed, in words: ``a whole number such as 42, at least 10``."""
        return ", ".join([_plain_allowed(self.kind), *self.limits.words(self.kind)])

    @property
    def default_text(self) -> str | None:
        """The default for help texts; None where there is none to show."""
        if self.required or self.default is None:
            return None
        frozen = freeze_one(self, self.default)
        items = frozen if isinstance(frozen, list) else [frozen]
        return ", ".join(str(item).lower() if isinstance(item, bool) else str(item) for item in items)


def _plain_allowed(kind: Kind) -> str:
    if kind.choices:
        return f"one of {kind.example}"
    return kind.example if kind.sized else f"{kind.noun} such as {kind.example}"


def parse(
    parameters: Iterable[Parameter], texts: Mapping[str, str | Sequence[str] | bool | None]
) -> dict[str, Any]:
    """Values from text, by parameter name, as a command line or a form gives it.

    What is absent, None or an empty list has not been given and takes its default. A list holds the texts of
    an option that was repeated. A bool is what a switch gives.

    Raises:
        InvalidParameters: with every problem at once.
    """
    given = {name: text for name, text in texts.items() if text is not None and text != [] and text != ()}
    return _read_all(parameters, given, _read_text)


def thaw(
    parameters: Iterable[Parameter], frozen: Mapping[str, JSON], secrets: Mapping[str, str | Secret]
) -> dict[str, Any]:
    """Values from their JSON form; ``secrets`` holds the text of the secret ones, which JSON never does.

    What is absent takes its default: a file written by hand may leave it out, and so does a record from
    before the parameter existed.

    Raises:
        InvalidParameters: with every problem at once.
    """
    known = tuple(parameters)
    secret_names = {parameter.name for parameter in known if parameter.secret}
    given: dict[str, Any] = dict(frozen)
    given.update({name: Secret(text) if isinstance(text, str) else text for name, text in secrets.items()})
    stray = [Problem(name, "is not a secret parameter") for name in secrets if name not in secret_names]
    return _read_all(known, given, _reader(lambda kind: kind.thaw), stray)


def validate(parameters: Iterable[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values from Python values, defaults filled in. A whole number will do for a float or Decimal.

    Raises:
        InvalidParameters: with every problem at once.
    """
    return _read_all(parameters, values, _reader(lambda kind: kind.accept))


def freeze(parameters: Iterable[Parameter], values: Mapping[str, Any]) -> JSONObject:
    """The JSON form of values that :func:`parse`, :func:`thaw` or :func:`validate` gave.

    Every parameter is there, with its default where none was given; a secret is always SECRET_MARK.
    """
    return {
        parameter.name: freeze_one(parameter, values.get(parameter.name, parameter.default))
        for parameter in parameters
    }


def freeze_one(parameter: Parameter, value: Any) -> JSON:
    """The JSON form of one parameter's value."""
    if value is None:
        return None
    if parameter.multiple:
        return [parameter.kind.freeze(item) for item in value]
    return parameter.kind.freeze(value)


_Reader = Callable[[Parameter, Any], Any]


def _read_all(
    parameters: Iterable[Parameter], given: Mapping[str, Any], read: _Reader, problems: Sequence[Problem] = ()
) -> dict[str, Any]:
    known = {parameter.name: parameter for parameter in parameters}
    found = [*problems]
    found += [_unknown(name, known) for name in given if name not in known and not _named(name, problems)]
    values = {}
    for name, parameter in known.items():
        if name not in given:
            if parameter.required:
                found.append(Problem(name, f"is missing; allowed: {parameter.allowed}"))
            values[name] = deepcopy(parameter.default)  # the task may change its list, not the next run's
            continue
        try:
            values[name] = read(parameter, given[name])
        except InvalidParameters as error:
            found += error.problems
    if found:
        raise InvalidParameters(found)
    return values


def _named(name: str, problems: Sequence[Problem]) -> bool:
    return any(problem.parameter == name for problem in problems)


def _unknown(name: str, known: Iterable[str]) -> Problem:
    from difflib import get_close_matches

    names = sorted(known)
    near = get_close_matches(name.replace("-", "_"), names, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"there are: {', '.join(names)}" if names else "the task takes none"
    printable = name if name.isidentifier() and len(name) <= 60 else shown(name)
    return Problem(printable, f"there is no such parameter; {hint}")


def _reader(way: Callable[[Kind], Callable[[Any], Any]]) -> _Reader:
    return lambda parameter, raw: read_one(parameter, raw, way(parameter.kind))


def _read_text(parameter: Parameter, raw: Any) -> Any:
    if not parameter.multiple and isinstance(raw, list | tuple):
        if len(raw) > 1:
            raise InvalidParameters(
                [Problem(parameter.name, f"is given {len(raw)} times and can be given once")]
            )
        (raw,) = raw
    if parameter.multiple and not isinstance(raw, list | tuple):
        raw = [raw]
    return read_one(parameter, raw, lambda text: _from_text(parameter.kind, text))


def _from_text(kind: Kind, text: Any) -> Any:
    if not isinstance(text, str):
        return kind.accept(text)  # a switch gives a bool, which no other kind accepts
    return kind.parse(clean(text))


def read_one(parameter: Parameter, raw: Any, convert: Callable[[Any], Any]) -> Any:
    """One parameter's value by way of ``convert``.

    Raises:
        InvalidParameters: with every problem that it has.
    """
    if raw is None and parameter.nullable:
        return None
    if not parameter.multiple:
        return _item(parameter, raw, convert)
    if not isinstance(raw, list | tuple):
        raise _invalid(parameter, raw, Unfit("is not a list"))
    values: list[Any] = []
    problems: list[Problem] = []
    for number, item in enumerate(raw, start=1):
        try:
            values.append(_item(parameter, item, convert, f"element {number}: "))
        except InvalidParameters as error:
            problems += error.problems
    if problems:
        raise InvalidParameters(problems)
    try:
        parameter.limits.check_items(len(values))
    except Unfit as unfit:
        raise _invalid(parameter, raw, unfit) from None
    return values


def _item(parameter: Parameter, raw: Any, convert: Callable[[Any], Any], where: str = "") -> Any:
    try:
        value = parameter.kind.accept(convert(raw))
        parameter.limits.check(value)
    except Unfit as error:
        unfit = error
    except (ValueError, TypeError, ArithmeticError):  # foreign words, which may hold a secret
        unfit = Unfit(f"is not {parameter.kind.noun}")
    else:
        return value
    raise _invalid(parameter, raw, unfit, where)


def _invalid(parameter: Parameter, raw: Any, unfit: Unfit, where: str = "") -> InvalidParameters:
    value = "the secret" if parameter.secret else shown(raw)
    messages = unfit.details or (f"{value} {unfit.reason}; allowed: {parameter.allowed}",)
    return InvalidParameters([Problem(parameter.name, where + message) for message in messages])
