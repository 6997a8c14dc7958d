"""A Django project in this process, whose aliases each test names anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.local import Local
from django.conf import settings
from django.db import connections, models

from oneoff.databases.handles import Databases
from oneoff.databases.together import Together
from oneoff.errors import DryRunStopped
from tests.integration.databases import fingerprint
from tests.postgres import Server

if not settings.configured:
    settings.configure(USE_TZ=True, DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}})
    django.setup()

_SCHEMA = (
    "CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, balance int NOT NULL DEFAULT 0)",
    "INSERT INTO account VALUES (1, 'Ann', 1), (2, 'Bob', 2), (3, 'Cid', 3)",
)


class Account(models.Model):  # type: ignore[misc]  # Django has no types
    id = models.IntegerField(primary_key=True)
    name = models.TextField()
    balance = models.IntegerField(default=0)

    class Meta:
        app_label = "shop"
        db_table = "account"
        managed = False


@dataclass(kw_only=True)
class Project:
    """``default`` and ``reports`` are two databases, and ``replica`` is ``default`` by another name."""

    vendor: str
    aliases: dict[str, dict[str, Any]]
    server: Server
    cleanup: ExitStack = field(default_factory=ExitStack)

    def fingerprint(self) -> Any:
        if self.vendor == "sqlite":
            files = {alias["NAME"] for alias in self.aliases.values()}
            return {file: fingerprint.of_sqlite(Path(file))[:2] for file in files}
        names = {alias["NAME"] for alias in self.aliases.values()}
        return {name: fingerprint.of_postgres(self.server, name) for name in names}

    def dry(self, task: Any, handle: Any = ("default", "replica", "reports")) -> Together:
        """Run a task sealed; its own error does not matter here."""
        seal = Databases().seal(handle)
        try:
            with seal:
                task()
        except (Exception, DryRunStopped):
            pass
        return seal


@pytest.fixture(params=["sqlite", "postgresql"])
def project(request: pytest.FixtureRequest, postgres: Server, tmp_path: Path) -> Iterator[Project]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            default, reports = (_sqlite(tmp_path / f"{name}.db") for name in ("default", "reports"))
        else:
            default, reports = (_postgres(postgres, stack) for _ in range(2))
        aliases = {"default": default, "replica": dict(default), "reports": reports}
        stack.enter_context(named(aliases))
        yield Project(vendor=request.param, aliases=aliases, server=postgres)


@contextmanager
def named(aliases: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Django has these aliases in the block."""
    before = connections.settings
    connections.settings = connections.configure_settings({name: dict(of) for name, of in aliases.items()})
    connections._connections = Local(connections.thread_critical)
    try:
        yield
    finally:
        connections.close_all()
        connections.settings = before
        connections._connections = Local(connections.thread_critical)


def _sqlite(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.commit()
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}


def _postgres(server: Server, stack: ExitStack) -> dict[str, Any]:
    name = stack.enter_context(server.database())
    server.execute(*_SCHEMA, database=name)
    engine = "django.db.backends.postgresql"
    return {"ENGINE": engine, "NAME": name, "USER": "postgres", "HOST": str(server.socket)}
