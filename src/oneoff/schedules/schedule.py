"""A task's schedule: an expression in a zone, checked where it is declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

from oneoff.schedules.cron import HORIZON_YEARS, Calendar, Cron, CronError, parse

__all__ = ["CronError", "Schedule", "schedule"]

UTC_NAME = "UTC"
"""The zone of a schedule that names none."""

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""From where a period is measured, so that it does not depend on the day of the measurement."""
_SAMPLE = 50
_YEAR = 366


@dataclass(frozen=True)
class Schedule:
    """When a task runs."""

    expression: str
    time_zone: str
    cron: Cron

    def times(self, after: datetime) -> Iterator[datetime]:
        """When it runs, later than ``after``, in UTC.

        Raises:
            CronError: this machine does not know the zone.
        """
        return self.cron.fires(after, _zone(self.time_zone))

    def period(self) -> timedelta:
        """The shortest time between two of its runs, of the first 50 of a year."""
        times = islice(self.cron.fires(_EPOCH, UTC), _SAMPLE)
        return min((later - earlier for earlier, later in pairwise(times)), default=timedelta(days=365))

    def surprises(self, after: datetime) -> list[str]:
        """What people do not expect of it, in words: days that are either-or, hours of summer time.

        Raises:
            CronError: this machine does not know the zone.
        """
        if not isinstance(self.cron, Calendar):
            return []
        either = "one is enough of the day of the month and the weekday" if self.cron.either_day else None
        changes = self.cron.unlike_others(after, _zone(self.time_zone), _YEAR)
        return [*([either] if either else []), *(f"on {day} a time {what}" for day, what in changes)]


def schedule(expression: str, time_zone: str = UTC_NAME) -> Schedule:
    """Read a schedule.

    A zone is looked up only where there is a database of them: an image may have none, and an app has to be
    importable there.

    Raises:
        CronError: a CronJob would refuse it, or it would never run.
    """
    cron = parse(expression)
    if next(cron.fires(_EPOCH, UTC), None) is None:
        raise CronError(f"it never comes, not within {HORIZON_YEARS} years")
    try:
        _zone(time_zone)
    except CronError:
        if available_timezones() or time_zone == "Local":
            raise
    return Schedule(expression, time_zone, cron)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # not there; not a name; the name of a folder
        raise CronError(f"this machine knows no time zone {name!r}, such as 'Europe/Berlin'") from None
