"""The ``oneoff`` command. Its help is a table, so that asking for it loads nothing but click."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from oneoff.cli.session import Session, ShowingGroup
from oneoff.version import __version__

COMMANDS = {
    "tasks": ("oneoff.cli.tasks", "List the tasks of this app."),
    "show": ("oneoff.cli.tasks", "Show one task or one run."),
    "run": ("oneoff.cli.run", "Run a task, or preview it with --dry-run."),
    "exec": ("oneoff.cli.run", "Run any command, recorded like a task."),
    "rerun": ("oneoff.cli.run", "Run again with the parameters of an earlier run."),
    "runs": ("oneoff.cli.runs", "List the runs."),
    "logs": ("oneoff.cli.runs", "Print what a run has printed."),
    "wait": ("oneoff.cli.runs", "Wait for the end of a run."),
    "cancel": ("oneoff.cli.runs", "Ask a run to end."),
    "audit": ("oneoff.cli.audit", "Read and verify the audit log."),
    "release": ("oneoff.cli.doctor", "Show which release a run would belong to."),
    "doctor": ("oneoff.cli.doctor", "Check that everything needed is in place."),
}
"""Every command with its module (where it is ``NAME_command``) and its line in the help."""


class LazyGroup(ShowingGroup):
    """Loads a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--app", metavar="MODULE:NAME", help="Where the app is; else ONEOFF_APP or [tool.oneoff].")
@click.version_option(__version__, prog_name="oneoff")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Run an app's admin processes: previewed, confirmed, recorded."""
    ctx.obj = Session(options["app"])
