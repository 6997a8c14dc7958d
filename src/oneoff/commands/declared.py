"""The tasks that the settings file declares: commands in any language."""

from __future__ import annotations

from oneoff.errors import InvalidSettings
from oneoff.settings import CommandSettings
from oneoff.tasks.registry import task_name
from oneoff.tasks.task import Task


def command_task(name: str, settings: CommandSettings) -> Task:
    """A command of the settings file as a task. Raises InvalidSettings where its schedule is none."""
    if settings.schedule is not None:
        _check_schedule(name, settings.schedule, settings.time_zone)
    return Task(
        name=task_name(name),
        help=settings.help or f"Run `{' '.join(settings.command)}`.",
        confirm=settings.confirm,
        lock=settings.lock,
        timeout=settings.timeout,
        schedule=settings.schedule,
        time_zone=settings.time_zone,
        nature=settings.nature,
        command=settings.command,
        dry_run_command=settings.dry_run_command,
        runner=settings.runner,
        environ=dict(settings.environ),
    )


def _check_schedule(name: str, expression: str, time_zone: str) -> None:
    from oneoff.schedules import schedule  # only some have one

    try:
        schedule.schedule(expression, time_zone)
    except schedule.CronError as error:
        raise InvalidSettings(f"[tool.oneoff.tasks.{name}] schedule = {expression!r}: {error}") from error
