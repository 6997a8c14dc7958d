"""``oneoff audit verify``."""

from __future__ import annotations

import click

from oneoff.audit.merkle import Checkpoint
from oneoff.audit.verify import Verification
from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session
from oneoff.commands.audit import verify
from oneoff.errors import UsageError

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
