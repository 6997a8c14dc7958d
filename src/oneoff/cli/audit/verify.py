"""``oneoff audit verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from oneoff.audit.evidence import Evidence
from oneoff.audit.verify import Verification
from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session
from oneoff.commands.audit import verify
from oneoff.commands.checkpoints import recall
from oneoff.errors import UsageError

TAMPERED = 1


@click.command("verify")
@click.option(
    "--checkpoint", metavar="TEXT|FILE", help="One kept elsewhere; nothing before it may differ. - is stdin."
)
@click.option("--key", "keys", metavar="VKEY", multiple=True, help="Only what this key has signed counts.")
@output_option
@click.pass_context
def verify_command(ctx: click.Context, /, checkpoint: str | None, keys: tuple[str, ...], output: str) -> None:
    """Compute the log again from its bytes; exits with 1 where something does not fit.

    Whoever may write the store can make a changed log fit together again. What they cannot change is a
    checkpoint that is kept elsewhere: give one that this command printed earlier.
    """
    session: Session = ctx.obj
    if keys and checkpoint is None:
        raise UsageError("--key is for the signature of a --checkpoint, and none is given")
    kept = [] if checkpoint is None else recall(session.reading, _text(checkpoint), keys)
    kept.sort(key=lambda evidence: -evidence.checkpoint.size)
    checkpoints = [evidence.checkpoint for evidence in kept]
    found = verify(session.reading, remembered=next(iter(checkpoints), None), others=checkpoints[1:])
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


def _text(given: str) -> str:
    """What was typed, or what the file of that name holds."""
    if "\n" in given or (":" in given and not Path(given).is_file()):
        return given
    try:
        return sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(
            f"{given!r} is neither a checkpoint nor a file that can be read: {why}",
            next_step="give SIZE:ROOT as it was printed, or the file of a note",
        ) from None


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
        else f"{len(sizes):,} checkpoints of up to {sizes[0]:,} events, {way}"
        for way, sizes in counts.items()
    ]
