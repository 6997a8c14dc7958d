"""``oneoff audit verify``."""

from __future__ import annotations

import click

from oneoff.audit.verify import Verification
from oneoff.cli.audit.checkpoints import checkpoint_option, given
from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session
from oneoff.commands.audit import verify

TAMPERED = 1


@click.command("verify")
@checkpoint_option
@output_option
@click.pass_context
def verify_command(ctx: click.Context, /, checkpoints: tuple[str, ...], output: str) -> None:
    """Compute the log again from its bytes; exits with 1 where something does not fit.

    Whoever may write the store can make a changed log fit together again. What they cannot change is a
    checkpoint that is kept elsewhere: the one that your own oneoff saw last is compared without being asked
    for; give others that a run or this command printed earlier.
    """
    session: Session = ctx.obj
    found = verify(session.reading, kept=given(checkpoints))
    document = {
        "ok": found.ok,
        "size": found.size,
        "root": found.root.hex(),
        "checkpoint": str(found.checkpoint),
        "held": None if found.held is None else str(found.held),
        "first_bad": found.first_bad,
        "problems": list(found.problems),
        "more_problems": found.more,
    }
    emit(document, lambda: _verification(found), output)
    ctx.exit(0 if found.ok else TAMPERED)


def _verification(found: Verification) -> str:
    head = f"{found.size:,} events, checkpoint {found.checkpoint}"
    if found.ok:
        lines = [f"ok: {head}", "Every event, its place and every outcome fit together."]
    else:
        lines = [f"NOT ok: {head}", *(f"  {problem}" for problem in found.problems)]
    if found.more:
        lines.append(f"  and {found.more:,} more")
    if found.first_bad is not None:
        lines.append(f"The first bad event is event {found.first_bad}.")
    return "\n".join([*lines, _kept(found)])


def _kept(found: Verification) -> str:
    """What checkpoints kept elsewhere say, and where they say nothing."""
    if found.held is None:
        return "No checkpoint kept elsewhere vouches for any of them."
    after = found.size - found.held.size
    came = f"the {after:,} after it fit each other" if after else "none came after it"
    return f"The first {found.held.size:,} are those of the checkpoint {found.held}; {came}."
