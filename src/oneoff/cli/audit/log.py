"""``oneoff audit log``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from oneoff.audit.event import TYPES, short_type
from oneoff.cli.errand import ENV, ErrandCommand
from oneoff.cli.output import emit_each, long_table, output_option
from oneoff.cli.session import Session, tell
from oneoff.cli.times import since
from oneoff.commands.audit import log
from oneoff.commands.runs import get
from oneoff.errors import did_you_mean
from oneoff.protocols import EventQuery
from oneoff.runs.run import ERASED, Actor
from oneoff.runs.status import Status
from oneoff.types import JSONObject

if TYPE_CHECKING:
    from oneoff.commands.cluster.remote import Remote

PAGE = 500
"""Events whose columns are made equally wide."""


class LogErrand(ErrandCommand):
    """Its ``--env`` filters, too: a store may hold the events of several environments."""

    def own_option(self) -> click.Option:
        return click.Option(["--here"], is_flag=True, help="Look at this store, though E is in Kubernetes.")

    def elsewhere(self, ctx: click.Context, session: Session) -> Remote | None:
        here, wanted = ctx.params.pop("here"), ctx.params[ENV]
        return session.remote(wanted) if wanted in session.settings.in_kubernetes and not here else None

    def argv(self, ctx: click.Context) -> list[str]:
        return [*super().argv(ctx), "--here"]


@click.command("log", cls=LogErrand)
@click.option("--run", metavar="RUN", help="Only the events of this run.")
@click.option("--task", metavar="TASK", help="Only events about this task.")
@click.option("--actor", metavar="NAME", help="Only what this person did; a name or an opaque subject.")
@click.option("--env", "environment", metavar="NAME", help="Only events in this environment, wherever it is.")
@click.option("--type", metavar="TYPE", help="Only events of this type: outcome, log.queried, …")
@click.option(
    "--status", type=click.Choice([status.value for status in Status]), help="Only runs that ended so."
)
@click.option("--table", metavar="TABLE", help="Only outcomes that changed rows of this table.")
@click.option("--not-measured", is_flag=True, help="Only outcomes whose rows were not counted.")
@click.option("--since", metavar="WHEN", help="Only events since: 2h, 7d, 2026-01-31, or a full time.")
@click.option("--until", metavar="WHEN", help="Only events before this time.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="The newest so many; 0 for all.",
)
@click.option("--all", "everything", is_flag=True, help="As --limit 0.")
@output_option
@click.pass_obj
def log_command(session: Session, /, output: str, **given: Any) -> None:
    """Print the events, oldest first. That you looked is recorded."""
    now = session.reading.clock.now()
    limit = None if given["everything"] else given["limit"] or None
    query = EventQuery(
        run_id=get(session.reading, given["run"]).id if given["run"] else None,
        **{name: given[name] for name in ("task", "actor", "environment", "type", "table")},
        status=Status(given["status"]) if given["status"] else None,
        measured=False if given["not_measured"] else None,
        since=since(given["since"], now),
        until=since(given["until"], now),
        limit=limit,
    )
    if given["not_measured"] and query.type is None:
        query = replace(query, type="outcome")  # a run that was refused did nothing that could be counted
    if query.type is not None and query.type not in TYPES:
        tell(
            f"no event of type {query.type!r} is written by this oneoff{did_you_mean(query.type, TYPES)}; "
            f"there are: {', '.join(TYPES)}"
        )
    found = log(session.reading, query)
    if found.cut_off:
        tell(f"the newest {limit} events: older ones match, too; `--limit N` or `--all` shows them")
    documents = (_document(event.seq, event.body, event.leaf) for event in found.events)
    if output == "json":
        emit_each(documents)
    else:
        _print_table(documents, session.reading.store.actors())


def _document(seq: int, body: bytes, leaf: bytes) -> dict[str, Any]:
    return {"seq": seq, "leaf": leaf.hex(), "event": json.loads(body)}


def _print_table(documents: Iterable[dict[str, Any]], actors: Mapping[str, Actor]) -> None:
    rows = (_row(entry, actors) for entry in documents)
    empty = True
    for piece in long_table(["SEQ", "TIME", "EVENT", "RUN", "TASK", "ACTOR", "WHAT"], rows, page=PAGE):
        click.echo(piece)
        empty = False
    if empty:
        click.echo("no events")


def _row(entry: dict[str, Any], actors: Mapping[str, Actor]) -> tuple[object, ...]:
    """The log itself holds an opaque subject; the name is looked up in the directory, and may be gone."""
    event, data = entry["event"], entry["event"]["data"]
    subject = data.get("initiator", {}).get("subject", "")
    return (
        entry["seq"],
        event["time"],
        short_type(event["type"]),
        event.get("subject", ""),
        data.get("target", {}).get("task", ""),
        (actors[subject].name or ERASED) if subject in actors else subject,
        "; ".join(part for part in _what(data) if part),
    )


def _what(data: dict[str, Any]) -> list[str]:
    """What the event says beyond its type, in a few words."""
    confirmed = data.get("confirmation")
    return [
        "dry run" if data.get("target", {}).get("dry_run") else "",
        *_ending(data.get("outcome") or {}),
        f"confirmed: {confirmed}" if confirmed else "",
        *(f"{name} {data[name]}" for name in ("from", "to", "subjects", "ok", "problems") if name in data),
        *(f"{name} {value}" for name, value in data.get("filters", {}).items()),
        f"reason: {data['reason']}" if data.get("reason") else "",
    ]


def _ending(outcome: JSONObject) -> list[str]:
    if not outcome:
        return []
    rows = outcome.get("rows")
    tables = rows.items() if isinstance(rows, dict) else ()
    return [
        ": ".join(str(part) for part in (outcome["status"], outcome["error"]) if part),
        *(f"{table}: {_counts(counts)}" for table, counts in tables if isinstance(counts, dict)),
        "rows not measured" if rows == "not measured" and outcome["status"] != Status.REFUSED else "",
    ]


def _counts(counts: JSONObject) -> str:
    """``2 updated, 1 deleted``."""
    some = [f"{count} {change}" for change, count in counts.items() if count]
    return ", ".join(some) or "changed"
