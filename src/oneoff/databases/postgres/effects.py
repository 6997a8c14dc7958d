"""What a sealed transaction has done so far, as the server itself tells it from inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import errors

from oneoff.databases.postgres.session import Row, ask, sql
from oneoff.dryrun.report import TableEffect

COUNTING = (
    "as the server counted them in the sealed transaction (pg_stat_xact_user_tables), triggers and cascades"
    " included; work that the task itself rolled back or did not commit is counted too"
)
NOT_COUNTED = "not measured: the server does not count rows (track_counts is off)"

Schema = dict[str, Row]
Sequences = dict[str, Row]


def rows(pgconn: Any) -> tuple[TableEffect, ...]:
    """Rows per table. Raises psycopg.Error."""
    return tuple(
        TableEffect(
            table=str(row["name"]),
            inserted=int(row["inserted"] or 0),
            updated=int(row["updated"] or 0),
            deleted=int(row["deleted"] or 0),
        )
        for row in ask(pgconn, sql("rows"))
    )


def schema(pgconn: Any) -> Schema:
    """Every relation by its number. Raises psycopg.Error."""
    return {str(row["oid"]): row for row in ask(pgconn, sql("schema"))}


def sequences(pgconn: Any) -> Sequences:
    """Every sequence by its number. To be read outside of the sealed transaction, which sees its own undone
    restarts, and would hold a lock on each. Raises psycopg.Error."""
    return {str(row["oid"]): row for row in ask(pgconn, sql("sequences"))}


def sequence_moves(pgconn: Any, before: Sequences, after: Sequences) -> Iterator[str]:
    """The sequences that this session has moved, in words; others may have moved them further meanwhile."""
    for oid, old in before.items():
        was, is_ = (row["last_value"] or "its start" for row in (old, after.get(oid, old)))
        if was != is_ and _drawn(pgconn, oid):
            yield f"sequence {old['name']} moved from {was} to {is_}, and stays there after this dry run"


def _drawn(pgconn: Any, sequence: str) -> bool:
    try:
        ask(pgconn, sql("drawn"), sequence.encode())
    except errors.ObjectNotInPrerequisiteState:
        return False
    return True


def schema_changes(before: Schema, after: Schema) -> tuple[str, ...]:
    """What was created, dropped, renamed, altered or emptied, in words."""
    return tuple(_changes(before, after))


def _changes(before: Schema, after: Schema) -> Iterator[str]:
    for row in _only_in(before, after):
        yield f"dropped {row['kind']} {row['name']}{_about(row)}"
    for row in _only_in(after, before):
        yield f"created {row['kind']} {row['name']}"
    for oid, old in before.items():
        new = after.get(oid)
        if new is None:
            continue
        if old["name"] != new["name"]:
            yield f"renamed {old['kind']} {old['name']} to {new['name']}"
        if old["definition"] != new["definition"]:
            yield f"altered {new['kind']} {new['name']}"
        if old["storage"] != new["storage"] and new["kind"] in ("table", "materialized view"):
            yield f"emptied or rewrote {new['kind']} {new['name']}{_about(old)}"


def _only_in(some: Schema, others: Schema) -> Sequence[Row]:
    return [row for oid, row in some.items() if oid not in others]


def _about(row: Row) -> str:
    count = int(row["rows"] or 0)
    return f" (about {count:,} rows before, by the server's estimate)" if count else ""
