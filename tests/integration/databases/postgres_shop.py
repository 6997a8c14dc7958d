"""An app over a real PostgreSQL, for what a sealed dry run has to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from oneoff.databases.handles import Databases
from oneoff.dryrun.report import DatabaseReport
from oneoff.errors import DryRunStopped
from tests.integration.databases import fingerprint
from tests.integration.databases.seen import everything
from tests.postgres import Server

_SCHEMA = (
    "CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, balance int NOT NULL DEFAULT 0)",
    "INSERT INTO account SELECT n, 'name ' || n, n FROM generate_series(1, 20) n",
)
WRITE = "UPDATE account SET balance = balance + 1000"


@dataclass(frozen=True, kw_only=True)
class Shop:
    """An app with its database."""

    server: Server
    database: str
    url: str
    engine: sa.Engine
    opened: list[psycopg.Connection[Any]] = field(default_factory=list)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection that the task itself may forget to close."""
        self.opened.append(psycopg.connect(self.url, **options))
        return self.opened[-1]

    def fingerprint(self) -> Any:
        return fingerprint.of_postgres(self.server, self.database)


@pytest.fixture
def shop(postgres: Server) -> Iterator[Shop]:
    with postgres.database() as name:
        postgres.execute(*_SCHEMA, database=name)
        url = postgres.url(name)
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        try:
            shop = Shop(server=postgres, database=name, url=url, engine=engine)
            yield shop
            for connection in shop.opened:
                connection.close()
        finally:
            engine.dispose()


def dry(shop: Shop, task: Callable[[Shop], None]) -> DatabaseReport:
    """Run a task sealed, as a run would: its own error does not matter here, what it leaves behind does."""
    seal = Databases().seal(shop.engine)
    try:
        with seal:
            task(shop)
    except (Exception, DryRunStopped):
        pass
    return everything(seal)
