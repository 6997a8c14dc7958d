"""``oneoff schedules``."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click

from oneoff.cli.errand import TasksErrand
from oneoff.cli.output import emit, output_option, table
from oneoff.cli.session import Session, tell
from oneoff.commands.schedules import Upcoming, upcoming
from oneoff.types import JSONObject, rfc3339


@click.command("schedules", cls=TasksErrand)
@click.option(
    "--count", type=click.IntRange(1, 1000), default=3, help="How many of the next times; 3 if not said."
)
@output_option
@click.pass_obj
def schedules_command(session: Session, /, count: int, output: str) -> None:
    """List the tasks that have a schedule, with the next times of each as a CronJob would come to them."""
    found = upcoming(session.registry, datetime.now(UTC), count)
    emit([_document(one) for one in found], lambda: _listed(found), output)
    for one in found:
        for surprise in one.surprises:
            tell(f"note: {one.task.name}: {surprise}")


def _document(one: Upcoming) -> JSONObject:
    return {
        "task": one.task.name,
        "schedule": one.schedule,
        "time_zone": one.task.time_zone,
        "next": [rfc3339(moment) for moment in one.times],
        "surprises": list(one.surprises),
    }


def _listed(found: list[Upcoming]) -> str:
    if not found:
        return "no task has a schedule"
    rows = [
        (
            *((one.task.name, one.schedule, one.task.time_zone) if place == 0 else ("", "", "")),
            _local(one, moment),
        )
        for one in found
        for place, moment in enumerate(one.times)
    ]
    return table(["TASK", "SCHEDULE", "TIME ZONE", "NEXT"], rows)


def _local(one: Upcoming, moment: datetime) -> str:
    """In the schedule's own zone, whose clock decides."""
    return moment.astimezone(ZoneInfo(one.task.time_zone)).strftime("%a %Y-%m-%d %H:%M:%S%z")
