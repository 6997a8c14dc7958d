"""The exact net difference of two SQLite files, table by table and by key.

Its SQL is made here and not kept in files: names of tables and columns cannot be bound as parameters, and
which columns there are to compare is known only once both files are open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from oneoff.databases.sqlite.connections import plain
from oneoff.databases.sqlite.places import read_only
from oneoff.dryrun.report import TableEffect

_ROWID_NAMES = ("rowid", "_rowid_", "oid")
BEFORE, AFTER = "before", "main"
_INTERNAL = {
    "sqlite_sequence": "the next numbers of AUTOINCREMENT",
    "sqlite_stat1": "what ANALYZE found",
    "sqlite_stat4": "what ANALYZE found",
}
"""Tables that SQLite keeps for itself: https://www.sqlite.org/fileformat2.html#internal_schema_objects"""
_SETTINGS = ("user_version", "application_id", "journal_mode", "auto_vacuum", "page_size", "encoding")
"""Pragmas that are kept in the file: https://www.sqlite.org/fileformat2.html#the_database_header"""

Schema = dict[tuple[str, str], str]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What is different in the second file."""

    tables: tuple[TableEffect, ...] = ()
    schema_changes: tuple[str, ...] = ()
    other_changes: tuple[str, ...] = ()
    """Virtual tables, what SQLite keeps for itself, and lasting settings."""
    not_compared: tuple[str, ...] = ()
    """Tables whose rows could not be compared, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What is needed to compare the rows of one table."""

    columns: dict[str, str]
    """Stored columns and their default, as an SQL expression."""
    key: tuple[str, ...]
    """The declared primary key, empty where there is none."""
    rowid: str | None
    """A name by which the rowid can be asked for; None WITHOUT ROWID."""


def compare(before: Path, after: Path) -> Difference:
    """Compare two closed files. Raises sqlite3.Error where one cannot be read."""
    if unchanged(before, after):
        return Difference()
    with closing(both(before, after)) as connection:
        old, new = _schema(connection, BEFORE), _schema(connection, AFTER)
        effects, skipped = [], []
        for name in sorted(_tables(connection, BEFORE, old) | _tables(connection, AFTER, new)):
            try:
                effects.append(_rows(connection, name, old, new))
            except sqlite3.Error as error:  # a collation or a function that only the app has
                skipped.append(f"rows of table {name} could not be compared: {error}")
        return Difference(
            tables=tuple(effect for effect in effects if effect.changed),
            schema_changes=tuple(_schema_changes(old, new)),
            other_changes=(
                *_virtual_changes(connection, old, new),
                *_internal_changes(connection),
                *_setting_changes(before, after),
            ),
            not_compared=tuple(skipped),
        )


def both(before: Path, after: Path) -> sqlite3.Connection:
    """One connection that reads the two files, as :data:`BEFORE` and :data:`AFTER`."""
    connection = plain(read_only(str(after)))
    connection.execute(f"ATTACH ? AS {BEFORE}", (read_only(str(before)),))
    return connection


def unchanged(before: Path, after: Path) -> bool:
    """Whether nobody has written to the copy since it was made, by its time."""
    wal = after.with_name(after.name + "-wal")
    return (
        before.stat().st_mtime_ns == after.stat().st_mtime_ns
        and before.stat().st_size == after.stat().st_size
        and not (wal.exists() and wal.stat().st_size)
    )


def _schema(connection: sqlite3.Connection, database: str) -> Schema:
    rows = connection.execute(
        f"SELECT type, name, sql FROM {database}.sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return {(kind, name): sql or "" for kind, name, sql in rows}


def _tables(connection: sqlite3.Connection, database: str, schema: Schema) -> set[str]:
    """The tables with rows of their own: virtual tables and the tables they are stored in are left out."""
    ordinary = {name for kind, name in schema if kind == "table"}
    return ordinary - _virtual(schema) - _shadows(connection, database, schema)


def _virtual(schema: Schema) -> set[str]:
    return {
        name
        for (kind, name), sql in schema.items()
        if kind == "table" and sql.upper().startswith("CREATE VIRTUAL")
    }


def _shadows(connection: sqlite3.Connection, database: str, schema: Schema) -> set[str]:
    if sqlite3.sqlite_version_info < (3, 37):  # no PRAGMA table_list: by name, as the modules make them
        virtual = _virtual(schema)
        return {name for kind, name in schema if any(name.startswith(f"{one}_") for one in virtual)}
    return {row[1] for row in connection.execute(f"PRAGMA {database}.table_list") if row[2] == "shadow"}


def _schema_changes(old: Schema, new: Schema) -> Iterator[str]:
    for kind, name in sorted(old.keys() - new.keys()):
        yield f"dropped {kind} {name}"
    for kind, name in sorted(new.keys() - old.keys()):
        yield f"created {kind} {name}"
    for kind, name in sorted(old.keys() & new.keys()):
        if old[kind, name] != new[kind, name]:
            yield f"altered {kind} {name}"


def _virtual_changes(connection: sqlite3.Connection, old: Schema, new: Schema) -> Iterator[str]:
    """Their rows are the module's own affair; that the tables they are stored in have changed is not."""
    virtual = _virtual(old) & _virtual(new)
    stored = _shadows(connection, BEFORE, old) | _shadows(connection, AFTER, new)
    changed = {_owner(name, virtual) for name in stored if _contentdiffers(connection, name)}
    yield from (f"virtual table {name}: changed, its rows are not counted" for name in sorted(changed - {""}))


