"""A whole database as one value, taken from outside of any dry run."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from oneoff.dryrun.report import TableEffect
from tests.postgres import Server

Dump = dict[str, dict[Any, Any]]
"""Rows by key, per table."""


def of_postgres(server: Server, database: str) -> Any:
    """Every row of every table, and every column, index and function there is."""
    tables = server.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " ORDER BY 1",
        database=database,
    )
    schema = server.execute(
        "SELECT relname::text, relkind::text, attname::text"
        " FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace AND attnum > 0"
        " UNION ALL SELECT proname::text, 'function', '' FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2, 3",
        database=database,
    )
    rows = {
        name: server.execute(f'SELECT t::text FROM public."{name}" t ORDER BY 1', database=database)
        for (name,) in tables
    }
    return schema, rows


def of_sqlite(path: Path) -> tuple[str, str, list[str]]:
    """The file's bytes, what is in it, and which files stand beside it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        content = hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()
    return (
        hashlib.sha256(path.read_bytes()).hexdigest(),
        content,
        sorted(file.name for file in path.parent.iterdir()),
    )


def difference(before: Dump, after: Dump) -> set[TableEffect]:
    """The net changes per table between two dumps, by key."""
    effects = set()
    for table in before.keys() | after.keys():
        old, new = before.get(table, {}), after.get(table, {})
        effect = TableEffect(
            table=table,
            inserted=len(new.keys() - old.keys()),
            updated=sum(1 for key in old.keys() & new.keys() if old[key] != new[key]),
            deleted=len(old.keys() - new.keys()),
        )
        if effect.changed:
            effects.add(effect)
    return effects
