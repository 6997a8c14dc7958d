from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest

from oneoff.errors import InvalidParameters
from oneoff.tasks.limits import Param
from oneoff.tasks.parameters import Parameter, parse, validate
from oneoff.tasks.secret import SECRET_MARK, Secret
from tests.unit.tasks.samples import SECRETS, Carrier, Route, Window, one

ID = UUID("123e4567-e89b-12d3-a456-426614174000")


class Level(IntEnum):
    low = 1
    LOW = 2
    high = 3


class Crossed(Enum):
    a = "b"
    b = "a"


def said(parameter: Parameter, text: Any) -> str:
    """The one problem with this text."""
    with pytest.raises(InvalidParameters) as caught:
        parse([parameter], {"x": text})
    (problem,) = caught.value.problems
    assert problem.parameter == "x"
    return problem.message


@pytest.mark.parametrize(
    ("hint", "text", "expected"),
    [
        (str, "", ""),
        (str, " Zürich \n", " Zürich \n"),
        (int, "-42", -42),
        (int, "1_000", 1000),
        (int, "9" * 4000, int("9" * 4000)),
        (float, "1e-3", 0.001),
        (float, "7", 7.0),
        *[(bool, text, True) for text in ("true", "YES", "on", "1", True)],
        *[(bool, text, False) for text in ("False", "no", "off", "0", False)],
        (Decimal, "19.90", Decimal("19.90")),
        (date, "2013-06-30", date(2013, 6, 30)),
        (datetime, "2013-06-30T14:00:00Z", datetime(2013, 6, 30, 14, tzinfo=UTC)),
        (datetime, "2013-06-30 14:00-05:00", datetime(2013, 6, 30, 19, tzinfo=UTC)),
        (timedelta, "90d", timedelta(days=90)),
        (UUID, str(ID), ID),
        (UUID, ID.hex.upper(), ID),
        (Path, "data/größe.csv", Path("data/größe.csv")),
        (Carrier, "UNITED", Carrier.UNITED),
        (Carrier, "united", Carrier.UNITED),
        (Carrier, "UA", Carrier.UNITED),
        (Carrier, "ua", Carrier.UNITED),
        (Level, "low", Level.low),
        (Level, "LOW", Level.LOW),
        (Level, "3", Level.high),
        (Crossed, "a", Crossed.a),
        (Literal["small", 3, True], "Small", "small"),
        (Literal["small", 3, True], "3", 3),
        (Literal["small", 3, True], "true", True),
        (Window, '{"start": "2013-06-30", "days": 2}', Window(start=date(2013, 6, 30), days=2)),
        (Route, '{"origin": "EWR"}', Route("EWR")),
        (Secret, "hunter2", Secret("hunter2")),
        (list[int], ["1", "2"], [1, 2]),
        (list[str], "a,b", ["a,b"]),
        (list[bool], ["yes", "no"], [True, False]),
        (int | None, "1", 1),
        (int, ["1"], 1),
    ],
)
def test_what_people_type(hint: Any, text: Any, expected: Any) -> None:
    """Every kind reads the text that a person would type for it, and gives exactly its own type."""
    value = parse([one(hint)], {"x": text})["x"]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("hint", "text", "message"),
    [
        (int, "4.5", "'4.5' is not a whole number; allowed: a whole number such as 42"),
        (int, "", "'' is not a whole number; allowed: a whole number such as 42"),
        (int, True, "True is not a whole number; allowed: a whole number such as 42"),
        (float, "nan", "'nan' is not finite; allowed: a number such as 1.5"),
        (float, "1e999", "'1e999' is not finite; allowed: a number such as 1.5"),
        (Decimal, "1,5", "'1,5' is not a decimal number; allowed: a decimal number such as 19.90"),
        (Decimal, "sNaN", "'sNaN' is not finite; allowed: a decimal number such as 19.90"),
        (date, "30.6.2013", "'30.6.2013' is not a date; allowed: a date such as 2013-06-30"),
        (date, "2013-02-30", "'2013-02-30' is not a date; allowed: a date such as 2013-06-30"),
        (timedelta, "90", "'90' has no unit; allowed: a duration such as 90d, 1h30m, 45s or P90D"),
        (Carrier, "AA", "'AA' is not one of these; allowed: one of UNITED, DELTA, SOUTHWEST"),
        (Level, "Low", "'Low' is not one of these; allowed: one of low, LOW, high"),
        (Literal["a", 1], "b", "'b' is not one of these; allowed: one of a, 1"),
        (str, "a\0b", r"'a\x00b' holds a NUL character; allowed: any text"),
        (str, "a\udcffb", r"'a\udcffb' holds bytes that are not text in UTF-8; allowed: any text"),
        (
            Path,
            "",
            "'' is empty, which would mean the working folder; allowed: a path such as data/flights.csv",
        ),
        (Path, "a\0", r"'a\x00' holds a NUL character; allowed: a path such as data/flights.csv"),
        (list[int], ["1", "x"], "element 2: 'x' is not a whole number; allowed: a whole number such as 42"),
        (int, ["1", "2"], "is given 2 times and can be given once"),
        (
            datetime,
            "2013-06-30",
            (
                "'2013-06-30' has no time zone: add Z for UTC, or an offset such as +02:00; "
                "allowed: a date with a time such as 2013-06-30T14:00:00Z or 2013-06-30T14:00:00-05:00"
            ),
        ),
        (
            bool,
            "maybe",
            "'maybe' is not a yes or no; allowed: a yes or no such as true, yes, on, 1, false, no, off or 0",
        ),
        (UUID, "1", f"'1' is not a UUID; allowed: a UUID such as {ID}"),
    ],
)
def test_the_message_has_the_value_and_what_is_allowed(hint: Any, text: Any, message: str) -> None:
    """A wrong text is answered with the value as given and with what would have been right."""
    assert said(one(hint), text) == message


