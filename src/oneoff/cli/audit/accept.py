"""``oneoff audit accept``."""

from __future__ import annotations

import click

from oneoff.cli.errand import AcceptingErrand
from oneoff.cli.session import Session
from oneoff.commands.accept import accept


@click.command("accept", cls=AcceptingErrand)
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept in the audit log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def accept_command(session: Session, /, reason: str, yes: bool) -> None:
    """Go on with a log that is not the one seen before, such as a backup that was put back.

    Where the audit log was shortened, rewritten or replaced since this user saw it last, whatever would write
    into it is refused. This shows both states, records that the present one is accepted, and remembers it.
    """
    found = accept(session.services, reason=reason, yes=yes)
    if found is None:
        click.echo("the audit log continues what was seen of it: there is nothing to accept")
    else:
        click.echo(f"accepted: {found.present.checkpoint}")
