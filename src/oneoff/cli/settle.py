"""``oneoff settle``: what an errand runs in a release, to record endings that only the cluster has seen."""

from __future__ import annotations

import click

from oneoff.cli.output import emit
from oneoff.cli.session import Session
from oneoff.commands.attend import attend
from oneoff.commands.endings import Ending, record
from oneoff.errors import UsageError


@click.command("settle", hidden=True)
@click.argument("endings", nargs=-1)
@click.pass_obj
def settle_command(session: Session, /, endings: tuple[str, ...]) -> None:
    """Record how runs ended, as their Jobs tell it."""
    try:
        told = [Ending.read(text) for text in endings]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this is no ending of a run: {error!r}") from error
    attend(session.services, known={one.run.id for one in told})
    emit([record(session.services, one).document() for one in told], str, "json")
