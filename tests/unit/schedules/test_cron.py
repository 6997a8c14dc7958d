"""Cron as Kubernetes reads it: cases of robfig/cron's own tests, and its documented rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.schedules.cron import CronError, parse
from oneoff.schedules.schedule import schedule


def fires_at(expression: str, moment: str) -> bool:
    """Whether this minute is one of it."""
    when = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return next(parse(expression).fires(when - timedelta(seconds=1), UTC), None) == when


@pytest.mark.parametrize(
    ("expression", "moment", "expected"),
    [
        ("0/15 * * * *", "2012-07-09 15:00", True),
        ("0/15 * * * *", "2012-07-09 15:40", False),
        ("5/15 * * * *", "2012-07-09 15:50", True),
        ("0/15 * * Jul *", "2012-07-15 15:00", True),
        ("0/15 * * JUN *", "2012-07-15 15:00", False),
        ("30 08 ? Jul Sun", "2012-07-15 08:30", True),
        ("30 08 15 Jul ?", "2012-07-15 08:30", True),
        ("30 08 ? Jul Sun", "2012-07-16 08:30", False),
        ("@hourly", "2012-07-09 15:00", True),
        ("@hourly", "2012-07-09 15:04", False),
        ("@daily", "2012-07-09 00:00", True),
        ("@weekly", "2012-07-08 00:00", True),
        ("@weekly", "2012-07-08 01:00", False),
        ("@monthly", "2012-07-01 00:00", True),
        ("* * 1,15 * Sun", "2012-06-15 00:00", True),
        ("* * 1,15 * Sun", "2012-07-15 00:00", True),
        ("* * * * Mon", "2012-07-15 00:00", False),
        ("* * 1,15 * *", "2012-07-09 00:00", False),
        ("* * */2 * Sun", "2012-07-15 00:00", True),
        ("* * */10 * Sun", "2012-07-15 00:00", True),  # a Sunday: the step has taken the star's meaning away
    ],
)
def test_what_fires(expression: str, moment: str, expected: bool) -> None:
    """The fields mean what they mean to a CronJob."""
    assert fires_at(expression, moment) is expected


def test_a_day_and_a_weekday_are_either_or() -> None:
    """``0 0 1 * 1`` runs on every first, and on every Monday."""
    times = islice(parse("0 0 1 * 1").fires(datetime(2026, 6, 28, tzinfo=UTC), UTC), 4)
    assert [moment.day for moment in times] == [29, 1, 6, 13]


def test_a_step_takes_the_star_away() -> None:
    """``*/2`` beside a weekday is either-or as well; ``*/1`` still is a star."""
    after = datetime(2026, 6, 1, tzinfo=UTC)
    stepped = islice(parse("0 0 */2 * 1").fires(after, UTC), 5)
    assert [moment.day for moment in stepped] == [3, 5, 7, 8, 9]
    assert [moment.day for moment in islice(parse("0 0 */1 * 1").fires(after, UTC), 2)] == [8, 15]


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0/15 * * * *", "2012-07-09T14:59:59", "2012-07-09T15:00"),
        ("20-35/15 * * * *", "2012-07-09T15:45", "2012-07-09T16:20"),
        ("*/15 * * * *", "2012-07-09T23:46", "2012-07-10T00:00"),
        ("0 0 9 Apr-Oct ?", "2012-07-09T23:35", "2012-08-09T00:00"),
        ("0 0 */5 Apr,Aug,Oct Mon", "2012-07-09T23:35", "2012-08-01T00:00"),
        ("0 0 * Feb Mon", "2012-07-09T23:35", "2013-02-04T00:00"),
        ("0 0 * Feb Mon/2", "2012-07-09T23:35", "2013-02-01T00:00"),
        ("0 0 29 Feb ?", "2012-07-09T23:35", "2016-02-29T00:00"),
        ("* * * * *", "2012-12-31T23:59:45", "2013-01-01T00:00"),
        ("@every 5m", "2012-07-09T14:45:30", "2012-07-09T14:50:30"),
        ("@every 1h30m", "2012-07-09T23:00", "2012-07-10T00:30"),
        ("@every 1.5h", "2012-07-09T23:00", "2012-07-10T00:30"),
        ("@every 10ms", "2012-07-09T23:00", "2012-07-09T23:00:01"),
    ],
)
def test_what_comes_next(expression: str, after: str, expected: str) -> None:
    """The next time is the one that the controller computes."""
    moment = next(parse(expression).fires(datetime.fromisoformat(after).replace(tzinfo=UTC), UTC))
    assert moment == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # The hour that summer time skips does not come on that day: here not for a year.
        ("30 2 11 Mar ?", "America/New_York", "2012-03-11T00:00-05:00", "2013-03-11T02:30-04:00"),
        ("30 2 04 Nov ?", "America/New_York", "2012-11-04T00:00-04:00", "2012-11-04T02:30-05:00"),
        # The hour that comes twice fires twice.
        ("30 1 04 Nov ?", "America/New_York", "2012-11-04T00:00-04:00", "2012-11-04T01:30-04:00"),
        ("30 1 04 Nov ?", "America/New_York", "2012-11-04T01:45-04:00", "2012-11-04T01:30-05:00"),
        # A midnight that does not exist.
        ("0 9 10 * ?", "America/Sao_Paulo", "2018-10-17T05:00-03:00", "2018-11-10T09:00-02:00"),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00-03:00", "2018-11-05T00:00-02:00"),
    ],
)
def test_summer_time(expression: str, zone: str, after: str, expected: str) -> None:
    """The clock on the wall decides."""
    moment = next(parse(expression).fires(datetime.fromisoformat(after), ZoneInfo(zone)))
    assert moment == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 * * 7", "weekday '7': it goes from 0 to 6; Sunday is 0"),
        ("0 0 L * *", "'L' is not a number"),
        ("0 0 * * MON#1", "'MON#1' is not a number or sun, mon"),
        ("60 * * * *", "minute '60': it goes from 0 to 59"),
        ("0 0 0 * *", "day of the month '0': it goes from 1 to 31"),
        ("5-1 * * * *", "begins after its end"),
        ("*/0 * * * *", "a step of 0"),
        ("1-2-3 * * * *", "one range"),
        ("1/2/3 * * * *", "one range"),
        ("-1 * * * *", "'' is not a number"),
        ("٣ * * * *", "is not a number"),
        ("* * * *", "it has 4 fields instead of five"),
        ("0 0 2 * * *", "it has 6 fields"),
        ("", "it has 0 fields"),
        ("@reboot", "there is no @reboot"),
        ("@every 5", "a duration is wanted"),
        ("@every 999999999h", "at most 292 years"),
        ("CRON_TZ=Europe/Berlin 0 2 * * *", "name the zone with time_zone"),
    ],
)
def test_what_a_cronjob_refuses(expression: str, words: str) -> None:
    """It is refused here, too, in words that say what is allowed."""
    with pytest.raises(CronError, match=r".*") as caught:
        parse(expression)
    assert words in str(caught.value)


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "0 0 30 Feb ?", "0 0 31 Apr ?", ", * * * *"])
def test_what_never_comes(expression: str) -> None:
    """The parser takes it, as a CronJob would; a task that never runs is a mistake."""
    assert next(parse(expression).fires(datetime(2026, 1, 1, tzinfo=UTC), UTC), None) is None
    with pytest.raises(CronError, match="never comes"):
        schedule(expression)


def test_a_zone_that_nobody_knows() -> None:
    """It is told where it is declared."""
    for name in ("Europe/Berln", "Europe", "../passwd", "", "Local"):
        with pytest.raises(CronError, match="time zone"):
            schedule("@daily", name)
    assert schedule("@daily", "Europe/Berlin").time_zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("expression", "zone", "expected"),
    [
        (
            "30 2 * * *",
            "Europe/Berlin",
            ["on 2026-03-29 a time is left out", "on 2026-10-25 a time comes twice"],
        ),
        ("30 2 * * 1", "Europe/Berlin", []),
        ("0 12 * * *", "Europe/Berlin", []),
        ("30 2 * * *", "UTC", []),
        ("*/5 * * * *", "Europe/Berlin", []),
        ("@every 5m", "Europe/Berlin", []),
        ("0 0 1 * 1", "UTC", ["one is enough of the day of the month and the weekday"]),
        ("0 0 * * 1", "UTC", []),
    ],
)
def test_what_people_do_not_expect(expression: str, zone: str, expected: list[str]) -> None:
    """Hours that a zone skips or repeats within a year, and days that are either-or."""
    assert schedule(expression, zone).surprises(datetime(2026, 1, 1, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [("* * * * *", 60), ("0 2 * * *", 86_400), ("0,10 * * * *", 600), ("@every 90s", 90)],
)
def test_the_period(expression: str, seconds: int) -> None:
    """It is the shortest time between two runs."""
    assert schedule(expression).period() == timedelta(seconds=seconds)


@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    days=st.integers(0, 4000),
    zone=st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_a_time_is_what_the_wall_shows(minute: int, hour: int, days: int, zone: str) -> None:
    """Whatever the day and the zone: the next time is later, shows the minute, and none is between."""
    wall, after = ZoneInfo(zone), datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=days)
    moment = next(parse(f"{minute} {hour} * * *").fires(after, wall))
    assert after < moment <= after + timedelta(hours=49)
    local = moment.astimezone(wall)
    assert (local.hour, local.minute) == (hour, minute)
    between = after
    while (between := between + timedelta(minutes=30)) < moment - timedelta(minutes=60):
        shown = between.astimezone(wall)
        assert not (shown.hour == hour and shown.minute == minute)
