"""``oneoff audit prove``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oneoff.cli.audit.evidence import given, travelling
from oneoff.cli.errand import ErrandCommand, give, words
from oneoff.cli.session import Session, tell
from oneoff.commands.checkpoints import recall
from oneoff.commands.receipts import find, prove
from oneoff.errors import OneoffError, UsageError
from oneoff.types import JSONObject

if TYPE_CHECKING:
    from oneoff.commands.cluster.remote import Remote


class ProveErrand(ErrandCommand):
    """The receipt is written here, and what was kept was kept here."""

    def send(self, ctx: click.Context, remote: Remote) -> int:
        output, kept = ctx.params["output"], ctx.params["checkpoint"]
        params = {**ctx.params, "output": None, "checkpoint": kept and travelling(kept)}
        answer = self.ask(remote, words(ctx, params))
        written = output is not None and answer.exit_code == 0
        if written:
            _write(output, answer.stdout.decode(), json.loads(answer.stdout))
        give(answer, remote, stdout=not written)
        return answer.exit_code


@click.command("prove", cls=ProveErrand)
@click.argument("run", metavar="RUN")
@click.option("-o", "--output", metavar="FILE", help="Where to write the receipt; else standard output.")
@click.option(
    "--checkpoint", metavar="FILE|TEXT|-", help="Prove it against this one, kept earlier; else as of now."
)
@click.pass_obj
def prove_command(session: Session, /, run: str, output: str | None, checkpoint: str | None) -> None:
    """Write a receipt for a run: its events, and the proof that they are in the log.

    `oneoff audit check` verifies it anywhere, without a store.
    """
    kept = given(partial(recall, session.reading), [checkpoint] if checkpoint else [], ())
    if len(kept) > 1:
        raise UsageError("a receipt is made against one checkpoint", next_step="give the one that you kept")
    receipt = prove(session.reading, find(session.reading, run), kept=kept[0].checkpoint if kept else None)
    text = json.dumps(receipt, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text.encode(errors="backslashreplace"), nl=False)
        return
    _write(output, text, receipt)


def _write(output: str, text: str, receipt: JSONObject) -> None:
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OneoffError(f"the receipt {output} cannot be written: {error.strerror}") from error
    tell(f"receipt of run {receipt['run']} against the checkpoint {receipt['checkpoint']}: {output}")
