"""``schedules``: which tasks run by themselves, and when they will."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from oneoff.errors import InvalidSettings, UsageError
from oneoff.schedules.schedule import CronError, Schedule, schedule
from oneoff.tasks.task import Task


@dataclass(frozen=True)
class Upcoming:
    """A task with its schedule."""

    task: Task
    schedule: str
    times: tuple[datetime, ...]
    """When it runs next, in UTC."""
    surprises: tuple[str, ...]
    """What people do not expect of it, within a year."""


def upcoming(tasks: Iterable[Task], after: datetime, count: int) -> list[Upcoming]:
    """The tasks that have a schedule, and the next times of each.

    Raises:
        UsageError: this machine does not know the zone of one.
    """
    return [_upcoming(task, task.schedule, after, count) for task in tasks if task.schedule is not None]


def schedule_of(task: Task, expression: str) -> Schedule:
    """The schedule of a task that was declared elsewhere. Raises InvalidSettings where it is none."""
    try:
        return schedule(expression, task.time_zone)
    except CronError as error:
        raise InvalidSettings(f"{task.name}: schedule {expression!r}: {error}") from error


def _upcoming(task: Task, expression: str, after: datetime, count: int) -> Upcoming:
    try:
        found = schedule(expression, task.time_zone)
        times = tuple(islice(found.times(after), count))
        return Upcoming(task, expression, times, tuple(found.surprises(after)))
    except CronError as error:
        raise UsageError(
            f"{task.name}: {error}", next_step="install the zones: the package tzdata has them"
        ) from error
