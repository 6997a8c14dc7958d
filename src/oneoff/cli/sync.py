"""``oneoff kube sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from oneoff.cli.manifests import wanted
from oneoff.cli.output import emit, output_option, table
from oneoff.cli.session import Session, tell
from oneoff.errors import ErrandFailed, UsageError
from oneoff.kube.api.cluster import CRONJOBS
from oneoff.types import JSONObject

if TYPE_CHECKING:  # loaded where something is applied
    from oneoff.commands.cluster.syncplan import Item, Plan, SyncRequest
    from oneoff.commands.options import Options

DIFFERS = 10
"""Exit code of a dry run with ``--exit-code`` that found a difference."""


@click.command("sync", short_help="Apply the schedules of the release.")
@click.option("--env", "environment", metavar="NAME", help="The environment whose schedules are applied.")
@click.option("--dry-run", is_flag=True, help="Only show what differs.")
@click.option("--exit-code", is_flag=True, help="With --dry-run: exit with 10 if something differs.")
@click.option("--yes", is_flag=True, help="Answer the question with yes.")
@click.option("--confirm", metavar="ENV", help="Confirm for a protected environment, by its name.")
@click.option("--reason", metavar="TEXT", help="Why; it becomes the reason of each run.")
@click.option("--adopt", is_flag=True, help="Take fields and CronJobs from whoever has them.")
@click.option("--bare", is_flag=True, help="The image has no oneoff: commands with runner = false are all.")
@click.option("--release", metavar="WHICH", help="running, target, or a manifest of it.")
@output_option
@click.pass_context
def sync_command(
    ctx: click.Context,
    /,
    environment: str | None,
    *,
    adopt: bool,
    bare: bool,
    release: str | None,
    exit_code: bool,
    output: str,
    **given: Any,
) -> None:
    """Apply the schedules of the release as CronJobs, and take away those that left the code.

    Shows first what differs, and asks once: whoever applies a schedule confirms each of its runs.
    """
    from oneoff.cli.options import command_with
    from oneoff.commands.cluster.sync import sync
    from oneoff.commands.options import Options

    options = Options(environment=environment, command_with=command_with(ctx), **given)
    if exit_code and not options.dry_run:
        raise UsageError("--exit-code is about a dry run", next_step="add --dry-run, or leave it out")
    session: Session = ctx.obj
    request = _request(session, options, adopt=adopt, bare=bare, release=release)
    as_json = output == "json"
    found = sync(session.remote(environment), request, lambda plan: _show(plan, as_json=as_json))
    applied = found.differs and not options.dry_run
    if as_json:
        emit(_document(found, applied=applied), str, output)
    elif applied:
        tell(f"applied by {found.stamp.by}")
    ctx.exit(DIFFERS if exit_code and found.differs else 0)


def _request(
    session: Session, options: Options, *, adopt: bool, bare: bool, release: str | None
) -> SyncRequest:
    from oneoff.commands.cluster.catalogues import catalogue
    from oneoff.commands.cluster.releases import live
    from oneoff.commands.cluster.syncplan import SyncRequest

    remote = session.remote(options.environment)
    serves = live(remote, wanted(release))
    try:
        tasks = None if bare else catalogue(remote, serves)
    except ErrandFailed as error:
        if session.bare_tasks:
            error.next_step = f"{error.next_step}; an image without oneoff: add --bare".lstrip("; ")
        raise
    return SyncRequest(live=serves, catalogue=tasks, bare=session.bare_tasks, options=options, adopt=adopt)


def _show(plan: Plan, *, as_json: bool) -> None:
    """For people: what differs, then each object in a line; where a document follows, beside it."""
    show = tell if as_json else click.echo
    for item in plan.items:
        if item.difference:
            show(item.difference.rstrip("\n"))
    rows = [
        (
            item.action,
            item.name,
            item.task.schedule if item.task else "",
            item.task.time_zone if item.task else "",
            item.last or "",
            _remark(item),
        )
        for item in plan.items
    ]
    headings = ["ACTION", "NAME", "SCHEDULE", "TIME ZONE", "LAST", "REMARK"]
    show(table(headings, rows) if rows else "no task has a schedule")
    for note in plan.notes:
        tell(f"note: {note}")


def _remark(item: Item) -> str:
    """What whoever confirms it has to know."""
    asks = item.task.confirm if item.task and item.action in ("created", "changed") else None
    words = [
        "the tasks of the release" if item.resource is not CRONJOBS else "",
        item.why,
        "suspended" if item.suspended else "",
        f"asks: {asks}" if asks else "",
    ]
    return "; ".join(filter(None, words))


def _document(plan: Plan, *, applied: bool) -> JSONObject:
    catalogue = [item for item in plan.items if item.resource is not CRONJOBS]
    return {
        "applied": applied,
        "differs": plan.differs,
        "schedules": [_schedule(item) for item in plan.items if item.resource is CRONJOBS],
        "catalogue": catalogue[0].action if catalogue else None,
        "actor": {"kind": plan.stamp.kind, "name": plan.stamp.by},
        "notes": list(plan.notes),
    }


def _schedule(item: Item) -> JSONObject:
    return {
        "name": item.name,
        "action": item.action,
        "task": item.task.name if item.task else None,
        "schedule": item.task.schedule if item.task else None,
        "time_zone": item.task.time_zone if item.task else None,
        "suspended": item.suspended,
        "last": item.last,
        "difference": item.difference or None,
        "why": item.why or None,
    }
