"""``oneoff audit verify``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from oneoff.audit.merkle import Checkpoint
from oneoff.audit.verify import Pruned, Verification
from oneoff.cli.output import emit, output_option, visible
from oneoff.cli.session import Session
from oneoff.commands.audit import verified
from oneoff.errors import UsageError
from oneoff.runs.run import ERASED, Actor
from oneoff.types import JSONObject

TAMPERED = 1


@click.command("verify")
@click.option("--checkpoint", metavar="SIZE:ROOT", help="One printed earlier; nothing before it may differ.")
@output_option
@click.pass_context
def verify_command(ctx: click.Context, /, checkpoint: str | None, output: str) -> None:
    """Compute the log again from its bytes; exits with 1 where something does not fit.

    Whoever may write the store can make a changed log fit together again. What they cannot change is a
    checkpoint that is kept elsewhere: give one that this command printed earlier.
    """
    session: Session = ctx.obj
    found = verified(session.reading, remembered=_remembered(checkpoint))
    document: dict[str, Any] = {
        "ok": found.ok,
        "size": found.size,
        "root": found.root.hex(),
        "checkpoint": str(found.checkpoint),
        "problems": list(found.problems),
        "more_problems": found.more,
        "pruned": found.pruned and _pruned(found.pruned, session.reading.store.actors()),
    }
    emit(document, lambda: _verification(found, document["pruned"]), output)
    ctx.exit(0 if found.ok else TAMPERED)


def _remembered(text: str | None) -> Checkpoint | None:
    try:
        return Checkpoint.parse(text) if text is not None else None
    except ValueError as error:
        raise UsageError(f"{text!r} is no checkpoint: {error}") from None


def _pruned(stated: Pruned, actors: Mapping[str, Actor]) -> JSONObject:
    by = actors[stated.by].name or ERASED if stated.by in actors else stated.by
    return {"events": stated.to, "at": stated.at, "by": by, "reason": stated.reason}


def _verification(found: Verification, pruned: Any) -> str:
    head = f"{found.size:,} events, checkpoint {found.checkpoint}"
    if pruned:
        head += "\nEvents 0 to {} were pruned on {}, by {}: {}".format(
            pruned["events"] - 1, pruned["at"], pruned["by"], visible(pruned["reason"])
        )
    if found.ok:
        return f"ok: {head}\nEvery event, its place and every outcome fit together."
    problems = [f"  {problem}" for problem in found.problems]
    if found.more:
        problems.append(f"  and {found.more:,} more")
    return "\n".join([f"NOT ok: {head}", *problems])
