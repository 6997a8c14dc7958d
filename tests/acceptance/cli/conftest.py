"""A small shop with a task of every kind."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli import Project

SETTINGS = """
[project]
version = "1.4"

[tool.oneoff]
app = "shop.admin:admin"

[tool.oneoff.environments.production]
protected = true
reason = "OPS-[0-9]+"

[tool.oneoff.tasks.build]
command = ["sh", "-c", "echo $GREETING from $PWD; exit 4"]
help = "Build the façade."
environ = { GREETING = "hello" }

[tool.oneoff.tasks.drop]
command = ["echo", "dropped"]
confirm = "Drop it?"

[tool.oneoff.tasks.slow]
command = ["sleep", "60"]
timeout = 0.3
"""
ADMIN = '''
import sqlite3
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import oneoff

DATABASE = Path(__file__).with_name("shop.db")


def connect():
    return sqlite3.connect(DATABASE)


admin = oneoff.App("shop", database=connect)


@admin.task
def greet(name: str = "you", times: Annotated[int, oneoff.Param(ge=1, le=3)] = 1, loud: bool = False) -> None:
    """Grüße jemanden – 你好.

    The second paragraph.
    """
    for _ in range(times):
        print(("HELLO " if loud else "hello ") + name)


@admin.task(confirm="Delete the old users?", lock="users")
def purge(ctx: oneoff.Context, older_than: timedelta = timedelta(days=90)) -> None:
    """Delete users."""
    connection = ctx.db()
    connection.execute("DELETE FROM users WHERE id > 1")
    connection.commit()
    connection.close()
    ctx.effect("notify support", print, "mail sent")


@admin.task
def login(token: oneoff.Secret, spare: oneoff.Secret | None = None) -> None:
    """Use a secret."""
    print("token of", len(token.reveal()), "and", len(spare.reveal()) if spare else None)
    print(token, f"{token!r}")
    sys.stdout.flush()


@admin.task
def hold(ctx: oneoff.Context, token: oneoff.Secret) -> None:
    """Wait with a secret in hand."""
    print("holding", flush=True)
    while not ctx.sleep(0.1):
        pass


@admin.task(lock="users")
def work(ctx: oneoff.Context) -> None:
    """Work until it is told to stop."""
    print("at work", flush=True)
    while not ctx.sleep(0.1):
        pass
    print("stopped well" + chr(10), end="", flush=True)  # in one piece: others write to the log, too


@admin.task
def size(text: str, kind: Literal["a", "b"] = "a") -> None:
    """Say how much was given."""
    print("got", len(text))


@admin.task
def fail(code: int = 0) -> None:
    """Fail in one way or another."""
    if code:
        sys.exit(code)
    raise ValueError("no luck with ümlauts")


@admin.task(timeout=0.3)
def late(ctx: oneoff.Context) -> None:
    """Take too long."""
    while not ctx.should_stop:
        time.sleep(0.02)


@admin.task
async def fetch(n: int) -> None:
    """An async task."""
    import asyncio

    await asyncio.sleep(0)
    print("fetched", n)
'''
MODELS = """
import oneoff
from pydantic import BaseModel

admin = oneoff.App("models")


class Address(BaseModel):
    street: str
    number: int


@admin.task
def move(address: Address) -> None:
    print("to", address.street, address.number + 1)
"""
OWN_CLI = """
import click

from shop.admin import admin

cli = admin.cli()


@click.group()
@click.pass_context
def manage(ctx: click.Context) -> None:
    ctx.obj = {"the app's": "own"}


@manage.command()
def other() -> None:
    click.echo("another command of the app")


manage.add_command(cli, "admin")
"""


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """A project with an app, a database of three users, settings and a CLI of its own."""
    root = tmp_path / "läden und 店"
    (root / "shop" / "sub").mkdir(parents=True)
    (root / "shop" / "__init__.py").touch()
    (root / "shop" / "admin.py").write_text(ADMIN, encoding="utf-8")
    (root / "shop" / "models.py").write_text(MODELS, encoding="utf-8")
    (root / "shop" / "manage.py").write_text(OWN_CLI, encoding="utf-8")
    (root / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    connection = sqlite3.connect(root / "shop" / "shop.db")
    connection.executescript(
        "CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1),(2),(3)"
    )
    connection.close()
    return Project(root)


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """An empty folder."""
    return Project(tmp_path)
