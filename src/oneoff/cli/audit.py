"""``oneoff audit log`` and ``oneoff audit verify``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from oneoff.audit.event import short_type
from oneoff.audit.merkle import Checkpoint
from oneoff.audit.verify import Verification
from oneoff.cli.output import emit, output_option, table
from oneoff.cli.session import Session
from oneoff.commands.audit import log, verify
from oneoff.commands.runs import get
from oneoff.errors import UsageError
from oneoff.runs.run import Actor

TAMPERED = 1


@click.group("audit")
def audit_command() -> None:
    """Read and verify the audit log."""


@audit_command.command("log")
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


@audit_command.command("verify")
@click.option("--checkpoint", metavar="SIZE:ROOT", help="One printed earlier; nothing before it may differ.")
@output_option
@click.pass_context
def verify_command(ctx: click.Context, /, checkpoint: str | None, output: str) -> None:
    """Compute the log again from its bytes; exits with 1 where something does not fit.

    Whoever may write the store can make a changed log fit together again. What they cannot change is a
    checkpoint that is kept elsewhere: give one that this command printed earlier.
    """
    session: Session = ctx.obj
    found = verify(session.reading, remembered=_remembered(checkpoint))
    document = {
        "ok": found.ok,
        "size": found.size,
        "root": found.root.hex(),
        "checkpoint": str(found.checkpoint),
        "problems": list(found.problems),
        "more_problems": found.more,
    }
    emit(document, lambda: _verification(found), output)
    ctx.exit(0 if found.ok else TAMPERED)


def _remembered(text: str | None) -> Checkpoint | None:
    try:
        return Checkpoint.parse(text) if text is not None else None
    except ValueError as error:
        raise UsageError(f"{text!r} is no checkpoint: {error}") from None


def _verification(found: Verification) -> str:
    head = f"{found.size:,} events, checkpoint {found.checkpoint}"
    if found.ok:
        return f"ok: {head}\nEvery event, its place and every outcome fit together."
    problems = [f"  {problem}" for problem in found.problems]
    if found.more:
        problems.append(f"  and {found.more:,} more")
    return "\n".join([f"NOT ok: {head}", *problems])
