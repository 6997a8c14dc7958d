"""``schedules``: which tasks run by themselves, and when they will."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from oneoff.errors import UsageError
from oneoff.schedules.schedule import CronError, schedule
from oneoff.tasks.task import Task


@dataclass(frozen=True)
class Upcoming:
    """A task with its schedule."""

    task: Task
    schedule: str
    times: tuple[datetime, ...]
    """When it runs next, in UTC."""


def upcoming(tasks: Iterable[Task], after: datetime, count: int) -> list[Upcoming]:
    """The tasks that have a schedule, and the next times of each.

    Raises:
        UsageError: this machine does not know the zone of one.
    """
    return [
        Upcoming(task, task.schedule, _times(task, task.schedule, after, count))
        for task in tasks
        if task.schedule is not None
    ]


def _times(task: Task, expression: str, after: datetime, count: int) -> tuple[datetime, ...]:
    try:
        return tuple(islice(schedule(expression, task.time_zone).times(after), count))
    except CronError as error:
        raise UsageError(
            f"{task.name}: {error}", next_step="install the zones: the package tzdata has them"
        ) from error
