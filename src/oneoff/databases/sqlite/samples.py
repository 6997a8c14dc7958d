"""Some of the rows that two SQLite files differ in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from itertools import chain, islice, zip_longest
from pathlib import Path

from oneoff.databases.sqlite.compare import (
    AFTER,
    BEFORE,
    Table,
    both,
    describe,
    differs,
    equal,
    join_key,
    quoted,
)
from oneoff.dryrun.measure import Measure, Values, sampled
from oneoff.dryrun.report import RowSample, TableEffect
from oneoff.types import JSON

_Pair = tuple[Values | None, Values | None]


def samples(
    before: Path, after: Path, effects: Iterable[TableEffect], measure: Measure
) -> tuple[RowSample, ...]:
    """At most as many of each table as ``measure`` says, of each kind of change in turn."""
    found: list[RowSample] = []
    if measure.sample:
        with closing(both(before, after)) as connection:
            for effect in effects:
                found += _of_table(connection, effect, measure)
    return tuple(found)


def _of_table(connection: sqlite3.Connection, effect: TableEffect, measure: Measure) -> Iterator[RowSample]:
    was, is_ = (_there(connection, database, effect.table) for database in (BEFORE, AFTER))
    joined = join_key(connection, effect.table, was, is_) if was and is_ else None
    table = is_ or was
    key = joined or (table and (table.key or tuple(filter(None, [table.rowid])))) or ()
    kinds: list[Iterator[_Pair]] = []
    if is_ and effect.inserted:
        kinds.append(
            (None, row) for row in _missing(connection, effect.table, is_, (AFTER, BEFORE), joined, key)
        )
    if was and is_ and joined and effect.updated:
        kinds.append(_updated(connection, effect.table, was, is_, joined))
    if was and effect.deleted:
        kinds.append(
            (row, None) for row in _missing(connection, effect.table, was, (BEFORE, AFTER), joined, key)
        )
    turns = (pair for pair in chain.from_iterable(zip_longest(*kinds)) if pair is not None)
    for old, new in islice(turns, measure.sample):
        yield sampled(measure, effect.table, key, old, new)


def _there(connection: sqlite3.Connection, database: str, name: str) -> Table | None:
    found = describe(connection, database, name)
    return found if found.columns else None


def _missing(
    connection: sqlite3.Connection,
    name: str,
    table: Table,
    databases: tuple[str, str],
    joined: tuple[str, ...] | None,
    key: tuple[str, ...],
) -> Iterator[Values]:
    """Rows of the first database that the second has not."""
    columns = tuple(dict.fromkeys((*key, *table.columns)))
    there, not_there = databases
    where = ""
    if joined:
        other = f"SELECT 1 FROM {not_there}.{quoted(name)} o WHERE {equal(joined)}"
        where = f" WHERE NOT EXISTS ({other})"
    query = f"SELECT {_listed('n', columns)} FROM {there}.{quoted(name)} n{where}"
    for row in connection.execute(query):
        yield _values(columns, row)


def _updated(
    connection: sqlite3.Connection, name: str, was: Table, is_: Table, key: tuple[str, ...]
) -> Iterator[_Pair]:
    old, new = (tuple(dict.fromkeys((*key, *table.columns))) for table in (was, is_))
    query = (
        f"SELECT {_listed('o', old)}, {_listed('n', new)}"
        f" FROM {AFTER}.{quoted(name)} n JOIN {BEFORE}.{quoted(name)} o ON {equal(key)}"
        f" WHERE {differs(was, is_, key)}"
    )
    for row in connection.execute(query):
        yield _values(old, row[: len(old)]), _values(new, row[len(old) :])


def _listed(table: str, columns: tuple[str, ...]) -> str:
    return ", ".join(f"{table}.{quoted(column)}" for column in columns)


def _values(columns: tuple[str, ...], row: tuple[object, ...]) -> Values:
    return {column: _json(value) for column, value in zip(columns, row, strict=True)}


def _json(value: object) -> JSON:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return value if value is None or isinstance(value, int | str) else _number(value)


def _number(value: object) -> JSON:
    with suppress(ValueError, TypeError):
        if isinstance(value, float) and abs(value) != float("inf"):
            return value
    return str(value)
