"""The database: SQLite in the data folder, or whatever ``FLIGHTS_DATABASE_URL`` names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event

DATA = Path(__file__).resolve().parent.parent / "data"


def connect(url: str) -> Engine:
    """An engine for ``url``; a new SQLite file gets its folder, and SQLite looks at foreign keys."""
    new = create_engine(url)
    if new.dialect.name == "sqlite":
        if new.url.database and new.url.database != ":memory:":
            Path(new.url.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(new, "connect", _check_foreign_keys)
    return new


def _check_foreign_keys(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


engine = connect(os.environ.get("FLIGHTS_DATABASE_URL") or f"sqlite:///{DATA / 'flights.db'}")
