from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.errors import InvalidParameters, UsageError
from oneoff.tasks.document import to_document
from oneoff.tasks.fromschema import tasks_of
from oneoff.tasks.limits import Param
from oneoff.tasks.parameters import Parameter, freeze, parse, thaw
from oneoff.tasks.secret import Secret
from oneoff.tasks.task import Task
from oneoff.types import TaskName
from tests.unit.tasks.samples import EVERY_KIND, SECRETS, Carrier, Route, Window, one
from tests.unit.tasks.test_freeze import VALUES


class Crossed(Enum):
    a = "b"
    b = "a"


class Alike(Enum):
    one = 1
    ONE = "x"
    first = 1  # noqa: PIE796 # an alias, which may be typed too
    two = "ONE"


class Pair(pydantic.RootModel[list[int] | None]):
    """A model whose schema looks like that of a list that may be None."""


HINTS: dict[str, Any] = {
    "text": str,
    "short text": Annotated[str, Param(min_length=1, max_length=3, pattern="^[a1]")],
    "whole": int,
    "bounded": Annotated[int, Param(ge=1, lt=10)],
    "number": Annotated[float, Param(gt=0, le=1e300)],
    "flag": bool,
    "price": Annotated[Decimal, Param(gt=Decimal("0.10"))],
    "day": Annotated[date, Param(ge=date(2013, 6, 1))],
    "moment": datetime,
    "duration": Annotated[timedelta, Param(ge=timedelta(0), le=timedelta(days=90))],
    "ident": UUID,
    "path": Path,
    "carrier": Carrier,
    "crossed": Crossed,
    "alike": Alike,
    "words": Literal["small", "Large", None],
    "size": Literal["small", 3, True],
    "several": Annotated[list[Annotated[int, Param(ge=0)]], Param(min_length=1, max_length=2)],
    "carriers": list[Carrier] | None,
    "perhaps": int | None,
    "secret": Annotated[Secret, Param(min_length=2)],
}
"""Of each kind, and each thing that can be said of one."""

TYPED = st.sampled_from(
    [
        *("", " ", "1", " 9 ", "10", "1_0", "-1", "0.5", "1e3", "nan", "1e999"),
        *("a", "A", "abcd", "a\0", "a\udcff", "true", "True", "no", "null", "data/x.csv"),
        *("2013-06-30", "2013-05-30", "2013-06-30T14:00:00Z", "2013-06-30T14:00"),
        *("90d", "91d", "90", "P1M", "-1h", "123e4567-e89b-12d3-a456-426614174000"),
        *("UNITED", "united", "UA", "ua", "AA", "b", "B", "one", "ONE", "first", "two", "x"),
        *("small", "SMALL", "large", "3"),
    ]
)
TEXTS = TYPED | st.text()
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
)


def again(*parameters: Parameter) -> tuple[Parameter, ...]:
    """The parameters that whoever reads the printed document has."""
    task = Task(name=TaskName("purge"), help="Delete.", parameters=parameters, function=print)
    (read,) = tasks_of(json.loads(json.dumps([to_document(task)])))
    return read.parameters


def outcome(read: Callable[[Parameter], dict[str, Any]], parameter: Parameter) -> Any:
    """What comes out: the value's JSON form, or what is said against it (without the name of an Enum)."""
    try:
        return freeze([parameter], read(parameter))
    except InvalidParameters as error:
        return re.sub(r"is not a member of \w+", "is not one of these", error.message)


@pytest.mark.parametrize("hint", HINTS.values(), ids=HINTS)
@given(TEXTS | st.lists(TEXTS, max_size=3) | st.booleans() | st.none())
def test_text_is_read_as_the_app_would(hint: Any, text: Any) -> None:
    """The same texts are accepted, as the same values; the others are refused in the same words."""
    original = one(hint)
    (known,) = again(original)
    assert outcome(lambda p: parse([p], {"x": text}), known) == outcome(
        lambda p: parse([p], {"x": text}), original
    )


