"""``oneoff audit verify``."""

from __future__ import annotations

import click

from oneoff.audit.evidence import Evidence
from oneoff.audit.verify import Verification
from oneoff.cli.audit.evidence import checkpoint_option, given, key_option
from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session
from oneoff.commands.audit import verify

TAMPERED = 1


@click.command("verify")
@checkpoint_option
@key_option
@output_option
@click.pass_context
def verify_command(
    ctx: click.Context, /, checkpoints: tuple[str, ...], keys: tuple[str, ...], output: str
) -> None:
    """Compute the log again from its bytes; exits with 1 where something does not fit.

    Whoever may write the store can make a changed log fit together again. What they cannot change is a
    checkpoint that is kept elsewhere: give one that this command printed earlier.
    """
    session: Session = ctx.obj
    kept = given(session.reading, checkpoints, keys)
    found = verify(session.reading, kept=[evidence.checkpoint for evidence in kept])
    document = {
        "ok": found.ok,
        "size": found.size,
        "root": found.root.hex(),
        "checkpoint": str(found.checkpoint),
        "compared_with": [{"checkpoint": str(each.checkpoint), "vouched": each.vouched} for each in kept],
        "problems": list(found.problems),
        "more_problems": found.more,
    }
    emit(document, lambda: _verification(found, kept), output)
    ctx.exit(0 if found.ok else TAMPERED)


def _verification(found: Verification, kept: list[Evidence]) -> str:
    head = f"{found.size:,} events, checkpoint {found.checkpoint}"
    compared = [f"Compared with {each}." for each in _compared(kept)]
    if found.ok:
        return "\n".join([f"ok: {head}", "Every event, its place and every outcome fit together.", *compared])
    problems = [f"  {problem}" for problem in found.problems]
    if found.more:
        problems.append(f"  and {found.more:,} more")
    return "\n".join([f"NOT ok: {head}", *problems, *compared])


def _compared(kept: list[Evidence]) -> list[str]:
    """A line for each way in which checkpoints are vouched for."""
    ways = dict.fromkeys(each.vouched for each in kept)
    counts = {way: [each.checkpoint.size for each in kept if each.vouched == way] for way in ways}
    return [
        f"the checkpoint of {sizes[0]:,} events, {way}"
        if len(sizes) == 1
        else f"{len(sizes):,} checkpoints of up to {max(sizes):,} events, {way}"
        for way, sizes in counts.items()
    ]
