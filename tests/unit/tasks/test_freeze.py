from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.errors import InvalidParameters
from oneoff.tasks.parameters import freeze, parse, thaw, validate
from oneoff.tasks.secret import SECRET_MARK, Secret
from tests.unit.tasks.samples import EVERY_KIND, SECRETS, Carrier, Route, Window, one

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
MOMENTS = st.builds(
    lambda naive, zone: naive.replace(tzinfo=zone),
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),  # a day's room for the offset on both sides
    OFFSETS,
)
VALUES = st.fixed_dictionaries(
    {
        "text": TEXT,
        "whole": st.integers() | st.integers(min_value=0, max_value=4000).map(lambda digits: 10**digits),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "flag": st.booleans(),
        "price": st.decimals(allow_nan=False, allow_infinity=False),
        "day": st.dates(),
        "moment": MOMENTS,
        "duration": st.timedeltas(),
        "ident": st.uuids(),
        "path": TEXT.map(Path),
        "carrier": st.sampled_from(Carrier),
        "size": st.sampled_from(["small", "large", 3, True]),
        "window": st.builds(Window, start=st.dates(), days=st.integers(1, 10**30)),
        "route": st.builds(Route, origin=TEXT, stops=st.integers(-(2**63), 2**63)),
        "several": st.lists(st.integers()),
        "perhaps": st.none() | TEXT,
    }
)


@given(VALUES)
def test_nothing_is_lost_on_the_way_to_json_and_back(values: dict[str, Any]) -> None:
    """thaw(freeze(x)) equals x for every kind, through real JSON text, type for type."""
    valid = validate(EVERY_KIND, values)
    assert valid == values
    text = json.dumps(freeze(EVERY_KIND, valid), allow_nan=False)
    back = thaw(EVERY_KIND, json.loads(text), {})
    assert back == valid
    assert {name: type(value) for name, value in back.items()} == {n: type(v) for n, v in valid.items()}
    assert str(back["price"]) == str(valid["price"])  # 1.0 and 1.00 are equal, and not the same price


@given(VALUES)
def test_the_json_form_can_be_typed(values: dict[str, Any]) -> None:
    """The JSON form of a scalar, as text, is understood on a command line too."""
    scalar = [p for p in EVERY_KIND if p.name not in ("several", "perhaps")]
    frozen = freeze(scalar, validate(EVERY_KIND, values))
    texts = {n: v if isinstance(v, str) else json.dumps(v) for n, v in frozen.items()}
    assert parse(scalar, texts) == {p.name: values[p.name] for p in scalar}


def test_the_recorded_forms() -> None:
    """Each kind has one JSON form: exact, and readable."""
    frozen = freeze(
        EVERY_KIND,
        {
            "text": "a",
            "whole": 10**30,
            "number": 1.5,
            "flag": True,
            "price": Decimal("19.90"),
            "day": datetime(2013, 6, 30).date(),
            "moment": datetime(2013, 6, 30, 14, tzinfo=UTC),
            "duration": timedelta(days=90),
            "ident": parse([one_of("ident")], {"ident": "123e4567-e89b-12d3-a456-426614174000"})["ident"],
            "path": Path("a/b"),
            "carrier": Carrier.UNITED,
            "size": 3,
            "window": Window(start=datetime(2013, 6, 30).date()),
            "route": Route("EWR"),
            "several": [1, 2],
            "perhaps": None,
        },
    )
    assert frozen == {
        "text": "a",
        "whole": 10**30,
        "number": 1.5,
        "flag": True,
        "price": "19.90",
        "day": "2013-06-30",
        "moment": "2013-06-30T14:00:00.000000Z",
        "duration": "P90D",
        "ident": "123e4567-e89b-12d3-a456-426614174000",
        "path": "a/b",
        "carrier": "UNITED",
        "size": 3,
        "window": {"start": "2013-06-30", "days": 1},
        "route": {"origin": "EWR", "stops": 0},
        "several": [1, 2],
        "perhaps": None,
    }


def one_of(name: str) -> Any:
    return next(parameter for parameter in EVERY_KIND if parameter.name == name)


def test_secrets_are_masked_and_given_again() -> None:
    """The JSON form holds the mark, and thawing takes the text from elsewhere; None stays None."""
    values = parse(SECRETS, {"token": "hunter2"})
    frozen = freeze(SECRETS, values)
    assert frozen == {"token": SECRET_MARK, "spare": None}
    assert thaw(SECRETS, frozen, {"token": "hunter2"}) == values
    assert thaw(SECRETS, frozen, {"token": Secret("hunter2")}) == values
    assert thaw(SECRETS, {}, {"token": "a", "spare": "b"}) == {"token": Secret("a"), "spare": Secret("b")}


def test_a_secret_that_is_not_given_again_is_a_problem() -> None:
    """The mark is not taken for the secret, nor is plain text in JSON, which is never shown."""
    with pytest.raises(InvalidParameters, match="token: the secret is not kept anywhere: give it again"):
        thaw(SECRETS, {"token": SECRET_MARK}, {})
    with pytest.raises(InvalidParameters, match="token: the secret may not stand in JSON") as caught:
        thaw(SECRETS, {"token": "hunter2"}, {})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InvalidParameters, match="x: is not a secret parameter") as caught:
        thaw([one(int)], {"x": 1}, {"x": "hunter2", "y": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert {problem.parameter for problem in caught.value.problems} == {"x", "y"}


def test_a_secret_given_again_is_checked_again() -> None:
    """A secret that no process could be given is refused, without showing it."""
    with pytest.raises(InvalidParameters, match="token: the secret holds a NUL character") as caught:
        thaw(SECRETS, {}, {"token": "hunter2\0"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("hint", "bad"),
    [
        (str, 1),
        (int, "1"),
        (int, 1.0),
        (int, True),
        (float, "1"),
        (bool, "true"),
        (bool, 1),
        (Decimal, 0.1),
        (Decimal, True),
        (timedelta, 90),
        (Carrier, 1),
        (Path, None),
        (list[int], 1),
        (list[int], [None]),
        (Window, []),
        (Window, {"days": 1}),
    ],
)
def test_json_of_another_type_is_refused(hint: Any, bad: Any) -> None:
    """JSON has types of its own, and thaw does not guess."""
    with pytest.raises(InvalidParameters):
        thaw([one(hint)], {"x": bad}, {})


def test_an_inexact_decimal_is_explained() -> None:
    """A fraction as a JSON number has lost its digits already: the message says to quote it."""
    with pytest.raises(InvalidParameters, match=r"0\.1 is a JSON number .* put it in quotes"):
        thaw([one(Decimal)], {"x": 0.1}, {})
    assert thaw([one(Decimal)], {"x": 5}, {}) == {"x": Decimal(5)}


def test_defaults_are_filled_in() -> None:
    """freeze names every parameter, so that a rerun does not depend on a default that changed since."""
    assert freeze([one(timedelta, timedelta(days=90))], {}) == {"x": "P90D"}
    assert thaw([one(int, 5)], {}, {}) == {"x": 5}
