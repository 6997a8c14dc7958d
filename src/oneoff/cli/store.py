"""``oneoff store``: make the place for the records, and bring it up to date."""

from __future__ import annotations

from typing import Any

import click

from oneoff.cli.output import emit, output_option
from oneoff.cli.session import Session, ShowingGroup
from oneoff.commands.store import check_owner, init, upgrade

owner_option = click.option(
    "--owner-url",
    metavar="URL",
    help="PostgreSQL: the same database, as a role that may create roles and schemas.",
)


@click.group("store", cls=ShowingGroup)
def store_command() -> None:
    """Make or upgrade the store.

    A store in a SQLite file needs neither: the first run makes it, and a newer oneoff upgrades it. For one in
    PostgreSQL both are steps of their own, because the app's role may not change what is recorded.
    """


@store_command.command("init")
@owner_option
@click.option("--role", metavar="NAME", help="PostgreSQL: the app's role; else that of ONEOFF_STORE.")
@click.option(
    "--retention",
    metavar="DAYS",
    type=click.IntRange(1, 99_999),
    help="PostgreSQL: no event is pruned within so many days, whatever the app's settings say; at first 400.",
)
@output_option
@click.pass_obj
def init_command(
    session: Session, /, owner_url: str | None, role: str | None, retention: int | None, output: str
) -> None:
    """Make the store; where it is there already, only grant its rights again, or set its retention."""
    _print(init(session.settings, _admin(session, owner_url), role, retention), output)


@store_command.command("upgrade")
@owner_option
@click.option(
    "--phase",
    type=click.Choice(["pre", "post", "all"]),
    default="all",
    help="pre: before the new release is deployed. post: when no older one is left. all: both at once.",
)
@output_option
@click.pass_obj
def upgrade_command(session: Session, /, owner_url: str | None, phase: Any, output: str) -> None:
    """Bring the store up to date with this oneoff."""
    _print(upgrade(_admin(session, owner_url), phase), output)


def _admin(session: Session, owner_url: str | None) -> Any:
    from oneoff.wiring.store import store_admin

    check_owner(session.settings, owner_url)
    return store_admin(session.settings, owner_url)


def _print(done: list[str], output: str) -> None:
    emit({"done": done}, lambda: "\n".join(done), output)
