"""Tasks from their documents, for whoever lacks the app: the inverse of ``document`` and ``schema``.

Their parameters read text as the app's own would. What only the app can judge (a model of its own, a kind
that a later oneoff knows, a pattern with flags) is taken as it is, and judged where the app is.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from oneoff.errors import InvalidDeclaration, InvalidParameters, UsageError
from oneoff.tasks.choices import literal_kind, names_kind
from oneoff.tasks.kind import Kind, Member, Unfit, shown
from oneoff.tasks.kinds import PLAIN, SECRET
from oneoff.tasks.limits import Limits
from oneoff.tasks.parameters import OPTION, Parameter, read_one
from oneoff.tasks.registry import task_name
from oneoff.tasks.schema import bound_words
from oneoff.tasks.task import NATURES, Task
from oneoff.types import JSON, JSONObject

NEXT_STEP: Final = "`oneoff tasks -o json` prints it, in the release that is to run"
_AROUND: Final = {"anyOf", "$defs", "description", "default", "writeOnly"}
"""What ``schema`` puts around a value that may be null."""


def tasks_of(document: object) -> list[Task]:
    """The tasks that ``oneoff tasks -o json`` has printed.

    Raises:
        UsageError: it is not what oneoff prints.
    """
    if not isinstance(document, list):
        raise UsageError("a catalogue is a list of tasks, and this is no list", next_step=NEXT_STEP)
    tasks: dict[str, Task] = {}
    for number, entry in enumerate(document, start=1):
        name = entry.get("name") if isinstance(entry, dict) else None
        called = name if isinstance(name, str) else f"number {number}"
        try:
            task = _task(_object(entry, "it"))
            if task.name in tasks:
                raise _Foreign("there are two of this name")
        except (_Foreign, Unfit, InvalidDeclaration, InvalidParameters) as error:
            raise UsageError(
                f"the task {called} is not as oneoff prints it: {error}", next_step=NEXT_STEP
            ) from error
        tasks[task.name] = task
    return list(tasks.values())


class _Foreign(Exception):
    """Something in a document that oneoff does not print, in words."""


def _task(entry: JSONObject) -> Task:
    schema = _object(_field(entry, "parameters", dict), "parameters")
    properties, required = _field(schema, "properties", dict), _texts(schema, "required")
    options = [_object(option, "an option") for option in _field(entry, "options", list)]
    names = [_field(option, "parameter", str) for option in options]
    if sorted(names) != sorted(properties):
        raise _Foreign("options and parameters name other parameters")
    command = entry.get("command")
    return Task(
        name=task_name(_field(entry, "name", str)),
        help=_field(entry, "help", str),
        parameters=tuple(
            _parameter(option, _object(properties[name], f"parameter {name}"), required=name in required)
            for name, option in zip(names, options, strict=True)
        ),
        confirm=_field(entry, "confirm", str, None),
        lock=_field(entry, "lock", str, None),
        timeout=_timeout(_field(entry, "timeout_seconds", int, float, None)),
        schedule=_field(entry, "schedule", str, None),
        time_zone=_field(entry, "time_zone", str, None) or "UTC",
        nature=_nature(_field(entry, "nature", str, None)),
        command=None if command is None else _texts(entry, "command"),
        runner=_field(entry, "runner", bool),
        origin=_field(entry, "origin", str, None) or "",
        hides=_texts(entry, "hides"),
    )


def _timeout(seconds: float | None) -> timedelta | None:
    try:
        return None if seconds is None else timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise _Foreign(f"timeout_seconds is {shown(seconds)}") from None


def _nature(said: str | None) -> str:
    """The most careful one where it is of a later oneoff."""
    return said if said in NATURES else NATURES[0]


def _parameter(option: JSONObject, schema: JSONObject, *, required: bool) -> Parameter:
    name, multiple = _field(option, "parameter", str), _field(option, "repeated", bool)
    several, nullable = _without_null(schema)
    value = _object(_field(several, "items", dict), "items") if multiple else several
    kind = SECRET if schema.get("writeOnly") else _kind(option, value, schema.get("$defs"))
    parameter = Parameter(
        name=name,
        option=_option(option),
        kind=kind,
        required=required,
        help=_field(schema, "description", str) if "description" in schema else "",
        limits=_limits(kind, value, several if multiple else {}),
        multiple=multiple,
        nullable=nullable,
        positional=_field(option, "positional", bool),
    )
    default = schema.get("default")
    if required or default is None:
        return parameter
    return replace(parameter, default=read_one(parameter, default, kind.thaw))


def _option(option: JSONObject) -> str:
    spelled = _field(option, "option", str)
    if not OPTION.fullmatch(spelled):
        raise _Foreign(f"option is {shown(spelled)}")
    return str(spelled)


def _without_null(schema: JSONObject) -> tuple[JSONObject, bool]:
    """The schema of what is not null, and whether null is allowed beside it; a model may say so of itself."""
    allowed, ours = schema.get("anyOf"), schema.keys() <= _AROUND
    if ours and isinstance(allowed, list) and len(allowed) == 2 and allowed[1] == {"type": "null"}:
        return _object(allowed[0], "anyOf"), True
    return schema, False


def _kind(option: JSONObject, schema: JSONObject, definitions: JSON) -> Kind:
    name, metavar = _field(option, "kind", str), _field(option, "metavar", str)
    if name in PLAIN:
        return PLAIN[name]
    if name == "enum":
        members = [_object(member, "a member") for member in _field(option, "members", list)]
        return names_kind([_member(member) for member in members], metavar)
    if name == "literal":
        return literal_kind(_field(schema, "enum", list))
    own = {key: value for key, value in schema.items() if key not in ("default", "description")}
    return _lenient(name, metavar, {**own, "$defs": definitions} if definitions is not None else own)


def _member(member: JSONObject) -> Member:
    return Member(
        name=_field(member, "name", str), names=_texts(member, "names"), value=_field(member, "value", str)
    )


def _lenient(name: str, metavar: str, schema: JSONObject) -> Kind:
    """Takes whatever there is; the app judges it."""

    def same(value: Any) -> Any:
        return value

    return Kind(
        name=name,
        noun="a value",
        example=metavar,
        metavar=metavar,
        parse=same,
        thaw=same,
        accept=same,
        freeze=same,
        describe=lambda _: dict(schema),
    )


def _limits(kind: Kind, value: JSONObject, items: JSONObject) -> Limits:
    found: dict[str, Any] = {}
    if kind.ordered:
        for name, word in bound_words(kind).items():
            if word in value:
                found[name] = _bound(kind, word, value[word])
    if kind.sized:
        found["min_length"], found["max_length"] = _size(value, "minLength"), _size(value, "maxLength")
        with suppress(re.error):  # that of a later Python
            found["pattern"] = re.compile(_field(value, "pattern", str)) if "pattern" in value else None
    return Limits(**found, min_items=_size(items, "minItems"), max_items=_size(items, "maxItems"))


def _bound(kind: Kind, word: str, value: JSON) -> Any:
    try:
        return kind.accept(kind.thaw(value))
    except (Unfit, ValueError, TypeError, ArithmeticError):
        raise _Foreign(f"{word} is {shown(value)}, which is not {kind.noun}") from None


def _size(schema: JSONObject, word: str) -> int | None:
    return _field(schema, word, int) if word in schema else None


def _field(entry: JSONObject, key: str, *types: type | None) -> Any:
    """What stands under a key, of one of these types; None among them allows that it says nothing."""
    if key not in entry:
        raise _Foreign(f"it has no {key}")
    value = entry[key]
    if value is None and None in types:
        return None
    known = tuple(one for one in types if one is not None)
    if not isinstance(value, known) or (isinstance(value, bool) and bool not in known):
        raise _Foreign(f"{key} is {shown(value)}")
    return value


def _texts(entry: JSONObject, key: str) -> tuple[str, ...]:
    found = _field(entry, key, list)
    if not all(isinstance(text, str) for text in found):
        raise _Foreign(f"{key} is {shown(found)}")
    return tuple(found)


def _object(value: JSON, what: str) -> JSONObject:
    if not isinstance(value, dict):
        raise _Foreign(f"{what} is {shown(value)}")
    return value
