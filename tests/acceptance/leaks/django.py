"""Ways to write by Django, whose aliases are the declared databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections, transaction
from psycopg.conninfo import conninfo_to_dict

from tests.acceptance.leaks.way import Ends, Group, Held, Place, Way, held_by
from tests.integration.databases.django_shop import Account, named

ALIASES = ("default", "replica", "reports")


@contextmanager
def aliases(at: Place) -> Iterator[tuple[str, ...]]:
    """``reports`` is the second database, and ``replica`` is ``default`` by another name."""
    with named({"default": _alias(at.database), "replica": _alias(at.database), "reports": _alias(at.other)}):
        yield ALIASES


def _alias(url: str) -> dict[str, Any]:
    given = conninfo_to_dict(url)
    engine = "django.db.backends.postgresql"
    return {"ENGINE": engine, "NAME": given["dbname"], "USER": given["user"], "HOST": given["host"]}


def _orm(at: Place) -> None:
    Account.objects.update(balance=0)


def _nested(at: Place) -> None:
    with transaction.atomic(), transaction.atomic():
        Account.objects.select_for_update().filter(id=1).first().delete()


def _durable(at: Place) -> None:
    with transaction.atomic(durable=True):
        _orm(at)


def _autocommit_off(at: Place) -> None:
    transaction.set_autocommit(False)
    _orm(at)
    transaction.commit()
    transaction.set_autocommit(True)


def _driver_commit(at: Place) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE account SET balance = 0")
    connection.connection.commit()


def _second_alias(at: Place) -> None:
    with connections["reports"].cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1)")


def _same_database(at: Place) -> None:
    Account.objects.using("replica").update(balance=0)


def _thread(at: Place) -> None:
    def work() -> None:
        _orm(at)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _hook(at: Place) -> None:
    with transaction.atomic():
        _orm(at)
        transaction.on_commit(_told)


def _told() -> None:
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY leaks")


def _raw_commit(at: Place) -> None:
    _orm(at)
    with connection.cursor() as cursor:
        cursor.execute("COMMIT")


DJANGO = Group(
    title="Django",
    database="django",
    ways=(
        *held_by(
            Held.SEALED,
            Ends.UNDONE,
            Way("orm", "the ORM", _orm, "account"),
            Way("atomic", "nested `atomic()`, `select_for_update`", _nested, "account"),
            Way("durable", "`atomic(durable=True)`", _durable, "account"),
            Way("set-autocommit", "`set_autocommit` and `transaction.commit()`", _autocommit_off, "account"),
            Way("django-driver-commit", "the driver's own `commit()`", _driver_commit, "account"),
            Way("second-alias", "a second alias", _second_alias, '"t"'),
            Way("same-database", "an alias of the same database", _same_database, "account"),
            Way("django-thread", "another thread", _thread, "account"),
            Way("on-commit", "a hook of `transaction.on_commit`", _hook, "account"),
        ),
        *held_by(
            Held.SEALED,
            Ends.STOPPED,
            Way("django-raw-commit", "`COMMIT` by a cursor", _raw_commit, "ended the transaction by itself"),
        ),
    ),
)
