"""Limits on values, as an app declares them with ``Annotated``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from oneoff.tasks.kind import Kind, Unfit, shown

BOUNDS: Final[dict[str, tuple[Callable[[Any, Any], Any], str]]] = {
    "ge": (operator.ge, "at least"),
    "gt": (operator.gt, "more than"),
    "le": (operator.le, "at most"),
    "lt": (operator.lt, "less than"),
}
_LENGTHS: Final = ("min_length", "max_length")


@dataclass(frozen=True, kw_only=True)
class Param:
    """What ``Annotated[T, Param(…)]`` says of a parameter beyond its type.

    ``ge gt le lt`` and ``pattern`` hold for each element of a list; ``min_length`` and ``max_length`` count
    the characters of a text, or the elements of a list (``list[Annotated[str, Param(max_length=3)]]`` limits
    each text in it). ``pattern`` may match anywhere in the text unless it is anchored, as in JSON Schema.
    """

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | re.Pattern[str] | None = None
    help: str | None = None
    option: str | None = None
    """The option's name on the command line, with its dashes: ``--other-name``."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one parameter, checked against its kind."""

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: re.Pattern[str] | None = None
    min_items: int | None = None
    max_items: int | None = None

    def check(self, value: Any) -> None:
        """Raise Unfit where one value, or one element of a list, is outside."""
        for name, (holds, _) in BOUNDS.items():
            bound = getattr(self, name)
            if bound is not None and not holds(value, bound):
                raise Unfit("is out of range")
        if self.min_length is None and self.max_length is None and self.pattern is None:
            return
        text = value if isinstance(value, str) else value.reveal()
        _check_size(len(text), self.min_length, self.max_length)
        if self.pattern is not None and not self.pattern.search(text):
            raise Unfit("does not match the pattern")

    def check_items(self, count: int) -> None:
        """Raise Unfit where a list has too few or too many elements."""
        _check_size(count, self.min_items, self.max_items)

    def words(self, kind: Kind) -> list[str]:
        """What is allowed, for people: ``at least 10``, ``at most 5 characters``."""
        bounds = {name: getattr(self, name) for name in BOUNDS}
        found = [
            f"{BOUNDS[name][1]} {kind.freeze(value)}" for name, value in bounds.items() if value is not None
        ]
        found += _size_words(self.min_length, self.max_length, "characters")
        found += [f"matching {self.pattern.pattern}"] if self.pattern is not None else []
        return found + _size_words(self.min_items, self.max_items, "elements")


def _check_size(size: int, least: int | None, most: int | None) -> None:
    if least is not None and size < least:
        raise Unfit("is too short")
    if most is not None and size > most:
        raise Unfit("is too long")


def _size_words(least: int | None, most: int | None, unit: str) -> list[str]:
    words = [f"at least {least} {unit}"] if least is not None else []
    return words + ([f"at most {most} {unit}"] if most is not None else [])


def read_metadata(metadata: Iterable[Any]) -> Param:
    """One Param from all that stands in an ``Annotated``.

    Besides :class:`Param` it understands, by their attributes, the objects of annotated_types, pydantic's
    ``Field`` and ``msgspec.Meta``. Anything else means nothing to oneoff and is left alone, as PEP 593 asks.

    Raises:
        Unfit: a limit is given twice, or could not be enforced.
    """
    names = [field.name for field in fields(Param)]
    result = Param()
    for item in _flat(metadata):
        if getattr(item, "multiple_of", None) is not None:
            raise Unfit("multiple_of is not supported as a limit: check it in the task")
        for name in names:
            value = getattr(item, name, None)
            if value is None and name == "help":
                value = getattr(item, "description", None)
            if value is None:
                continue
            if getattr(result, name) not in (None, value):
                raise Unfit(f"{name} is given twice: {shown(getattr(result, name))} and {shown(value)}")
            result = replace(result, **{name: value})
    return result


def _flat(metadata: Iterable[Any]) -> Iterable[Any]:
    for item in metadata:
        if isinstance(item, type | str | re.Pattern):
            continue
        yield item
        nested = getattr(item, "metadata", None)  # where pydantic's Field keeps its limits
        if isinstance(nested, list):
            yield from nested


def limits_for(kind: Kind, whole: Param, element: Param | None) -> Limits:
    """The limits of a parameter, from what stands around it and, for a list, around its element.

    Raises:
        Unfit: a limit that means nothing for this kind, or whose own value cannot be used.
    """
    limits: dict[str, Any] = {}
    for param, in_list in ((whole, element is not None), (element or Param(), False)):
        for name in (*BOUNDS, "pattern", *_LENGTHS):
            value = getattr(param, name)
            if value is None:
                continue
            key = name.replace("_length", "_items") if in_list else name
            if key in limits:
                raise Unfit(f"{name} is given twice")
            limits[key] = _limit(kind, key, value)
    return Limits(**limits)


def _limit(kind: Kind, name: str, value: Any) -> Any:
    if name in BOUNDS:
        if not kind.ordered:
            raise Unfit(f"{name} means nothing for {kind.noun}")
        return _bound(kind, name, value)
    if not name.endswith("_items") and not kind.sized:
        raise Unfit(f"{name} means nothing for {kind.noun}")
    if name == "pattern":
        return _pattern(value)
    if not isinstance(value, int) or value < 0:
        raise Unfit(f"{name} {shown(value)} is not a whole number from 0 on")
    return value


def _bound(kind: Kind, name: str, value: Any) -> Any:
    try:
        return kind.accept(value)
    except Unfit as unfit:
        raise Unfit(f"{name} {shown(value)} {unfit.reason}") from unfit
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Unfit(f"{name} {shown(value)} is not {kind.noun}") from error


def _pattern(value: Any) -> re.Pattern[str]:
    try:
        compiled: re.Pattern[Any] = re.compile(value)
    except (re.error, TypeError) as error:
        raise Unfit(f"the pattern {shown(value)} is not a regular expression: {error}") from error
    if not isinstance(compiled.pattern, str):
        raise Unfit(f"the pattern {shown(value)} is for bytes, not for text")
    return compiled
