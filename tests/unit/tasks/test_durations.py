from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.tasks.durations import format_duration, parse_duration
from oneoff.tasks.kind import Unfit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", timedelta(days=90)),
        ("2w", timedelta(weeks=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30m", timedelta(minutes=90)),
        (" 45s ", timedelta(seconds=45)),
        ("500ms", timedelta(milliseconds=500)),
        ("1m500ms", timedelta(minutes=1, milliseconds=500)),
        ("1.5h", timedelta(minutes=90)),
        ("-1d", timedelta(days=-1)),
        ("+1d", timedelta(days=1)),
        ("P90D", timedelta(days=90)),
        ("P2W", timedelta(weeks=2)),
        ("PT1H30M", timedelta(minutes=90)),
        ("-P1DT0.5S", timedelta(days=-1, milliseconds=-500)),
        ("PT0S", timedelta()),
        ("PT0,000001S", timedelta(microseconds=1)),
    ],
)
def test_what_people_type(text: str, expected: timedelta) -> None:
    """Short units and ISO 8601 are both understood, exactly."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("90", "has no unit"),
        ("", "is not a duration"),
        ("P", "is not a duration"),
        ("PT", "is not a duration"),
        ("P1DT", "is not a duration"),
        ("90x", "is not a duration"),
        ("30m1h", "is not a duration"),
        ("1M", "is not a duration"),
        ("--1d", "is not a duration"),
        ("٣d", "is not a duration"),
        ("P1M", "years or months"),
        ("P1Y2D", "years or months"),
        ("0.0001ms", "finer than a microsecond"),
        ("9999999999d", "longer than"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    """No unit, an unknown one, a month, and what a timedelta cannot hold are refused with the reason."""
    with pytest.raises(Unfit, match=reason):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (timedelta(), "PT0S"),
        (timedelta(days=90), "P90D"),
        (timedelta(hours=1, seconds=5), "PT1H0M5S"),
        (timedelta(days=1, minutes=2), "P1DT2M"),
        (timedelta(microseconds=-1_500_000), "-PT1.5S"),
        (timedelta(seconds=100), "PT1M40S"),
    ],
)
def test_the_recorded_form(value: timedelta, expected: str) -> None:
    """ISO 8601, with no gap between its units."""
    assert format_duration(value) == expected


@given(st.timedeltas())
def test_nothing_is_lost(value: timedelta) -> None:
    """Reading the recorded form gives the same duration, and it fits the grammar of RFC 3339 Appendix A."""
    text = format_duration(value)
    assert parse_duration(text) == value
    time = r"T(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S)"
    assert re.fullmatch(rf"P(\d+D({time})?|{time})", re.sub(r"\.\d+|^-", "", text))