@pytest.mark.parametrize("hint", HINTS.values(), ids=HINTS)
@given(JSONS)
def test_json_is_read_as_the_app_would(hint: Any, value: Any) -> None:
    """The same for the JSON form."""
    original = one(hint)
    (known,) = again(original)
    assert outcome(lambda p: thaw([p], {"x": value}, {}), known) == outcome(
        lambda p: thaw([p], {"x": value}, {}), original
    )


@given(VALUES)
def test_what_was_recorded_is_read_again(values: dict[str, Any]) -> None:
    """The JSON form of a value of every kind comes through unchanged."""
    frozen = freeze(EVERY_KIND, values)
    known = again(*EVERY_KIND)
    assert freeze(known, thaw(known, frozen, {})) == frozen


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (timedelta, timedelta(days=90)),
        (Carrier, Carrier.DELTA),
        (Literal["a", 1], 1),
        (list[Decimal], [Decimal("1.50")]),
        (int | None, None),
        (bool, True),
        (Route, Route("EWR")),
        (Window | None, None),
        (Secret | None, None),
    ],
)
def test_defaults(hint: Any, default: Any) -> None:
    """What was not given is the app's own default, in its JSON form and in help texts."""
    original = one(hint, default)
    (known,) = again(original)
    assert not known.required
    assert freeze([known], parse([known], {})) == freeze([original], parse([original], {}))
    assert known.default_text == original.default_text


@pytest.mark.parametrize("hint", [*HINTS.values(), Window, Route, list[Route]])
def test_the_command_line_is_spelled_the_same(hint: Any) -> None:
    """Options, switches, help and what stands for the value; and whether it may be left out, or repeated."""
    original = one(Annotated[hint, Param(help="what for", option="--other")])
    (known,) = again(original)
    for name in ("name", "options", "metavar", "choices", "flag", "help", "required", "multiple", "secret"):
        assert getattr(known, name) == getattr(original, name), name


@pytest.mark.parametrize("hint", [Window, Route, Pair])
@pytest.mark.parametrize("text", ["{}", "no JSON", "[1]", "null", '{"start": "2013-06-30", "days": 0}'])
def test_a_model_is_judged_where_the_app_is(hint: Any, text: str) -> None:
    """Its class is not here, so any text goes on as it is."""
    (known,) = again(one(hint))
    assert parse([known], {"x": text}) == {"x": text}
    with pytest.raises(InvalidParameters, match="NUL"):
        parse([known], {"x": f"{text}\0"})


def test_what_json_schema_cannot_say_is_judged_where_the_app_is() -> None:
    """A pattern with flags is not in the document, and so no text is refused for it."""
    (known,) = again(one(Annotated[str, Param(pattern=re.compile("^A$", re.I))]))
    assert parse([known], {"x": "b"}) == {"x": "b"}


def test_secrets_stay_secret() -> None:
    """They are asked for, masked and never recorded, as in the app; also one of a kind that is not known."""
    known = again(*SECRETS)
    assert freeze(known, parse(known, {"token": "hunter2"})) == {"token": "********", "spare": None}
    entry: Any = to_document(Task(name=TaskName("t"), parameters=SECRETS, function=print))
    entry["options"][0]["kind"] = "key of a later version"
    assert tasks_of([entry])[0].parameters[0].secret


def test_a_kind_of_a_later_version() -> None:
    """It takes any text; what it means is known where the app is."""
    entry: Any = to_document(Task(name=TaskName("t"), parameters=(one(int),), function=print))
    entry["options"][0]["kind"] = "colour"
    entry["parameters"]["properties"]["x"] = {"type": "string", "format": "colour"}
    entry["cost"] = "a field of a later version"
    (task,) = tasks_of([entry])
    assert parse(task.parameters, {"x": "#fff"}) == {"x": "#fff"}


