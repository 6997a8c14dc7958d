"""``oneoff audit keygen``."""

from __future__ import annotations

from pathlib import Path

import click

from oneoff.cli.session import tell
from oneoff.wiring.services import make_key


@click.command("keygen")
@click.option("--name", required=True, help="Whose key it is, as a URL without a scheme: shop.example/audit.")
@click.argument("file", type=click.Path(path_type=Path))
def keygen_command(name: str, file: Path) -> None:
    """Make a private key in a new FILE, and print the public one.

    Keep FILE where the store's administrators cannot read it. Give the public key to everybody.
    """
    public = make_key(name, file)
    click.echo(str(public))
    tell(f"the private key is in {file}: key = {str(file)!r} under [tool.oneoff.audit], or ONEOFF_AUDIT_KEY")