def test_moments_at_the_edge_of_time_are_refused() -> None:
    """A time that has no place in UTC's calendar is a problem, not a crash."""
    assert "is not a date with a time" in said(one(datetime), "0001-01-01T00:00:00+14:00")


def test_a_number_too_long_for_python_is_refused_in_words() -> None:
    """Python's limit on digits (sys.get_int_max_str_digits) is named, and the number shortened."""
    message = said(one(int), "1" * 5000)
    assert "is not a whole number of at most 4300 digits" in message
    assert len(message) < 250
    with pytest.raises(InvalidParameters, match="a value of type int is not a whole number of at most 4300"):
        validate([one(int)], {"x": 10**5000})


def test_a_long_value_is_shortened() -> None:
    """A megabyte of text does not flood the message; its size is told instead."""
    message = said(one(date), "x" * 1_000_000)
    assert "… (1,000,000 characters)" in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (Annotated[int, Param(ge=1, le=9)], ["1", "9"], ["0", "10"]),
        (Annotated[int, Param(gt=1, lt=9)], ["2", "8"], ["1", "9"]),
        (Annotated[float, Param(gt=0)], ["0.1"], ["0"]),
        (Annotated[Decimal, Param(le=Decimal("0.1"))], ["0.1"], ["0.10000000000000001"]),
        (Annotated[date, Param(ge=date(2013, 1, 1))], ["2013-01-01"], ["2012-12-31"]),
        (
            Annotated[datetime, Param(lt=datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=1))))],
            ["2012-12-31T22:59:59Z"],
            ["2012-12-31T23:00:00Z"],
        ),
        (Annotated[timedelta, Param(ge=timedelta(0))], ["0s"], ["-1ms"]),
        (Annotated[str, Param(min_length=2, max_length=3)], ["äö", "abc"], ["a", "abcd"]),
        (Annotated[str, Param(pattern="^[a-z]+$")], ["abc"], ["abc1"]),
        (Annotated[str, Param(pattern=re.compile("b", re.IGNORECASE))], ["aBc"], ["ac"]),
        (Annotated[list[int], Param(ge=1, max_length=2)], [["1", "2"]], [["1", "0"], ["1", "2", "3"]]),
        (list[Annotated[str, Param(max_length=2)]], [["ab", "cd", "e"]], [["abc"]]),
        (Annotated[int | None, Param(ge=1)], ["1"], ["0"]),
        (Annotated[int, Param(ge=1)] | None, ["1"], ["0"]),
        (Annotated[Secret, Param(min_length=8)], ["long enough"], ["short"]),
    ],
)
def test_limits(hint: Any, good: list[Any], bad: list[Any]) -> None:
    """A value on the limit passes, one beyond it does not."""
    for text in good:
        parse([one(hint)], {"x": text})
    for text in bad:
        said(one(hint), text)


def test_limits_are_told() -> None:
    """The message names every limit, in the words and units of the kind."""
    whole = one(Annotated[int, Param(ge=10, lt=20)])
    assert said(whole, "5") == (
        "'5' is out of range; allowed: a whole number such as 42, at least 10, less than 20"
    )
    text = one(Annotated[str, Param(min_length=2, max_length=3, pattern="^a")])
    assert said(text, "a") == (
        "'a' is too short; allowed: any text, at least 2 characters, at most 3 characters, matching ^a"
    )
    assert said(text, "bcd").startswith("'bcd' does not match the pattern; ")
    duration = one(Annotated[timedelta, Param(le=timedelta(days=90))])
    assert said(duration, "91d").endswith(", at most P90D")
    many = one(Annotated[list[str], Param(min_length=2)])
    assert said(many, ["a"]) == "['a'] is too short; allowed: any text, at least 2 elements"


