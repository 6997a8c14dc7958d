"""``oneoff tasks`` and ``oneoff show``."""

from __future__ import annotations

import click

from oneoff.cli.errand import ErrandCommand, TasksErrand
from oneoff.cli.output import emit, fields, output_option, table
from oneoff.cli.runs import run_text
from oneoff.cli.session import Session, tell
from oneoff.commands.runs import LATEST, get
from oneoff.errors import OneoffError, RunNotFound, TaskNotFound, UsageError
from oneoff.runs import document as run_document
from oneoff.runs.run import Run
from oneoff.tasks import document as task_document
from oneoff.tasks.registry import Registry
from oneoff.tasks.task import Task


@click.command("tasks", cls=TasksErrand)
@output_option
@click.pass_obj
def tasks_command(session: Session, /, output: str) -> None:
    """List the tasks of this app."""
    registry = session.registry
    emit([task_document.to_document(task) for task in registry], lambda: _listed(registry), output)
    for other in registry.left_out:
        tell(f"no task: {other.name}: {other.why}{f' ({other.error!r})' if other.error else ''}")


def _listed(registry: Registry) -> str:
    if not len(registry):
        return f"{registry.name} has no tasks yet"
    listed = table(["TASK", "SUMMARY"], [(task.name, task.summary) for task in registry])
    hidden = [f"{task.name} hides that of {other}" for task in registry for other in task.hides]
    return "\n".join([listed, *(["", *hidden] if hidden else [])])


@click.command("show", cls=ErrandCommand)
@click.argument("reference", metavar="TASK_OR_RUN")
@output_option
@click.pass_obj
def show_command(session: Session, /, reference: str, output: str) -> None:
    """Show one task, or one run by its id, the beginning of its id, or @latest."""
    found = _find(session, reference)
    if isinstance(found, Run):
        emit(run_document.to_document(found), lambda: run_text(found), output)
    else:
        emit(task_document.to_document(found), lambda: task_text(found), output)


def _find(session: Session, reference: str) -> Run | Task:
    """A whole id names a run; a name is a task's before it is the beginning of an id."""
    try:
        run = get(session.reading, reference)
    except UsageError as no_run:  # none, or several
        if reference == LATEST:
            raise
        return _task(session, reference, no_run)
    if reference in (LATEST, run.id):
        return run
    try:
        return session.registry.get(reference)
    except OneoffError:  # no such task; or a broken app, which nobody needs to see a run
        return run


def _task(session: Session, reference: str, no_run: UsageError) -> Task:
    try:
        return session.registry.get(reference)
    except TaskNotFound as no_task:
        if not isinstance(no_run, RunNotFound):
            raise no_run from None
        raise TaskNotFound(
            f"{no_task.message}, and no run of that id", next_step=f"{no_task.next_step}; {no_run.next_step}"
        ) from None


def task_text(task: Task) -> str:
    """A task for people."""
    own = fields(
        [
            ("task", task.name),
            ("command", " ".join(task.command or ())),
            ("comes from", task.origin),
            ("hides", ", ".join(task.hides)),
            ("asks", task.confirm),
            ("lock", task.lock),
            ("time limit", task.timeout),
            ("schedule", f"{task.schedule} {task.time_zone}" if task.schedule else None),
        ]
    )
    options = table(
        ["OPTION", "VALUE", "DEFAULT", "HELP"],
        [
            (
                parameter.option,
                parameter.metavar,
                "required" if parameter.required else parameter.default_text,
                parameter.help,
            )
            for parameter in task.parameters
        ],
    )
    return "\n\n".join(part for part in (own, task.help, options if task.parameters else "") if part)
