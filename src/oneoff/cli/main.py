"""The ``oneoff`` command."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

import click

from oneoff.cli.lazy import LazyGroup
from oneoff.cli.session import Session
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
    "schedules": ("oneoff.cli.schedules", "List the tasks that run by themselves, and when."),
    "kube": ("oneoff.cli.kube", "Look at environments in Kubernetes, and make their Jobs and CronJobs."),
    "audit": ("oneoff.cli.audit", "Read and verify the audit log."),
    "store": ("oneoff.cli.store", "Make or upgrade the place for the records."),
    "release": ("oneoff.cli.doctor", "Show which release a run would belong to."),
    "doctor": ("oneoff.cli.doctor", "Check that everything needed is in place."),
    "settle": ("oneoff.cli.settle", ""),
}
"""Every command with its module and its line in the help; without one it is for oneoff itself, in errands."""


def _run_framed(ctx: click.Context, _: click.Parameter, seen: str | None) -> None:
    """For whoever reads the log of a pod."""
    if seen is not None:
        from oneoff.cli.framed import run_framed

        ctx.exit(run_framed(seen))


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--app", metavar="MODULE:NAME", help="Where the app is; else ONEOFF_APP or [tool.oneoff].")
@click.option(
    "--framed",
    metavar="SEEN",
    hidden=True,
    is_eager=True,
    expose_value=False,
    callback=_run_framed,
)
@click.version_option(__version__, prog_name="oneoff")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Run an app's admin processes: previewed, confirmed, recorded."""
    _end_when_asked()
    ctx.obj = session = Session(options["app"], dedicated=True)
    ctx.call_on_close(session.close)


def _end_when_asked() -> None:
    """End by SIGTERM also as the first process of a container, before a task is at work and after it.

    The kernel has no default action for that process (pid_namespaces(7)): it would be killed after its grace.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    from oneoff.runs.status import EXIT_CODES, Status

    os._exit(EXIT_CODES[Status.INTERRUPTED])  # an app that is being imported might catch an exception
