"""``oneoff kube``: runs and schedules as objects of Kubernetes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import click

from oneoff.cli.endings import ending_line
from oneoff.cli.manifests import STDIN, read_documents, read_text, wanted
from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session, ShowingGroup, tell
from oneoff.cli.sync import sync_command
from oneoff.commands.cluster.render import Rendered, RenderRequest, render, render_live
from oneoff.errors import Refused, UsageError
from oneoff.kube.checks.check import Check
from oneoff.kube.derivation.difference import difference
from oneoff.kube.derivation.jobs import KINDS
from oneoff.kube.objects import name_of
from oneoff.kube.yamltext import dump
from oneoff.runs.document import to_document
from oneoff.tasks.fromschema import tasks_of
from oneoff.tasks.task import Task
from oneoff.types import JSONObject


@click.group("kube", cls=ShowingGroup)
def kube_command() -> None:
    """Look at environments in Kubernetes, and make their Jobs and CronJobs.

    A run is launched there by `oneoff run TASK --env NAME`.
    """


@kube_command.command("render", short_help="Print the Job or the CronJob of a task.")
@click.argument("task")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF THE TASK]")
@click.option(
    "--env", "environment", metavar="NAME", help="The environment; its kubernetes table says where it is."
)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="The workload's manifest, or what helm template or kustomize build print; - is standard input. "
    "Without it, the cluster is asked for the live release.",
)
@click.option("--release", metavar="WHICH", help="Of the cluster: running or target.")
@click.option("--job", "wants_job", is_flag=True, help="The Job of one run; so it is if nothing is said.")
@click.option("--schedule", "wants_schedule", is_flag=True, help="The CronJob of the task's schedule.")
@click.option(
    "--tasks", "catalogue", metavar="FILE", help="What `oneoff tasks -o json` prints in the release."
)
@click.option("--run-id", metavar="ID", help="An id of your own, so that the same comes out each time.")
@click.option(
    "--image", metavar="IMAGE", help="In place of the workload's own: a departure, which is recorded."
)
@click.option(
    "--nature", type=click.Choice(list(KINDS)), help="The task's own, else one-shot, if nothing is said."
)
@click.option("--yes", is_flag=True, help="Answer the task's question with yes.")
@click.option("--confirm", metavar="ENV", help="Confirm for a protected environment, by its name.")
@click.option("--reason", metavar="TEXT", help="Why; kept in the audit log.")
@click.option("--diff", is_flag=True, help="Show the pod beside that of the workload, with the reasons.")
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="For kubectl or programs."
)
@click.pass_obj
def render_command(
    session: Session,
    /,
    files: tuple[str, ...],
    release: str | None,
    catalogue: str | None,
    diff: bool,
    output: str,
    **given: Any,
) -> None:
    """Print the Job of a run, or the CronJob of a schedule, made of a manifest or of the live release.

    Needs no app, and with a manifest no cluster; nothing is created.
    """
    if [*files, catalogue].count(STDIN) > 1:
        raise UsageError("standard input can be read once")
    if files and release is not None:
        raise UsageError("--file and --release both say which release is meant", next_step="give one of them")
    if not given["wants_schedule"]:
        given["wants_job"] = True
    request = RenderRequest(catalogue=_catalogue(catalogue) if catalogue else None, **given)
    if files:
        documents = [document for name in files for document in read_documents(name)]
        request = replace(request, documents=documents, actor=session.actor.name)
        rendered = render(session.settings, request, datetime.now(UTC))
    else:
        remote = session.remote(request.environment)
        rendered = render_live(remote, replace(request, actor=remote.actor), wanted(release))
    if output == "json":
        click.echo(
            json.dumps(_document(rendered), indent=2, ensure_ascii=False).encode(errors="backslashreplace")
        )
    else:
        click.echo(_differences(rendered) if diff else dump(one.object for one in rendered.made), nl=False)
    for note in rendered.notes:
        tell(f"note: {note}")


def _catalogue(name: str) -> list[Task]:
    text = read_text(name)
    try:
        return tasks_of(json.loads(text))
    except ValueError as error:
        raise UsageError(f"--tasks {name}: it is no JSON: {error}") from error
    except UsageError as error:
        raise UsageError(f"--tasks {name}: {error.message}", next_step=error.next_step) from error


def _differences(rendered: Rendered) -> str:
    return "".join(
        difference(
            rendered.workload.template,
            one.derived.template,
            source_name=rendered.workload.reference,
            result_name=f"{one.object['kind'].lower()}/{name_of(one.object)}",
            changes=one.derived.changes,
        )
        for one in rendered.made
    )


def _document(rendered: Rendered) -> JSONObject:
    first = rendered.made[0]
    return {
        "objects": [one.object for one in rendered.made],
        "changes": [
            {"path": change.path, "action": change.action, "reason": change.reason}
            for change in first.derived.changes
        ],
        "departures": list(first.derived.departures),
        "differs": list(first.identity.differs),
        "notes": list(rendered.notes),
    }


@kube_command.command("collect", short_help="Record bare commands that nobody watched.")
@click.option("--env", "environment", metavar="NAME", help="The environment whose Jobs are looked at.")
@output_option
@click.pass_obj
def collect_command(session: Session, /, environment: str | None, output: str) -> None:
    """Record how runs ended that could not record it themselves, while nobody watched."""
    from oneoff.commands.cluster.collecting import collect

    remote, store_here = session.remote(environment), not session.reading.no_store
    found = collect(lambda: session.services, remote, tell, store_here=store_here)
    emit(
        [to_document(run) for run in found],
        lambda: "\n".join(ending_line(run) for run in found) or "nothing to collect",
        output,
    )


@kube_command.command("preflight", short_help="Say what would keep a run from starting.")
@click.argument("task", required=False)
@click.option(
    "--env", "environment", metavar="NAME", help="The environment that a run would be launched into."
)
@click.option("--release", metavar="WHICH", help="running, target, or a manifest of it.")
@output_option
@click.pass_context
def preflight_command(
    ctx: click.Context, /, task: str | None, environment: str | None, release: str | None, output: str
) -> None:
    """Say what would keep a run from starting, and launch none; exits with 3 where something would."""
    from oneoff.commands.cluster.preflight import examine

    checks = examine(ctx.obj.remote(environment), task, wanted(release))
    emit([asdict(check) for check in checks], lambda: "\n".join(map(_line, checks)), output)
    ctx.exit(Refused.exit_code if any(check.state == "failure" for check in checks) else 0)


def _line(check: Check) -> str:
    line = f"{check.state:<8} {check.name:<13} {check.message}"
    return f"{line}\n{'':<22} next: {check.next_step}" if check.next_step else line


kube_command.add_command(sync_command)
