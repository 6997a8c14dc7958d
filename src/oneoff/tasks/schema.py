"""JSON Schema of a task's parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from oneoff.tasks.kind import Kind
from oneoff.tasks.parameters import Parameter, freeze_one
from oneoff.types import JSONObject

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_NUMERIC: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
# JSON Schema bounds numbers only; for values that are text these words of ajv-formats say the same.
_TEXTUAL: Final = {name: f"format{word[0].upper()}{word[1:]}" for name, word in _NUMERIC.items()}


def json_schema(name: str, help: str, parameters: Sequence[Parameter]) -> JSONObject:  # noqa: A002 # the word of Task
    """The parameters of one task as a JSON Schema (2020-12) of the object that ``thaw`` takes.

    A secret is ``writeOnly`` and never has a default.
    """
    description: JSONObject = {"description": help} if help else {}
    return {
        "$schema": DIALECT,
        "title": name,
        **description,
        "type": "object",
        "properties": {parameter.name: _property(parameter) for parameter in parameters},
        "required": [parameter.name for parameter in parameters if parameter.required],
        "additionalProperties": False,
    }


def _property(parameter: Parameter) -> JSONObject:
    value = parameter.kind.describe(f"#/properties/{parameter.name}")
    definitions = value.pop("$defs", None)
    value |= _limits(parameter)
    if parameter.multiple:
        value = {"type": "array", "items": value, **_sizes(parameter)}
    if parameter.nullable:
        value = {"anyOf": [value, {"type": "null"}]}
    if definitions is not None:
        value["$defs"] = definitions
    if parameter.help:
        value["description"] = parameter.help
    if parameter.secret:
        value["writeOnly"] = True
    elif not parameter.required:
        value["default"] = freeze_one(parameter, parameter.default)
    return value


def _limits(parameter: Parameter) -> JSONObject:
    limits, kind = parameter.limits, parameter.kind
    bounds = {word: getattr(limits, name) for name, word in bound_words(kind).items()}
    found: JSONObject = {word: kind.freeze(bound) for word, bound in bounds.items() if bound is not None}
    if limits.min_length is not None:
        found["minLength"] = limits.min_length
    if limits.max_length is not None:
        found["maxLength"] = limits.max_length
    if limits.pattern is not None and not limits.pattern.flags & ~re.UNICODE:
        found["pattern"] = limits.pattern.pattern
    return found


def bound_words(kind: Kind) -> dict[str, str]:
    """The word of JSON Schema for each of ``ge gt le lt``."""
    return _NUMERIC if kind.name in ("integer", "number") else _TEXTUAL


def _sizes(parameter: Parameter) -> JSONObject:
    sizes = {"minItems": parameter.limits.min_items, "maxItems": parameter.limits.max_items}
    return {word: size for word, size in sizes.items() if size is not None}
