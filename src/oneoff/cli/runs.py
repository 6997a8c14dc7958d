"""``oneoff runs``, ``logs``, ``wait`` and ``cancel``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from oneoff.cli.endings import LET_GO, ending_line
from oneoff.cli.errand import ErrandCommand
from oneoff.cli.output import duration, emit, fields, output_option, table
from oneoff.cli.session import Session, tell
from oneoff.cli.times import since
from oneoff.commands.runs import cancel, find, follow_log, get, wait
from oneoff.dryrun.render import render
from oneoff.protocols import RunQuery
from oneoff.runs.attempts import last_attempt
from oneoff.runs.document import document_of_job, to_document
from oneoff.runs.run import BREAK_GLASS, ERASED, Run
from oneoff.runs.status import EXIT_CODES, Status

SHOWN = 500
"""Characters of one value that are shown to people."""


@click.command("runs", cls=ErrandCommand)
@click.option(
    "--status",
    "statuses",
    type=click.Choice([status.value for status in Status]),
    multiple=True,
    help="Only these; repeat it.",
)
@click.option("--task", metavar="TASK", help="Only runs of this task.")
@click.option("--actor", metavar="NAME", help="Only runs that this person asked for.")
@click.option(
    "--since", metavar="WHEN", help="Only runs asked for since: 2h, 7d, 2026-01-31, or a full time."
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
@output_option
@click.pass_obj
def runs_command(session: Session, /, output: str, **filters: Any) -> None:
    """List the runs, newest first."""
    query = RunQuery(
        statuses=frozenset(Status(status) for status in filters["statuses"]) or None,
        task=filters["task"],
        actor=filters["actor"],
        since=since(filters["since"], session.reading.clock.now()),
        limit=filters["limit"],
    )
    runs = find(session.reading, query)
    emit([to_document(run) for run in runs], lambda: _table(runs), output)


def _table(runs: list[Run]) -> str:
    if not runs:
        return "no runs"
    rows = [
        (
            run.id,
            f"{run.task} ({_kind(run)})" if _kind(run) else run.task,
            run.status.replace("_", " "),
            run.actor.name or ERASED,
            run.environment,
            run.requested_at,
            duration(run.outcome.duration_ms if run.outcome else None),
        )
        for run in runs
    ]
    return table(["RUN", "TASK", "STATUS", "ACTOR", "ENVIRONMENT", "REQUESTED", "TOOK"], rows)


def _kind(run: Run) -> str:
    """What is special about a run, to be seen at once."""
    return "dry run" if run.dry_run else BREAK_GLASS if run.launcher == BREAK_GLASS else ""


environment_option = click.option(
    "--env", "environment", metavar="NAME", help="Where the run is; one in Kubernetes is looked up there."
)


@click.command("logs")
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@environment_option
@click.pass_obj
def logs_command(session: Session, /, run: str, follow: bool, environment: str | None) -> None:
    """Print what a run has printed, byte for byte."""
    remote = session.remote_or_here(environment)
    if remote is not None:
        from oneoff.cli import remoteruns

        return remoteruns.logs(session, remote, run, follow=follow)
    followed = get(session.reading, run)
    with letting_go(followed):
        for chunk in follow_log(session.reading, followed, follow=follow):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return None


@contextmanager
def letting_go(run: Run) -> Iterator[None]:
    """Ctrl-C lets go of the run that is watched, and does nothing to it."""
    try:
        yield
    except KeyboardInterrupt:
        if run.active:
            tell(f"\nrun {run.id} goes on; `oneoff cancel {run.id}` ends it")
        sys.exit(LET_GO)


@click.command("wait")
@click.argument("run", metavar="RUN")
@environment_option
@output_option
@click.pass_context
def wait_command(ctx: click.Context, /, run: str, environment: str | None, output: str) -> None:
    """Wait for the end of a run and exit as it did."""
    session: Session = ctx.obj
    remote = session.remote_or_here(environment)
    if remote is not None:
        from oneoff.cli import remoteruns

        ended, document = remoteruns.wait(session, remote, run), document_of_job
    else:
        awaited = last_attempt(get(session.reading, run), partial(get, session.reading))
        document = to_document
        with letting_go(awaited):
            ended = wait(session.reading, awaited)
    emit(document(ended), lambda: ending_line(ended), output)
    ctx.exit(EXIT_CODES[ended.status])


@click.command("cancel")
@click.argument("run", metavar="RUN")
@click.option("--force", is_flag=True, help="Do not wait for the task's next safe point.")
@click.option("--reason", metavar="TEXT", help="Why; kept in the audit log.")
@environment_option
@click.option("--yes", is_flag=True, help="In Kubernetes: answer the question with yes.")
@click.option(
    "--confirm", metavar="ENV", help="In Kubernetes: confirm for a protected environment, by its name."
)
@output_option
@click.pass_context
def cancel_command(
    ctx: click.Context, /, run: str, force: bool, reason: str | None, output: str, **given: Any
) -> None:
    """Ask a run to end."""
    session: Session = ctx.obj
    remote = session.remote_or_here(given["environment"])
    if remote is not None:
        from oneoff.cli import remoteruns

        options = remoteruns.confirming(run, force=force, reason=reason, **given)
        ended = remoteruns.cancel(session, remote, run, options, force=force)
        return emit(document_of_job(ended), lambda: ending_line(ended), output)
    wanted = last_attempt(get(session.services, run), partial(get, session.services))
    asked = cancel(session.services, wanted, force=force, reason=reason)
    emit(to_document(asked), lambda: ending_line(asked), output)
    if asked.active:
        tell(f"`oneoff wait {asked.id}` waits for its end")
    return None


def _brief(text: str) -> str:
    """What is too long to be read is cut, and says so."""
    if len(text) <= SHOWN:
        return text
    return f"{text[:SHOWN]}… ({len(text):,} characters; `-o json` has it whole)"


def _launch_rows(launch: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Of what a run in Kubernetes was made, and in what it was not the app."""
    revision = f", revision {launch['revision']}" if launch.get("revision") else ""
    return [
        ("workload", launch and f"{launch.get('workload')} in {launch.get('namespace')}{revision}"),
        ("image", launch.get("image")),
        ("not the app", ", ".join(launch.get("departures") or ())),
        ("differs", ", ".join(launch.get("differs") or ())),
        ("slot", launch.get("slot") and f"{launch['slot']} of {launch.get('schedule')}"),
    ]


