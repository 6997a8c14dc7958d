"""A dry run in a Django project that knows nothing of oneoff, with no other configuration."""

from __future__ import annotations

import sqlite3
import sys

from tests.acceptance.frameworks.conftest import ages
from tests.cli import Project

LATE = """
from django.core.management.base import BaseCommand
from django.db import connections, transaction

from carts.models import Cart


class Command(BaseCommand):
    def handle(self, *args, **options):
        with transaction.atomic(durable=True):
            Cart.objects.all().delete()
        with connections["reports"].cursor() as cursor:
            cursor.execute("DELETE FROM report")
        self.stdout.write("all gone")
"""


def reports(project: Project) -> int:
    """How many rows the second database has."""
    connection = sqlite3.connect(project.root / "reports.sqlite3")
    (count,) = connection.execute("SELECT count(*) FROM report").fetchone()
    connection.close()
    return int(count)


def test_a_command_of_the_project(django: Project) -> None:
    """The real path runs, its question is answered, its own dry run is not taken, and nothing stays."""
    ended = django("run", "purge_carts", "--dry-run", "-o", "json")
    assert ended.code == 0, ended.err
    assert "deleted 2 of []" in ended.err and "its own dry run" not in ended.err
    report = ended.json["dry_run_report"]
    assert report["complete"] is True
    tables = [table for database in report["databases"] for table in database["tables"]]
    assert [(table["table"], table["deleted"]) for table in tables if table["deleted"]] == [("carts_cart", 2)]
    assert ages(django) == [1, 100, 200]


def test_it_asks_nobody(django: Project) -> None:
    """A question is answered yes, and the run's log says who answered."""
    ended = django("run", "ask", "--dry-run")
    assert ended.code == 0, ended.err
    assert "went on" in ended.out
    assert '"by":"dry run"' in ended.err


def test_every_alias_is_held(django: Project) -> None:
    """A command that writes to two databases writes to neither, and the report has both."""
    (django.root / "legacy" / "management" / "commands" / "late.py").write_text(LATE)
    ended = django("run", "late", "--dry-run", "-o", "json")
    assert ended.code == 0, ended.err
    deleted = {
        table["table"]: table["deleted"]
        for database in ended.json["dry_run_report"]["databases"]
        for table in database["tables"]
    }
    assert (deleted["carts_cart"], deleted["report"]) == (3, 2)
    assert (ages(django), reports(django)) == ([1, 100, 200], 2)


def test_by_manage_py(django: Project) -> None:
    """``manage.py oneoff run … --dry-run`` is the same, though Django had started before oneoff."""
    settings = django.root / "shop" / "settings.py"
    settings.write_text(settings.read_text() + 'INSTALLED_APPS.append("oneoff.contrib.django")\n')
    ended = django("oneoff", "run", "purge_carts", "--dry-run", program=(sys.executable, "manage.py"))
    assert ended.code == 0, ended.err
    assert "carts_cart" in ended.out
    assert ages(django) == [1, 100, 200]


HOOKED = LATE.replace(
    'self.stdout.write("all gone")',
    'transaction.on_commit(lambda: print("left after the commit:", Cart.objects.count()))',
)


def test_a_real_run_that_is_measured(django: Project) -> None:
    """Both databases commit at its end, and its hook is called then; where it goes too far, neither is."""
    command = django.root / "legacy" / "management" / "commands" / "late.py"
    command.write_text(HOOKED.replace("Cart.objects.all()", "Cart.objects.filter(age=1)"))
    expected = django("run", "late", "--dry-run", "-o", "json").json["id"]
    command.write_text(HOOKED)
    ended = django("run", "late", "--yes", "--expect", expected)
    assert ended.code == 1
    assert "left after the commit" not in ended.out
    assert (ages(django), reports(django)) == ([1, 100, 200], 2)
    ended = django("run", "late", "--yes", "--effects", "-o", "json")
    assert ended.code == 0, ended.err
    assert "left after the commit: 0" in ended.err
    assert ended.json["effects_report"]["committed"] is True
    assert (ages(django), reports(django)) == ([], 0)
