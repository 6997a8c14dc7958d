"""``oneoff audit erase``."""

from __future__ import annotations

from dataclasses import asdict

import click

from oneoff.cli.errand import ErrandCommand
from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session
from oneoff.commands.erase import erase


@click.command("erase", cls=ErrandCommand)
@click.argument("who", metavar="NAME|SUBJECT")
@click.option("--reason", metavar="TEXT", help="Why, without the name; kept in the audit log.")
@click.option("--yes", is_flag=True, help="Answer the question with yes.")
@output_option
@click.pass_obj
def erase_command(session: Session, /, who: str, reason: str | None, yes: bool, output: str) -> None:
    """Remove a person's name from the directory and from the records of runs.

    The audit log does not change and verifies as before: it has an opaque subject in the name's place.
    """
    erased = erase(session.services, who, reason=reason, yes=yes)
    emit(
        asdict(erased),
        lambda: f"erased: {', '.join(erased.subjects)} stands for nobody now, in {erased.runs:,} runs too",
        output,
    )