def run_text(run: Run) -> str:
    """A run for people: who, what, why, how it ended, and the dry run's report."""
    outcome, progress = run.outcome, run.progress
    text = fields(
        [
            ("run", run.id),
            ("task", f"{run.task} ({_kind(run)})" if _kind(run) else run.task),
            ("status", run.status.replace("_", " ")),
            ("error", _brief(outcome.error) if outcome and outcome.error else None),
            ("exit code", outcome.exit_code if outcome else None),
            ("command", _brief(" ".join(run.command or ()))),
            *(
                (f"  {name}", _brief(json.dumps(value, ensure_ascii=False)))
                for name, value in run.parameters.items()
            ),
            ("environment", f"{run.environment} (protected)" if run.protected else run.environment),
            ("actor", f"{run.actor.name or ERASED} ({run.actor.kind})"),
            ("claims", ", ".join(f"{name}={value or ERASED}" for name, value in run.actor.claims.items())),
            ("reason", _brief(run.reason or "")),
            ("confirmed", run.confirmation),
            ("requested", run.requested_at),
            ("started", run.started_at),
            ("ended", run.ended_at),
            ("took", duration(outcome.duration_ms) if outcome else None),
            ("rows", "not measured" if run.started_at and not run.report else None),
            (
                "progress",
                progress and f"{progress.done:,}" + (f" of {progress.total:,}" if progress.total else ""),
            ),
            ("host", run.process and f"{run.process.host}, process {run.process.pid}"),
            *_launch_rows(run.launch or {}),
            ("version", run.release.version),
            ("commit", run.release.commit),
            ("rerun of", run.rerun_of),
        ]
    )
    parts = [text, outcome.traceback if outcome else None, run.report and render(run.report)]
    return "\n\n".join(str(part).rstrip() for part in parts if part)
