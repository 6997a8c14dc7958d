"""``oneoff run``, ``exec`` and ``rerun``: here, or as a Job where the environment is in Kubernetes.

What either needs is loaded with it: a laptop that launches a Job executes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import click

from oneoff.cli.options import loosely, run_options
from oneoff.cli.session import Session, ShowingGroup, session_of, showing_errors
from oneoff.errors import TaskNotFound, UsageError
from oneoff.runs.intent import KUBERNETES
from oneoff.tasks.task import raw_task

_READ_ONLY = frozenset({"--dry-run", "--expect"})
"""Options with which databases that are not declared can be read only."""


class TaskGroup(ShowingGroup):
    """A command for each task of the app, made when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [task.name for task in session_of(ctx).registry]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from oneoff.cli.here import task_command

        return task_command(session_of(ctx).registry.get(cmd_name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        given = loosely(args[0], args[1:])
        if _elsewhere(session_of(ctx), given):
            from oneoff.cli.launch import command_of, starting

            ctx.with_resource(starting())
            return args[0], command_of(session_of(ctx), given, args[0]), args[1:]
        if given["environment"]:
            with showing_errors():  # before the app is looked for, which a laptop need not have
                session_of(ctx).settings.environment_named(given["environment"])
        from oneoff.cli import here
        from oneoff.wiring.services import arm_dry_run

        if any(arg.partition("=")[0] in _READ_ONLY for arg in args):
            # Before the app is imported: a connection that it opens then is read-only too.
            ctx.with_resource(arm_dry_run())
        with showing_errors(), here.recorded(session_of(ctx), lambda: here.read_loosely(ctx, args)):
            try:
                return super().resolve_command(ctx, args)
            except TaskNotFound as error:
                raise _pointing_elsewhere(error, session_of(ctx), given) from error.__cause__

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options of the run may stand before the task as well as behind it."""
        with showing_errors():
            args = _task_first(args)
        return super().parse_args(ctx, args)


def _elsewhere(session: Session, given: Mapping[str, Any]) -> bool:
    """Whether the environment to run in is in Kubernetes, and this is no pod of it."""
    if session.embedded or given["here"]:
        return False
    return (given["environment"] or session.settings.environment) in session.settings.in_kubernetes


def _pointing_elsewhere(error: TaskNotFound, session: Session, given: Mapping[str, Any]) -> TaskNotFound:
    """A checkout without the app has the tasks of its environments in Kubernetes all the same."""
    which = session.settings.elsewhere
    if session.embedded or given["environment"] or not which:
        return error
    return TaskNotFound(error.message, next_step=f"`oneoff tasks` lists those here; elsewhere with {which}")


def _task_first(args: list[str]) -> list[str]:
    flags, valued = set[str](), set[str]()
    for option in run_options():
        (flags if option.is_flag else valued).update(option.opts, option.secondary_opts)
    position = 0
    while position < len(args):
        word, has_value, _ = args[position].partition("=")
        if word in valued and not has_value:
            position += 2
        elif word in flags | valued or word[:2] in valued:  # --reason=…, -ojson
            position += 1
        else:
            break
    if args and position >= len(args):
        raise UsageError("which task is to run?", next_step="name it: oneoff run TASK " + shlex.join(args))
    return args[position : position + 1] + args[:position] + args[position + 1 :]


@click.group(name="run", cls=TaskGroup, subcommand_metavar="TASK [OPTIONS]...")
def run_command() -> None:
    """Run a task, or preview it with --dry-run.

    It runs in this process; with --env NAME of an environment in Kubernetes, in a Job of the live release.
    `oneoff run TASK --help` shows the options, with the task's own.
    """


@click.command(name="exec", params=[*run_options()], context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def exec_command(ctx: click.Context, /, command: tuple[str, ...], **given: Any) -> None:
    """Run any command, recorded like a task: oneoff exec -- COMMAND ARGUMENTS…"""
    if command and _elsewhere(session_of(ctx), given):
        from oneoff.cli.launch import run_raw

        run_raw(ctx, raw_task(command), given)
    from oneoff.cli import here

    here.run_raw(ctx, command, given)


@click.command(
    name="rerun",
    params=[*run_options()],
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("run", metavar="RUN")
@click.pass_context
def rerun_command(ctx: click.Context, /, **given: Any) -> None:
    """Run again with the parameters of an earlier run, in its environment; says what has changed since.

    Secrets are kept nowhere: they are asked for again, or given as --NAME @FILE.
    """
    session = session_of(ctx)
    if _elsewhere(session, given):
        from oneoff.cli.launch import run_again

        run_again(ctx, given)
    from oneoff.cli import here
    from oneoff.commands.runs import get

    earlier = get(session.services, given["run"])
    if earlier.launcher == KUBERNETES and not given["here"]:
        from oneoff.cli.launch import run_bare_again

        run_bare_again(ctx, given, earlier)
    here.run_again(ctx, given, earlier)
