"""``oneoff audit verify``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from oneoff.audit.evidence import Evidence
from oneoff.audit.verify import Pruned, Verification
from oneoff.cli.audit.evidence import checkpoint_option, given, key_option, travelling
from oneoff.cli.errand import ErrandCommand, words
from oneoff.cli.output import emit, output_option, visible
from oneoff.cli.session import Session
from oneoff.commands.audit import verified
from oneoff.commands.checkpoints import recall
from oneoff.runs.run import ERASED, Actor
from oneoff.types import JSONObject

TAMPERED = 1


class VerifyErrand(ErrandCommand):
    """What was kept elsewhere was kept here."""

    def argv(self, ctx: click.Context) -> list[str]:
        kept = tuple(travelling(text) for text in ctx.params["checkpoints"])
        return words(ctx, {**ctx.params, "checkpoints": kept})


@click.command("verify", cls=VerifyErrand)
@checkpoint_option
@key_option
@output_option
@click.pass_context
def verify_command(
    ctx: click.Context, /, checkpoints: tuple[str, ...], keys: tuple[str, ...], output: str
) -> None:
    """Compute the log again from its bytes; exits with 1 where something does not fit.

    Whoever may write the store can make a changed log fit together again. What they cannot change is a
    checkpoint that is kept elsewhere: the one that your own oneoff saw last is compared without being asked
    for; give others that a run or this command printed earlier.
    """
    session: Session = ctx.obj
    reading = session.reading
    signed_cut = not checkpoints and reading.store.start() > 0  # then the keys are for that alone
    kept = [] if signed_cut else given(partial(recall, reading), checkpoints, keys)
    found = verified(reading, kept=[evidence.checkpoint for evidence in kept], keys=keys)
    document: dict[str, Any] = {
        "ok": found.ok,
        "size": found.size,
        "root": found.root.hex(),
        "checkpoint": str(found.checkpoint),
        "compared_with": [{"checkpoint": str(each.checkpoint), "vouched": each.vouched} for each in kept],
        "held": None if found.held is None else str(found.held),
        "first_bad": found.first_bad,
        "problems": list(found.problems),
        "more_problems": found.more,
        "pruned": found.pruned and _pruned(found.pruned, found.vouched, reading.store.actors()),
    }
    emit(document, lambda: _verification(found, kept, document["pruned"]), output)
    ctx.exit(0 if found.ok else TAMPERED)


def _pruned(stated: Pruned, vouched: str | None, actors: Mapping[str, Actor]) -> JSONObject:
    by = actors[stated.by].name or ERASED if stated.by in actors else stated.by
    return {"events": stated.to, "at": stated.at, "by": by, "reason": stated.reason, "vouched": vouched}


def _verification(found: Verification, kept: list[Evidence], pruned: Any) -> str:
    head = f"{found.size:,} events, checkpoint {found.checkpoint}"
    if pruned:
        head += "\nEvents 0 to {} were pruned on {}, by {}: {}".format(
            pruned["events"] - 1, pruned["at"], pruned["by"], visible(pruned["reason"])
        )
        head += f"\nThe statement of that is {pruned['vouched']}." if pruned["vouched"] else ""
    compared = [f"Compared with {each}." for each in _compared(kept)]
    if found.ok:
        lines = [f"ok: {head}", "Every event, its place and every outcome fit together."]
    else:
        lines = [f"NOT ok: {head}", *(f"  {problem}" for problem in found.problems)]
    if found.more:
        lines.append(f"  and {found.more:,} more")
    if found.first_bad is not None:
        lines.append(f"The first bad event is event {found.first_bad}.")
    return "\n".join([*lines, _kept(found), *compared])


def _kept(found: Verification) -> str:
    """What checkpoints kept elsewhere say, and where they say nothing."""
    if found.held is None:
        return "No checkpoint kept elsewhere vouches for any of them."
    after = found.size - found.held.size
    came = f"the {after:,} after it fit each other" if after else "none came after it"
    return f"The first {found.held.size:,} are those of the checkpoint {found.held}; {came}."


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
