"""``oneoff audit checkpoint``."""

from __future__ import annotations

import click

from oneoff.cli.errand import ErrandCommand
from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session
from oneoff.commands.checkpoints import publish, state
from oneoff.errors import UsageError

NOT_KEPT = 1


@click.command("checkpoint", cls=ErrandCommand)
@click.option(
    "--format", "form", type=click.Choice(["text", "note"]), help="SIZE:ROOT, or the note that a key signs."
)
@click.option("--anchor", is_flag=True, help="Give it to the configured anchors as well.")
@output_option
@click.pass_context
def checkpoint_command(ctx: click.Context, /, form: str | None, anchor: bool, output: str) -> None:
    """Print size and root of the log: a signed note where a key is configured, else SIZE:ROOT.

    With --anchor it is a heartbeat for cron: it exits with 1 where an anchor has not kept it.
    """
    session: Session = ctx.obj
    services = session.services if anchor else session.reading
    if form == "note" and services.settings.audit.key is None:
        raise UsageError(
            "a note is signed, and no key is configured",
            next_step="`oneoff audit keygen` makes one; name it as key under [tool.oneoff.audit]",
        )
    if anchor and not services.anchors:
        raise UsageError(
            "no anchor is configured", next_step='anchors = ["stdout"] under [tool.oneoff.audit], say'
        )
    stated = state(services, sign=form != "text")
    document = {
        "origin": stated.origin,
        "size": stated.checkpoint.size,
        "root": stated.checkpoint.root.hex(),
        "checkpoint": str(stated.checkpoint),
        "note": str(stated.note) if stated.note else None,
    }
    emit(document, lambda: str(stated.note or stated.checkpoint).rstrip("\n"), output)
    if anchor and not publish(services, stdout_taken=True):
        ctx.exit(NOT_KEPT)
