"""Projects as they are found in the wild, that know nothing of oneoff: Django's, Flask's, plain Click."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli import Project

MANAGE = """
import os
import sys


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps"))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
"""
SETTINGS = """
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent
SECRET_KEY = "not one"
INSTALLED_APPS = ["carts", "legacy", "django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "shop.sqlite3"},
    "reports": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "reports.sqlite3"},
}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
MODELS = """
from django.db import models


class Cart(models.Model):
    age = models.IntegerField()
"""
PURGE = """
from django.core.management.base import BaseCommand, CommandError

from carts.models import Cart


class Command(BaseCommand):
    help = "Delete the carts that nobody has touched for long."

    def add_arguments(self, parser):
        parser.add_argument("shops", nargs="*", type=int, help="only the carts of these shops")
        parser.add_argument("--days", type=int, default=90, help="older than this")
        parser.add_argument("--noinput", "--no-input", action="store_false", dest="interactive")
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *args, **options):
        if options["dry_run"]:
            self.stdout.write("its own dry run")
            return
        if options["interactive"] and input("Are you sure? ") != "yes":
            raise CommandError("not sure")
        if options["days"] < 0:
            raise CommandError("days are never negative", returncode=4)
        count, _ = Cart.objects.filter(age__gt=options["days"]).delete()
        self.stdout.write(f"deleted {count} of {options['shops']}")
"""
ASK = """
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def handle(self, *args, **options):
        self.ask()
        self.stdout.write("went on")

    def ask(self):
        if input("Rebuild it all? Type 'yes' to go on: ") != "yes":
            raise SystemExit(9)
"""
FLASK = """
import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Cart(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    age = db.Column(db.Integer)


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{app.root_path}/../shop.sqlite3"
    db.init_app(app)
    app.cli.add_command(purge_carts)
    app.cli.add_command(users)
    return app


@click.command()
@click.argument("shops", nargs=-1, type=int)
@click.option("--days", type=int, default=90, help="Older than this.")
@click.option("--dry-run", is_flag=True)
@with_appcontext
def purge_carts(shops, days, dry_run):
    \"\"\"Delete the carts that nobody has touched for long.\"\"\"
    if dry_run:
        click.echo("its own dry run")
        return
    click.confirm("This deletes carts. Continue?", abort=True)
    count = db.session.execute(db.delete(Cart).where(Cart.age > days)).rowcount
    db.session.commit()
    click.echo(f"deleted {count} of {shops} in {current_app.name}")


@click.group()
def users():
    pass


@users.command()
def report():
    \"\"\"Say how many there are.\"\"\"
    click.echo("nobody")
"""
CLICK = """
import click
import sqlalchemy as sa

engine = sa.create_engine("sqlite:///shop.sqlite3")


@click.group()
def cli():
    \"\"\"Admin CLI for MyApp\"\"\"


@cli.command()
@click.option('--dry-run', is_flag=True, help='Show what would be done')
def migrate_data(dry_run):
    \"\"\"Migrate data to new schema\"\"\"
    if dry_run:
        click.echo("DRY RUN: Would migrate the following:")
    else:
        click.confirm('This will migrate production data. Continue?', abort=True)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE carts_cart SET age = age + 1"))
        click.echo("Migration complete")


@cli.command()
@click.option("--what", default="the cache")
def ask(what):
    question = getattr(click, "confirm")
    question(f"Clear {what}?", abort=True)
    click.echo(f"cleared {what}")


@cli.group()
def db():
    pass


@db.command()
@click.argument("target", default="head")
def upgrade(target):
    \"\"\"Bring the schema up to date.\"\"\"
    click.echo(f"at {target}")


if __name__ == '__main__':
    cli()
"""


def write(root: Path, files: Mapping[str, str]) -> Project:
    """A project with these files, and a database of three carts."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    connection = sqlite3.connect(root / "shop.sqlite3")
    for table in ("carts_cart", "cart"):
        connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, age INTEGER NOT NULL)")
        connection.execute(f"INSERT INTO {table} (age) VALUES (1), (100), (200)")
    connection.commit()
    connection.close()
    return Project(root)


def ages(project: Project, table: str = "carts_cart") -> list[int]:
    """What the database holds."""
    connection = sqlite3.connect(project.root / "shop.sqlite3")
    found = [age for (age,) in connection.execute(f"SELECT age FROM {table} ORDER BY age")]
    connection.close()
    return found


def commands(app: str, **modules: str) -> dict[str, str]:
    """The files of a Django app with these management commands."""
    folders = (app, f"{app}/management", f"{app}/management/commands")
    files = {f"{folder}/__init__.py": "" for folder in folders}
    return files | {f"{app}/management/commands/{name}.py": text for name, text in modules.items()}


@pytest.fixture
def django(tmp_path: Path) -> Project:
    """A Django project: two apps of its own, of which one is found only by what manage.py does."""
    project = write(
        tmp_path / "a shop",
        {"manage.py": MANAGE, "shop/__init__.py": "", "shop/settings.py": SETTINGS}
        | {"apps/carts/models.py": MODELS}
        | commands("apps/carts", purge_carts=PURGE)
        | commands("legacy", purge_carts=ASK, ask=ASK),
    )
    connection = sqlite3.connect(project.root / "reports.sqlite3")
    connection.executescript(
        "CREATE TABLE report (id INTEGER PRIMARY KEY); INSERT INTO report VALUES (1), (2)"
    )
    connection.close()
    return project


@pytest.fixture
def flask(tmp_path: Path) -> Project:
    """A Flask app made by a factory, whose database is known inside an app context alone."""
    wsgi = "from shop import create_app\n\napp = create_app()\n"
    return write(tmp_path / "a shop", {"shop/__init__.py": FLASK, "wsgi.py": wsgi})


@pytest.fixture
def clicked(tmp_path: Path) -> Project:
    """The usual admin CLI."""
    settings = '[tool.oneoff]\napp = "cli:cli"\n'
    return write(tmp_path / "a shop", {"cli.py": CLICK, "oneoff.toml": settings})
