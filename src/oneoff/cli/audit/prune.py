"""``oneoff audit prune``."""

from __future__ import annotations

import click

from oneoff.cli.errand import ErrandCommand
from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session
from oneoff.cli.times import since
from oneoff.commands.prune import in_words, plan, prune


@click.command("prune", cls=ErrandCommand)
@click.option(
    "--before",
    metavar="WHEN",
    help="What is older goes: 400d, 2026-01-31, or a full time; else as old as the settings allow.",
)
@click.option("--reason", metavar="TEXT", help="Why; kept in the audit log.")
@click.option("--yes", is_flag=True, help="Answer the question with yes.")
@output_option
@click.pass_obj
def prune_command(
    session: Session, /, before: str | None, reason: str | None, yes: bool, output: str
) -> None:
    """Delete the beginning of the audit log, up to the first event that is not old enough.

    Export it first. The hashes stay, so that the rest verifies and every checkpoint holds.
    """
    services = session.services
    now = services.clock.now()
    planned = plan(services, since(before, now) or now - services.settings.audit.retention)
    cut = planned.cut
    if cut.count:
        prune(services, planned, reason=reason, yes=yes, stdout_taken=output == "json")
    document = {
        "pruned": cut.count,
        "from": cut.start,
        "to": cut.to,
        "root": planned.root.hex(),
        "oldest": cut.oldest,
        "newest": cut.newest,
    }
    emit(document, lambda: f"deleted: {in_words(cut)}" if cut.count else "nothing is old enough", output)
