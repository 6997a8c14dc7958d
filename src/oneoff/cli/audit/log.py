"""``oneoff audit log``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from oneoff.audit.event import short_type
from oneoff.cli.output import emit, output_option, table
from oneoff.cli.session import Session
from oneoff.commands.audit import log
from oneoff.commands.runs import get
from oneoff.runs.run import Actor


@click.command("log")
@click.option("--run", metavar="RUN", help="Only the events of this run.")
@output_option
@click.pass_obj
def log_command(session: Session, /, run: str | None, output: str) -> None:
    """Print the events, oldest first."""
    run_id = get(session.reading, run).id if run else None
    documents = [
        _document(event.seq, event.body, event.leaf) for event in log(session.reading, run_id=run_id)
    ]
    emit(documents, lambda: _table(documents, session.reading.store.actors()), output)


def _document(seq: int, body: bytes, leaf: bytes) -> dict[str, Any]:
    return {"seq": seq, "leaf": leaf.hex(), "event": json.loads(body)}


def _table(documents: list[dict[str, Any]], actors: Mapping[str, Actor]) -> str:
    if not documents:
        return "no events"
    return table(
        ["SEQ", "TIME", "EVENT", "RUN", "TASK", "ACTOR", "WHAT"],
        [_row(entry, actors) for entry in documents],
    )


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
        actors[subject].name if subject in actors else subject,
        _what(data),
    )


def _what(data: dict[str, Any]) -> str:
    """What the event says beyond its type, in a few words."""
    outcome = data.get("outcome")
    if outcome:
        return ": ".join(str(part) for part in (outcome["status"], outcome["error"]) if part)
    parts = ["dry run" if data.get("target", {}).get("dry_run") else "", data.get("confirmation") or ""]
    return ", ".join(part for part in parts if part)
