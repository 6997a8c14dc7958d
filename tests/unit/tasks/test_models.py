from __future__ import annotations

import subprocess
import sys

import msgspec
import pydantic
import pytest

from oneoff.errors import InvalidDeclaration, InvalidParameters
from oneoff.tasks.parameters import freeze, parse, thaw
from tests.unit.tasks.samples import Route, Window, one


class Credentials(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")
    days: set[int] = pydantic.Field(alias="Days")

    @pydantic.computed_field  # type: ignore[prop-decorator] # mypy knows no decorator on top of property
    @property
    def count(self) -> int:
        return len(self.days)


class Odd(msgspec.Struct):
    thing: complex


class Renamed(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    first_leg: Route
    max_stops: int


def messages(hint: type, text: str) -> list[str]:
    with pytest.raises(InvalidParameters) as caught:
        parse([one(hint)], {"x": text})
    assert {problem.parameter for problem in caught.value.problems} == {"x"}
    return [problem.message for problem in caught.value.problems]


def test_every_error_of_a_pydantic_model_is_translated() -> None:
    """Each field has its own problem, with place, words and value."""
    found = messages(Window, '{"start": "soon", "days": 0}')
    assert len(found) == 2
    assert found[0].startswith("start: Input should be a valid date")
    assert found[0].endswith(", not 'soon'")
    assert found[1] == "days: Input should be greater than or equal to 1, not 0"
    assert messages(Window, "{}") == ["start: Field required"]
    assert messages(Window, "{")[0].startswith("Invalid JSON")


def test_every_field_of_a_msgspec_struct_is_translated() -> None:
    """msgspec itself stops at the first error; here each field of the struct is looked at."""
    assert messages(Route, '{"stops": "x"}') == [
        "origin: Field required",
        "stops: Expected `int`, got `str`, not 'x'",
    ]
    assert messages(Renamed, '{"firstLeg": {"origin": 1}, "maxStops": null}') == [
        "firstLeg: Expected `str`, got `int` - at `$.origin`, not {'origin': 1}",
        "maxStops: Expected `int`, got `null`, not None",
    ]
    unknown = '{"firstLeg": {"origin": "EWR"}, "maxStops": 1, "colour": "red"}'
    assert messages(Renamed, unknown) == ["Object contains unknown field `colour`"]
    assert len(messages(Route, "{")) == 1
    assert messages(Route, "[]") == ["Expected `object`, got `array`"]


def test_aliases_strict_mode_and_computed_fields_survive() -> None:
    """The JSON form is read back by the same model, however it is configured."""
    values = parse([one(Aliased)], {"x": '{"Days": [3, 1]}'})
    frozen = freeze([one(Aliased)], values)
    assert frozen == {"x": {"Days": [1, 3]}}
    assert thaw([one(Aliased)], frozen, {}) == values


def test_a_default_model_belongs_to_one_run() -> None:
    """A task that changes its model does not change the next run's."""
    parameter = one(Route, Route("EWR"))
    parse([parameter], {})["x"].stops = 9
    assert parse([parameter], {}) == {"x": Route("EWR")}


def test_a_model_with_a_secret_is_refused() -> None:
    """A secret inside a model could be neither recorded nor asked for again."""
    with pytest.raises(
        InvalidDeclaration, match=r"Credentials holds a secret: make it a parameter of its own"
    ):
        one(Credentials)


def test_a_model_without_schema_is_refused() -> None:
    """What the library itself cannot describe is refused with the library's reason."""
    with pytest.raises(InvalidDeclaration, match="Odd has no JSON Schema"):
        one(Odd)


def test_neither_library_is_imported() -> None:
    """A task without models never loads them, nor what only some kinds need."""
    program = (
        "import sys\n"
        "from oneoff.tasks import registry, schema, signature\n"
        "def f(a: int, b: str = 'x'): ...\n"
        "parameters, _ = signature.from_signature(f)\n"
        "schema.json_schema('f', '', parameters)\n"
        "lazy = {'pydantic', 'msgspec', 'decimal', 'uuid', 'pathlib', 'hashlib', 'difflib', 'asyncio'}\n"
        "print(sorted(lazy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