def test_all_of_a_task() -> None:
    """Whatever is declared of a task is there again, save its code."""
    task = Task(
        name=TaskName("db-migrate"),
        help="Migrate.\n\nAll of it.",
        parameters=(one(int, 3),),
        confirm="Really?",
        lock="schema",
        timeout=timedelta(seconds=1.5),
        schedule="0 2 * * *",
        time_zone="Europe/Zurich",
        command=("npm", "run", "db:migrate"),
        runner=False,
        origin="carts (Django)",
        hides=("other",),
    )
    assert tasks_of([to_document(task)]) == [task]
    plain = Task(name=TaskName("plain"))
    assert tasks_of([to_document(plain)]) == [plain]


@pytest.mark.parametrize(
    "parameters",
    [EVERY_KIND, SECRETS, *((one(hint),) for hint in (*HINTS.values(), Pair, list[Route], Window | None))],
)
def test_the_document_can_be_handed_on(parameters: tuple[Parameter, ...]) -> None:
    """Whoever has read it writes the same again, also of a model whose class is not there."""
    document = to_document(Task(name=TaskName("t"), parameters=parameters, function=print))
    assert [to_document(task) for task in tasks_of([document])] == [document]


def entry(**changes: Any) -> dict[str, Any]:
    """The document of a task, with something in it changed."""
    document: dict[str, Any] = to_document(
        Task(name=TaskName("purge"), parameters=(one(int),), function=print)
    )
    return {**document, **changes}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"error": "x"}, "a catalogue is a list of tasks, and this is no list"),
        (None, "no list"),
        ([1], "the task number 1 is not as oneoff prints it: it is 1"),
        ([{}], "the task number 1 .*: it has no parameters"),
        ([entry(name="Two Words")], "the task Two Words .*cannot name a task"),
        ([entry(name=None)], "the task number 1 .*: name is None"),
        ([entry(), entry()], "the task purge .*: there are two of this name"),
        ([entry(help=5)], "help is 5"),
        ([entry(runner="no")], "runner is 'no'"),
        ([entry(timeout_seconds=True)], "timeout_seconds is True"),
        ([entry(timeout_seconds=1e300)], r"timeout_seconds is 1e\+300"),
        ([entry(command=["npm", 1])], "command is"),
        ([entry(hides="x")], "hides is 'x'"),
        ([entry(parameters={"properties": {"x": {}}})], "it has no required"),
        ([entry(options=[])], "options and parameters name other parameters"),
        ([entry(options=["x"])], "an option is 'x'"),
        ([entry(options=[{"parameter": "x"}])], "it has no repeated"),
    ],
)
def test_a_foreign_document_is_refused(document: Any, message: str) -> None:
    """In clear words, with the task and the way to one that fits."""
    with pytest.raises(UsageError, match=message) as caught:
        tasks_of(document)
    assert "oneoff tasks -o json" in caught.value.next_step


@pytest.mark.parametrize(
    ("option", "schema", "message"),
    [
        ({"option": "x"}, {}, "option is 'x'"),
        ({"repeated": True}, {}, "it has no items"),
        ({}, {"minimum": "x"}, "minimum is 'x', which is not a whole number"),
        ({"kind": "text"}, {"maxLength": "x"}, "maxLength is 'x'"),
        ({"kind": "enum", "members": [{"name": "a"}]}, {}, "it has no names"),
        ({"kind": "literal"}, {"enum": [1.5]}, "a Literal holds text"),
        ({}, {"description": 1}, "description is 1"),
    ],
)
def test_a_foreign_parameter_is_refused(option: Any, schema: Any, message: str) -> None:
    """The same for what is said of a parameter."""
    changed = entry()
    changed["options"][0].update(option)
    changed["parameters"]["properties"]["x"] = schema
    with pytest.raises(UsageError, match=message):
        tasks_of([changed])


def test_a_default_that_does_not_fit_is_refused() -> None:
    """The app could not have declared it."""
    changed = entry()
    changed["parameters"] = {"properties": {"x": {"default": "x"}}, "required": []}
    with pytest.raises(UsageError, match="x: 'x' is not a whole number"):
        tasks_of([changed])
