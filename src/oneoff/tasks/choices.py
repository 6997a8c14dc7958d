"""Kinds with a closed list of values: Enum and Literal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from oneoff.tasks.kind import Kind, Member, Unfit
from oneoff.types import JSON, JSONObject

_UNKNOWN = "is not one of these"


def enum_kind(enum: type[Enum]) -> Kind:
    """Members by name, as recorded too; a member's value is understood as well, and case is forgiven."""
    aliases = enum.__members__.items()
    members = tuple(
        Member(
            name=member.name,
            names=tuple(name for name, other in aliases if other is member),
            value=str(member.value),
        )
        for member in enum
    )

    def accept(value: Any) -> Enum:
        if not isinstance(value, enum):
            raise Unfit(f"is not a member of {enum.__name__}")
        return value

    return _members_kind(
        members,
        metavar=enum.__name__.upper(),
        given=lambda name: enum[name],
        accept=accept,
        freeze=lambda member: str(member.name),
    )


def names_kind(members: Sequence[Member], metavar: str) -> Kind:
    """The kind of an Enum whose class is not here; its values are the names."""
    names = [member.name for member in members]

    def accept(value: Any) -> str:
        if value not in names:
            raise Unfit(_UNKNOWN)
        return str(value)

    return _members_kind(
        tuple(members), metavar=metavar, given=lambda name: name, accept=accept, freeze=lambda name: name
    )


def _members_kind(
    members: tuple[Member, ...],
    *,
    metavar: str,
    given: Callable[[str], Any],
    accept: Callable[[Any], Any],
    freeze: Callable[[Any], JSON],
) -> Kind:
    names = tuple(member.name for member in members)
    by_name = [(name, member.name) for member in members for name in member.names]
    by_value = [(member.value, member.name) for member in members]

    def parse(text: str) -> Any:
        wanted = text.strip()
        forms: tuple[Callable[[str], str], ...] = (str, str.casefold)
        for form in forms:
            for spellings in (by_name, by_value):
                found = {name for spelling, name in spellings if form(spelling) == form(wanted)}
                if len(found) == 1:
                    return given(found.pop())
        raise Unfit(_UNKNOWN)

    return Kind(
        name="enum",
        noun="one of",
        example=", ".join(names),
        metavar=metavar,
        parse=parse,
        thaw=lambda value: parse(value) if isinstance(value, str) else accept(None),
        accept=accept,
        freeze=freeze,
        describe=lambda _: {"type": "string", "enum": list(names)},
        choices=names,
        members=members,
    )


def literal_kind(values: Sequence[Any]) -> Kind:
    """The values of ``Literal[…]``: text, whole numbers and booleans.

    Raises:
        Unfit: there are others, or two of them are typed alike.
    """
    texts = {(str(value).lower() if isinstance(value, bool) else str(value)): value for value in values}
    if not values or any(type(value) not in (str, int, bool) for value in values):
        raise Unfit("a Literal holds text, whole numbers or booleans only")
    if len(texts) < len(values):
        raise Unfit("two values of the Literal are written alike")

    def parse(text: str) -> Any:
        if text in texts:
            return texts[text]
        found = [value for typed, value in texts.items() if typed.casefold() == text.strip().casefold()]
        if len(found) != 1:
            raise Unfit(_UNKNOWN)
        return found[0]

    def accept(value: Any) -> Any:
        for allowed in values:
            if type(allowed) is type(value) and allowed == value:
                return allowed
        raise Unfit(_UNKNOWN)

    schema: JSONObject = {"enum": list(values)}
    if all(isinstance(value, str) for value in values):
        schema = {"type": "string", **schema}
    return Kind(
        name="literal",
        noun="one of",
        example=", ".join(texts),
        metavar="CHOICE",
        parse=parse,
        thaw=accept,
        accept=accept,
        freeze=lambda value: value,
        describe=lambda _: dict(schema),
        choices=tuple(texts),
    )