def _owner(shadow: str, virtual: set[str]) -> str:
    """The virtual table that a shadow table belongs to: its name, an underscore and more is the rule."""
    return max((name for name in virtual if shadow.startswith(f"{name}_")), key=len, default="")


def _internal_changes(connection: sqlite3.Connection) -> Iterator[str]:
    for name, meaning in _INTERNAL.items():
        if _contentdiffers(connection, name):
            yield f"{name}: changed ({meaning})"


def _setting_changes(before: Path, after: Path) -> Iterator[str]:
    old, new = _settings(before), _settings(after)
    yield from (f"{name}: {old[name]} -> {new[name]}" for name in _SETTINGS if old[name] != new[name])


def _settings(path: Path) -> dict[str, object]:
    """Asked of the file alone: an attached one answers some of these for the main one."""
    with closing(plain(read_only(str(path)))) as connection:
        connection.execute("SELECT 1 FROM sqlite_master")  # before it is read it has no journal mode
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _SETTINGS}


def _contentdiffers(connection: sqlite3.Connection, name: str) -> bool:
    """Whether a table holds other rows than before; one that is not there holds none."""
    there = [database for database in (BEFORE, AFTER) if _exists(connection, database, name)]
    counts = {_count(connection, database, name) for database in there}
    if len(there) < 2:
        return bool(counts - {0})
    other = f"SELECT * FROM {AFTER}.{quoted(name)} EXCEPT SELECT * FROM {BEFORE}.{quoted(name)}"
    return len(counts) > 1 or bool(connection.execute(f"{other} LIMIT 1").fetchone())


def _exists(connection: sqlite3.Connection, database: str, name: str) -> bool:
    query = f"SELECT 1 FROM {database}.sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (name,)).fetchone() is not None


def _rows(connection: sqlite3.Connection, name: str, old: Schema, new: Schema) -> TableEffect:
    rows_before = _count(connection, BEFORE, name) if ("table", name) in old else 0
    rows_after = _count(connection, AFTER, name) if ("table", name) in new else 0
    if not rows_before or not rows_after:
        return TableEffect(table=name, inserted=rows_after, deleted=rows_before)
    was, is_ = describe(connection, BEFORE, name), describe(connection, AFTER, name)
    key = join_key(connection, name, was, is_)
    if key is None:
        return TableEffect(table=name, inserted=rows_after, deleted=rows_before)
    kept, updated = connection.execute(
        f"SELECT count(*), coalesce(sum({differs(was, is_, key)}), 0)"
        f" FROM {AFTER}.{quoted(name)} n JOIN {BEFORE}.{quoted(name)} o ON {equal(key)}"
    ).fetchone()
    return TableEffect(table=name, inserted=rows_after - kept, updated=updated, deleted=rows_before - kept)


def _count(connection: sqlite3.Connection, database: str, name: str) -> int:
    (rows,) = connection.execute(f"SELECT count(*) FROM {database}.{quoted(name)}").fetchone()
    return int(rows)


def describe(connection: sqlite3.Connection, database: str, name: str) -> Table:
    """What one of the two files says of a table."""
    info = connection.execute(f"PRAGMA {database}.table_info({quoted(name)})").fetchall()
    columns = {column: default or "NULL" for _, column, _, _, default, _ in info}
    key = tuple(row[1] for row in sorted(info, key=lambda row: row[5]) if row[5])
    taken = {column.lower() for column in columns}
    rowid = next((alias for alias in _ROWID_NAMES if alias not in taken), None)
    if rowid:
        try:
            connection.execute(f"SELECT {rowid} FROM {database}.{quoted(name)} LIMIT 0")
        except sqlite3.OperationalError:
            rowid = None
    return Table(columns=columns, key=key, rowid=rowid)


def join_key(connection: sqlite3.Connection, name: str, was: Table, is_: Table) -> tuple[str, ...] | None:
    """By which columns a row is the same row before and after; None where nothing says so."""
    if was.key and was.key == is_.key and not _null_keys(connection, name, is_):
        return was.key
    return (is_.rowid,) if is_.rowid and is_.rowid == was.rowid else None


def equal(key: tuple[str, ...]) -> str:
    """An SQL condition: whether ``n`` and ``o`` are the same row."""
    return " AND ".join(f"n.{quoted(column)} = o.{quoted(column)}" for column in key)


def _null_keys(connection: sqlite3.Connection, name: str, table: Table) -> bool:
    """SQLite lets a primary key of a rowid table hold NULL, and any number of them."""
    if table.rowid is None:
        return False
    null = " OR ".join(f"{quoted(column)} IS NULL" for column in table.key)
    return any(
        connection.execute(f"SELECT 1 FROM {database}.{quoted(name)} WHERE {null} LIMIT 1").fetchone()
        for database in (BEFORE, AFTER)
    )


def differs(was: Table, is_: Table, key: tuple[str, ...]) -> str:
    """An SQL condition: whether a row holds other values than before.

    A column that was added is compared with its default. ``COLLATE BINARY``, because a column's own collation
    may call two different texts equal.
    """
    tests = []
    for column, default in is_.columns.items():
        before = f"o.{quoted(column)}" if column in was.columns else f"({default})"
        tests.append(f"n.{quoted(column)} IS NOT {before} COLLATE BINARY")
    return " OR ".join(tests) or "0"


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever it is."""
    return '"' + name.replace('"', '""') + '"'