def test_a_secret_stays_out_of_every_message() -> None:
    """What is wrong with a secret is said without the secret."""
    limited = one(Annotated[Secret, Param(min_length=8, pattern="^sk-")])
    for text in ("hunter2", "hunter2-and-more", "hunter2\0", ["hunter2", "hunter2"]):
        assert "hunter2" not in said(limited, text)
    with pytest.raises(InvalidParameters) as caught:
        validate(SECRETS, {"token": b"hunter2", "spare": 12345})
    assert "hunter2" not in str(caught.value)
    assert "12345" not in str(caught.value)
    assert caught.value.__context__ is None


def test_every_problem_is_reported_at_once() -> None:
    """Wrong values, missing ones and unknown names come together, one Problem each, in a stable order."""
    parameters = [one(int), *SECRETS]
    with pytest.raises(InvalidParameters) as caught:
        parse(parameters, {"x": "a", "tokne": "1", "colour": "red"})
    messages = {problem.parameter: problem.message for problem in caught.value.problems}
    assert messages == {
        "tokne": "there is no such parameter; did you mean token?",
        "colour": "there is no such parameter; there are: spare, token, x",
        "x": "'a' is not a whole number; allowed: a whole number such as 42",
        "token": "is missing; allowed: secret text",
    }


def test_every_element_of_a_list_is_checked() -> None:
    """Two wrong elements are two problems of the one parameter."""
    with pytest.raises(InvalidParameters) as caught:
        parse([one(list[int])], {"x": ["a", "1", "b"]})
    assert [problem.message.partition(":")[0] for problem in caught.value.problems] == [
        "element 1",
        "element 3",
    ]


def test_names_cannot_steer_a_terminal() -> None:
    """An unknown name is escaped and shortened like a value."""
    with pytest.raises(InvalidParameters) as caught:
        parse([], {"\x1b[2J": "1", "x" * 500: "1"})
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "the task takes none" in str(caught.value)


@pytest.mark.parametrize("absent", [{}, {"x": None}, {"x": []}, {"x": ()}])
def test_what_is_not_given_takes_its_default(absent: dict[str, Any]) -> None:
    """Absent, None and an empty list all mean that nothing was typed."""
    assert parse([one(int | None, 5)], absent) == {"x": 5}
    assert parse([one(int | None, None)], absent) == {"x": None}
    assert parse([one(list[int], [1])], absent) == {"x": [1]}
    with pytest.raises(InvalidParameters, match="x: is missing; allowed: a whole number such as 42"):
        parse([one(int)], absent)


def test_a_default_list_belongs_to_one_run() -> None:
    """A task that changes its list changes neither the declaration nor the next run's list."""
    declared = [1]
    parameter = one(list[int], declared)
    parse([parameter], {})["x"].append(2)
    validate([parameter], {})["x"].append(3)
    declared.append(4)
    assert parse([parameter], {}) == {"x": [1]}


@pytest.mark.parametrize(
    ("hint", "good", "expected"),
    [
        (float, 1, 1.0),
        (Decimal, 1, Decimal(1)),
        (int, Level.high, 3),
        (list[int], (1, 2), [1, 2]),
        (Secret, "plain", Secret("plain")),
        (datetime, datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)),
        (int | None, None, None),
    ],
)
def test_python_values_that_will_do(hint: Any, good: Any, expected: Any) -> None:
    """validate takes what loses nothing, and gives the parameter's own type."""
    value = validate([one(hint)], {"x": good})["x"]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("hint", "bad"),
    [
        (str, 1),
        (int, "1"),
        (int, True),
        (int, 1.0),
        (float, True),
        (float, 10**400),
        (Decimal, 0.1),
        (bool, 1),
        (date, datetime(2013, 1, 1, tzinfo=UTC)),
        (datetime, datetime(2013, 1, 1)),  # naive
        (datetime, date(2013, 1, 1)),
        (timedelta, 5),
        (UUID, str(ID)),
        (Path, "a"),
        (Carrier, "UNITED"),
        (Literal[1], True),
        (Window, {"start": "2013-01-01"}),
        (list[int], 1),
        (list[int], "12"),
        (int, None),
    ],
)
def test_python_values_of_another_type_are_refused(hint: Any, bad: Any) -> None:
    """validate never guesses."""
    with pytest.raises(InvalidParameters):
        validate([one(hint)], {"x": bad})


def test_the_mark_is_never_a_value_by_accident() -> None:
    """A secret whose text happens to be the mark is a secret like any other."""
    assert parse(SECRETS, {"token": SECRET_MARK})["token"].reveal() == SECRET_MARK
