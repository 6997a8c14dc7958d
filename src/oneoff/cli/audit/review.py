"""``oneoff audit review``."""

from __future__ import annotations

import click

from oneoff.cli.errand import ErrandCommand
from oneoff.cli.session import Session, tell
from oneoff.commands.breakglass import review
from oneoff.commands.runs import get


@click.command("review", cls=ErrandCommand)
@click.argument("run", metavar="RUN")
@click.option("--reason", metavar="TEXT", required=True, help="What you found; kept in the audit log.")
@click.pass_obj
def review_command(session: Session, /, run: str, reason: str) -> None:
    """Record that you looked at a run that broke the glass."""
    looked_at = get(session.services, run)
    review(session.services, looked_at, reason=reason)
    tell(f"run {looked_at.id} is reviewed")
