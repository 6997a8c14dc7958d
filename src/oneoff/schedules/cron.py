"""Cron as Kubernetes reads it: the rules of ``ParseStandard`` of robfig/cron v3, which its CronJobs use.

They are not those of other crons: a weekday is 0 to 6 and never 7; ``?`` is ``*``; where a day of the month
and a weekday are both given, one of them is enough, also for ``*/2``, whose star counts only without a step.
There is no ``L`` and no ``#``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import TypeAlias

HORIZON_YEARS = 5
"""What does not come within so many years never does: the controller looks no further."""


class CronError(ValueError):
    """The expression is none; its words say why, and what is allowed."""


@dataclass(frozen=True)
class _Bounds:
    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)


def _numbered(first: int, names: str) -> Mapping[str, int]:
    return {name: first + place for place, name in enumerate(names.split())}


_FIELDS = (
    _Bounds("minute", 0, 59),
    _Bounds("hour", 0, 23),
    _Bounds("day of the month", 1, 31),
    _Bounds("month", 1, 12, _numbered(1, "jan feb mar apr may jun jul aug sep oct nov dec")),
    _Bounds("weekday", 0, 6, _numbered(0, "sun mon tue wed thu fri sat")),
)

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


@dataclass(frozen=True)
class _Field:
    values: frozenset[int]
    star: bool
    """Whether it said ``*`` or ``?`` without a step: it leaves the choice of the day to the other field."""


@dataclass(frozen=True)
class Calendar:
    """Fires at every minute whose five fields match."""

    minute: _Field
    hour: _Field
    day: _Field
    month: _Field
    weekday: _Field

    def fires(self, after: datetime, zone: tzinfo) -> Iterator[datetime]:
        """Every time later than ``after``, in UTC and in order, as long as the next is within five years.

        The fields are compared with the clock on the wall: a time that a zone's summer time skips does not
        come on that day, and one that it repeats comes twice.
        """
        day = after.astimezone(zone).date()
        last = day.year + HORIZON_YEARS
        while day.year <= last:
            if self._on(day):
                for moment in self._times(day, zone):
                    if moment > after:
                        last = day.year + HORIZON_YEARS
                        yield moment
            if day == date.max:
                return
            day += timedelta(days=1)

    @property
    def either_day(self) -> bool:
        """Whether a day of the month and a weekday are both chosen, of which one is enough."""
        return not (self.day.star or self.weekday.star)

    def unlike_others(self, after: datetime, zone: tzinfo, days: int) -> Iterator[tuple[date, str]]:
        """The days on which the zone's clock is changed, and a time is left out by that or comes twice.

        What runs in every hour is not meant: it loses nothing.
        """
        first = after.astimezone(zone).date()
        for day in (first + timedelta(days=n) for n in range(days)):
            midnights = (
                datetime(d.year, d.month, d.day, tzinfo=zone) for d in (day, day + timedelta(days=1))
            )
            if len({moment.utcoffset() for moment in midnights}) == 1 or len(self.hour.values) == 24:
                continue
            usual, found = len(self.hour.values) * len(self.minute.values), len(self._times(day, zone))
            if self._on(day) and found != usual:
                yield day, "is left out" if found < usual else "comes twice"

    def _on(self, day: date) -> bool:
        if day.month not in self.month.values:
            return False
        by_day = day.day in self.day.values
        by_weekday = day.isoweekday() % 7 in self.weekday.values
        return (by_day and by_weekday) if self.day.star or self.weekday.star else (by_day or by_weekday)

    def _times(self, day: date, zone: tzinfo) -> list[datetime]:
        walls = (
            datetime(day.year, day.month, day.day, hour, minute)
            for hour in sorted(self.hour.values)
            for minute in sorted(self.minute.values)
        )
        return sorted({moment for wall in walls for moment in _moments(wall, zone)})


def _moments(wall: datetime, zone: tzinfo) -> Iterator[datetime]:
    """When a clock on the wall shows this: once, twice, or never."""
    for fold in (0, 1):
        moment = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
            yield moment


@dataclass(frozen=True)
class Every:
    """Fires again so long after the last time, whatever the clock says."""

    delay: timedelta

    def fires(self, after: datetime, zone: tzinfo) -> Iterator[datetime]:
        """Every time later than ``after``, in UTC; ``zone`` makes no difference."""
        moment = after.astimezone(UTC).replace(microsecond=0)
        while True:
            moment += self.delay
            yield moment


Cron: TypeAlias = Calendar | Every


def parse(expression: str) -> Cron:
    """Read an expression.

    Raises:
        CronError: a CronJob would refuse it.
    """
    if "TZ" in expression:
        raise CronError("a schedule holds no TZ= or CRON_TZ=: name the zone with time_zone")
    if expression.startswith("@every "):
        return Every(_delay(expression.removeprefix("@every ")))
    if expression.startswith("@") and expression not in _DESCRIPTORS:
        raise CronError(f"there is no {expression}: {', '.join(_DESCRIPTORS)} or @every 90m")
    texts = _DESCRIPTORS.get(expression, expression).split()
    if len(texts) != len(_FIELDS):
        wanted = ", ".join(bounds.name for bounds in _FIELDS)
        raise CronError(f"it has {len(texts)} fields instead of five: {wanted}")
    return Calendar(*(_field(text, bounds) for text, bounds in zip(texts, _FIELDS, strict=True)))


def _delay(text: str) -> timedelta:
    """A Go duration, such as ``1h30m``, in whole seconds and at least one."""
    parts = _PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise CronError(f"@every {text}: a duration is wanted, such as 90m or 1h30m")
    seconds = sum(Fraction(number) * _UNITS[unit] for number, unit in parts)
    if seconds >= 2**63 // 10**9:
        raise CronError(f"@every {text}: a duration has at most 292 years")
    return timedelta(seconds=max(1, int(seconds)))


def _field(text: str, bounds: _Bounds) -> _Field:
    ranges = [_range(part, bounds) for part in text.split(",") if part]
    values = frozenset(value for values, _ in ranges for value in values)
    return _Field(values, any(star for _, star in ranges))


def _range(text: str, bounds: _Bounds) -> tuple[range, bool]:
    """``*``, ``5``, ``1-5``, each of them with ``/step``; a single number with a step goes to the end."""
    span, *steps = text.split("/")
    low, *highs = span.split("-")
    if len(steps) > 1 or len(highs) > 1:
        raise CronError(f"{bounds.name} {text!r}: one range with one step is wanted, such as 10-40/5")
    star = low in ("*", "?")
    if star:
        first, last = bounds.low, bounds.high
    else:
        first = last = _number(low, text, bounds)
        if highs:
            last = _number(highs[0], text, bounds)
        elif steps:
            last = bounds.high
    step = _whole(steps[0], text, bounds) if steps else 1
    _check(first, last, step, text, bounds)
    return range(first, last + 1, step), star and step == 1


def _number(word: str, text: str, bounds: _Bounds) -> int:
    found = bounds.names.get(word.lower())
    return _whole(word, text, bounds) if found is None else found


def _whole(word: str, text: str, bounds: _Bounds) -> int:
    if not re.fullmatch(r"\+?[0-9]{1,9}", word, re.ASCII):
        names = f" or {', '.join(bounds.names)}" if bounds.names else ""
        raise CronError(f"{bounds.name} {text!r}: {word!r} is not a number{names}")
    return int(word)


def _check(first: int, last: int, step: int, text: str, bounds: _Bounds) -> None:
    where = f"{bounds.name} {text!r}"
    if first < bounds.low or last > bounds.high:
        sunday = "; Sunday is 0" if bounds.name == "weekday" and last == 7 else ""
        raise CronError(f"{where}: it goes from {bounds.low} to {bounds.high}{sunday}")
    if first > last:
        raise CronError(f"{where}: it begins after its end")
    if step == 0:
        raise CronError(f"{where}: a step of 0 comes to nothing")
