from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest

from oneoff.tasks.limits import Param
from oneoff.tasks.schema import json_schema
from oneoff.tasks.secret import Secret
from tests.unit.tasks.samples import Carrier, Route, Window, one

ROUTE = {
    "title": "Route",
    "type": "object",
    "properties": {"origin": {"type": "string"}, "stops": {"type": "integer", "default": 0}},
    "required": ["origin"],
}
WINDOW = {
    "title": "Window",
    "type": "object",
    "properties": {
        "start": {"format": "date", "title": "Start", "type": "string"},
        "days": {"default": 1, "minimum": 1, "title": "Days", "type": "integer"},
    },
    "required": ["start"],
}


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (Decimal, {"type": "string", "format": "decimal"}),
        (date, {"type": "string", "format": "date"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (timedelta, {"type": "string", "format": "duration"}),
        (UUID, {"type": "string", "format": "uuid"}),
        (Path, {"type": "string", "format": "path"}),
        (Carrier, {"type": "string", "enum": ["UNITED", "DELTA", "SOUTHWEST"]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, True], {"enum": ["a", 1, True]}),
        (Secret, {"type": "string", "writeOnly": True}),
        (Window, WINDOW),
        (Route, {"$ref": "#/properties/x/$defs/Route", "$defs": {"Route": ROUTE}}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (
            list[Carrier] | None,
            {
                "anyOf": [
                    {
                        "type": "array",
                        "items": {"type": "string", "enum": ["UNITED", "DELTA", "SOUTHWEST"]},
                    },
                    {"type": "null"},
                ]
            },
        ),
        (
            list[Route],
            {
                "type": "array",
                "items": {"$ref": "#/properties/x/$defs/Route"},
                "$defs": {"Route": ROUTE},
            },
        ),
        (
            Annotated[int, Param(ge=1, gt=0, le=9, lt=10, help="how many")],
            {
                "type": "integer",
                "minimum": 1,
                "exclusiveMinimum": 0,
                "maximum": 9,
                "exclusiveMaximum": 10,
                "description": "how many",
            },
        ),
        (Annotated[float, Param(ge=0)], {"type": "number", "minimum": 0.0}),
        (
            Annotated[Decimal, Param(gt=Decimal("0.10"))],
            {"type": "string", "format": "decimal", "formatExclusiveMinimum": "0.10"},
        ),
        (
            Annotated[timedelta, Param(ge=timedelta(0), le=timedelta(days=90))],
            {"type": "string", "format": "duration", "formatMinimum": "PT0S", "formatMaximum": "P90D"},
        ),
        (
            Annotated[date, Param(lt=date(2014, 1, 1))],
            {"type": "string", "format": "date", "formatExclusiveMaximum": "2014-01-01"},
        ),
        (
            Annotated[str, Param(min_length=1, max_length=9, pattern="^a")],
            {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^a"},
        ),
        # JSON Schema has no flags: better no pattern than another one.
        (Annotated[str, Param(pattern=re.compile("a", re.I))], {"type": "string"}),
        (
            Annotated[list[Annotated[str, Param(max_length=3)]], Param(min_length=1, max_length=5)],
            {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 5},
        ),
    ],
)
def test_every_kind(hint: Any, expected: dict[str, Any]) -> None:
    """Each kind has its own words of JSON Schema 2020-12."""
    assert json_schema("t", "", [one(hint)])["properties"] == {"x": expected}


@pytest.mark.parametrize(
    ("hint", "default", "expected"),
    [
        (timedelta, timedelta(days=90), "P90D"),
        (datetime, datetime(2013, 1, 1, tzinfo=UTC), "2013-01-01T00:00:00.000000Z"),
        (Carrier, Carrier.DELTA, "DELTA"),
        (list[Decimal], [Decimal("1.50")], ["1.50"]),
        (int | None, None, None),
        (Route, Route("EWR"), {"origin": "EWR", "stops": 0}),
    ],
)
def test_defaults_stand_in_their_json_form(hint: Any, default: Any, expected: Any) -> None:
    """A default is what freeze would record; its parameter is not required."""
    schema = json_schema("t", "", [one(hint, default)])
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert isinstance(properties["x"], dict)
    assert properties["x"]["default"] == expected
    assert schema["required"] == []


def test_an_optional_secret_has_no_default() -> None:
    """A secret is write-only, and even the absence of one is no default to show."""
    schema = json_schema("t", "", [one(Secret | None, None)])
    assert schema["properties"] == {"x": {"anyOf": [{"type": "string"}, {"type": "null"}], "writeOnly": True}}


def test_the_document() -> None:
    """The whole is an object of 2020-12 that allows nothing but the parameters."""
    assert json_schema("purge", "Delete old rows.", [one(int)]) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "purge",
        "description": "Delete old rows.",
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    assert "description" not in json_schema("purge", "", [])


def test_a_schema_is_the_callers_own() -> None:
    """Changing one schema does not change the next."""
    first = json_schema("t", "", [one(int)])["properties"]
    assert isinstance(first, dict)
    assert isinstance(first["x"], dict)
    first["x"]["type"] = "changed"
    assert json_schema("t", "", [one(int)])["properties"] == {"x": {"type": "integer"}}
