"""``flask oneoff …``: all of oneoff's own command line, for the app that ``flask`` has found.

Flask takes the group by itself where oneoff is installed. A program with a ``FlaskGroup`` of its own may take
it as any other command: ``app.cli.add_command(oneoff.contrib.flask.cli)``.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout

import click
from flask.cli import ScriptInfo

from oneoff.cli.lazy import LazyGroup
from oneoff.cli.main import COMMANDS
from oneoff.cli.session import Session, showing_errors
from oneoff.frameworks.found import own_code
from oneoff.wiring.project import load_registry


@click.group("oneoff", cls=LazyGroup, table=COMMANDS)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run admin tasks safely: previewed, confirmed, recorded."""
    info = ctx.find_object(ScriptInfo)
    ctx.obj = Session(None)
    if info is None:
        return
    if info.create_app is not None:  # a program of the app's own, which nothing outside of it can name
        with showing_errors(), redirect_stdout(sys.stderr), own_code("the Flask app cannot be made"):
            registry = load_registry(ctx.obj.settings, None, flask_app=info.load_app())
        ctx.obj = Session(None, registry=registry)
    elif info.app_import_path:
        os.environ["FLASK_APP"] = info.app_import_path  # of `flask --app`: a detached run has to find it too
