"""What a kind of parameter has to know: how to read, check, record and describe its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from oneoff.types import JSON, JSONObject

_SHOWN = 60


class Unfit(Exception):
    """A value that does not fit. The reason never holds the value, because that may be a secret.

    Caught inside this package, where it becomes a Problem or an InvalidDeclaration.
    """

    def __init__(self, reason: str, *, details: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.details = details
        """Whole messages, one per field, where a model found several things wrong at once."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One value of an Enum, by all that a person may type for it."""

    name: str
    names: tuple[str, ...]
    """The name itself and its aliases."""
    value: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """One kind of value. Its functions raise :class:`Unfit`, ValueError, TypeError or ArithmeticError.

    There are three ways in, and all end in ``accept``: text from a person (``parse``), the JSON form
    (``thaw``), and a Python value.
    """

    name: str
    noun: str
    """With its article, for messages: ``a duration``."""
    example: str
    """What a person may type, or all that is allowed."""
    metavar: str
    """Stands for the value in help texts: ``DURATION``."""
    parse: Callable[[str], Any]
    thaw: Callable[[Any], Any]
    accept: Callable[[Any], Any]
    """The value itself, or in its one exact form (a time in UTC, say)."""
    freeze: Callable[[Any], JSON]
    describe: Callable[[str], JSONObject]
    """JSON Schema of one value; the argument is the JSON pointer to the parameter's place in the document."""
    ordered: bool = False
    """Whether ``ge gt le lt`` mean anything."""
    sized: bool = False
    """Whether ``min_length max_length pattern`` mean anything."""
    secret: bool = False
    choices: tuple[str, ...] = ()
    """The closed list of what a person may type, where there is one."""
    members: tuple[Member, ...] = ()
    """Of an Enum."""


def shown(value: object) -> str:
    """A value for a message: escaped, so that it cannot steer a terminal, and short."""
    try:
        text = repr(value)
    except Exception:  # repr is foreign code, and a message has to come out (an int may be too long for it)
        return f"a value of type {type(value).__name__}"
    if len(text) <= _SHOWN:
        return text
    size = f"{len(value):,} characters" if isinstance(value, str) else type(value).__name__
    return f"{text[:_SHOWN]}… ({size})"


def clean(text: str) -> str:
    """Text that every store, log and process can hold, unchanged."""
    if "\0" in text:
        raise Unfit("holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Python turns undecodable bytes of arguments and file names into lone surrogates (PEP 383).
        raise Unfit("holds bytes that are not text in UTF-8") from None
    return text
