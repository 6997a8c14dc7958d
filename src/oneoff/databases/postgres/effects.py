"""What a sealed transaction has done so far, as the server itself tells it from inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import errors, pq

from oneoff.databases.postgres.net import SETTINGS, NetRows, gross
from oneoff.databases.postgres.session import Row, ask, next_result, one_line, sql
from oneoff.dryrun.measure import Counted, Measure
from oneoff.dryrun.report import Lock, RowSample, TableEffect

EXACT = (
    "exact net changes by primary key (of a table without one: by whole rows), triggers and cascades"
    " included; work that was rolled back, and rows updated to the values that they had, are no change"
)
GROSS = (
    "as the server counted them (pg_stat_xact_user_tables), triggers and cascades included; work that the"
    " task itself rolled back is counted too"
)
NOT_COUNTED = "not measured: the server does not count rows (track_counts is off)"
_NO_READERS, _MAY_WRITE = 8, 3
_BLOCKS = {
    "RowShareLock": "whoever alters it; the rows that were locked keep their writers waiting",
    "RowExclusiveLock": "whoever alters it or builds an index; changed rows keep their writers waiting",
    "ShareUpdateExclusiveLock": "whoever alters it, and VACUUM",
    "ShareLock": "every writer",
    "ShareRowExclusiveLock": "every writer",
    "ExclusiveLock": "every writer",
    "AccessExclusiveLock": "every reader and every writer",
}
"""Source: https://www.postgresql.org/docs/current/explicit-locking.html"""

Schema = dict[str, Row]
Sequences = dict[str, Row]


@dataclass(kw_only=True)
class Effects:
    """What was measured at the end of a transaction."""

    tables: dict[str, TableEffect] = field(default_factory=dict)
    """Partitions are added up under the table that they are of."""
    samples: dict[str, tuple[RowSample, ...]] = field(default_factory=dict)
    locks: list[Lock] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def add(self, counted: Counted, limit: int) -> None:
        """Take in what one table, or partition, has."""
        new = counted.effect
        old = self.tables.get(new.table, TableEffect(table=new.table))
        self.tables[new.table] = TableEffect(
            table=new.table,
            inserted=old.inserted + new.inserted,
            updated=old.updated + new.updated,
            deleted=old.deleted + new.deleted,
            note=old.note or new.note,
        )
        self.samples[new.table] = (self.samples.get(new.table, ()) + counted.samples)[:limit]


class Measuring:
    """Measures one open transaction. Nothing of the task's may run meanwhile.

    Args:
        pgconn: the transaction's connection.
        connect: opens another one to the same database.
        before: the schema as it was when the transaction began.
        counts: whether the server counts rows (``track_counts``).
    """

    def __init__(
        self, pgconn: Any, *, connect: Callable[[], Any], measure: Measure, before: Schema, counts: bool
    ) -> None:
        self._pgconn, self._connect = pgconn, connect
        self._measure, self._before, self._counts = measure, before, counts
        self._outside: Any = None

    def effects(self) -> Effects:
        """Raises psycopg.Error where the transaction itself is of no use any more."""
        found = Effects()
        try:
            for table in ask(self._pgconn, sql("touched")):
                self._lock(found, table)
                if table["kind"] == "f" and int(table["strength"] or 0) >= _MAY_WRITE:
                    found.gaps.append(f"foreign table {table['name']}: what it writes is in another server")
                elif table["kind"] == "r" and self._touched(table):
                    found.add(self._counted(table), self._measure.sample)
        finally:
            self._leave_outside()
        return found

    @staticmethod
    def _lock(found: Effects, table: Row) -> None:
        mode, name = str(table["lock"]), str(table["name"])
        lock = Lock(table=name, mode=mode, blocks=_BLOCKS[mode])
        if lock not in found.locks:  # the partitions of a table are told once
            found.locks.append(lock)

    def _touched(self, table: Row) -> bool:
        written = any(int(table[name] or 0) for name in ("inserted", "updated", "deleted"))
        return int(table["strength"] or 0) >= _MAY_WRITE and (written or not self._counts)

    def _counted(self, table: Row) -> Counted:
        why = self._obstacle(table)
        if why is None:
            ask(self._pgconn, b"SAVEPOINT _oneoff_measure; " + SETTINGS)
            try:
                return self._net(table)
            except errors.Error as error:
                self._leave_outside()
                _recover(self._pgconn)
                why = f"its rows could not be compared: {one_line(error)}"
            finally:
                ask(self._pgconn, b"ROLLBACK TO SAVEPOINT _oneoff_measure; RELEASE SAVEPOINT _oneoff_measure")
        return Counted(effect=gross(table, why))

    def _net(self, table: Row) -> Counted:
        if self._outside is None:
            self._outside = self._connect()
            ask(self._outside, b"BEGIN; " + SETTINGS.replace(b"SET LOCAL", b"SET") + b"; COMMIT")
        rows = NetRows(self._pgconn, self._outside, self._measure)
        return rows.count_new(table) if table["oid"] not in self._before else rows.count(table)

    def _obstacle(self, table: Row) -> str | None:
        """Why a table is not compared row by row, if it is not."""
        if not self._measure.rows:
            return "exact counts were not asked for"
        if table["readable"] != "t":
            return "the role may not read all of its rows"
        if table["oid"] not in self._before:
            return None
        if int(table["strength"] or 0) >= _NO_READERS:
            return "the task has locked it against readers (TRUNCATE, ALTER TABLE, LOCK)"
        if int(table["bytes"] or 0) > self._measure.scan_limit:
            return (
                f"it has {int(table['bytes'] or 0):,} bytes, and tables of more than"
                f" {self._measure.scan_limit:,} are not read through"
            )
        return None

    def _leave_outside(self) -> None:
        if self._outside is not None:
            self._outside.finish()
            self._outside = None


def _recover(pgconn: Any) -> None:
    """Make an end of a COPY that nobody reads any more."""
    if pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    pgconn.get_cancel().cancel()
    while (result := next_result(pgconn)) is not None:
        while result.status == pq.ExecStatus.COPY_OUT and pgconn.get_copy_data(0)[0] >= 0:
            continue


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
