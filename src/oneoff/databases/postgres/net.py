"""The net changes of an open transaction, row by row, as the server holds them.

What the transaction has written carries its number in ``xmin``, and only it sees that. What it has replaced
or deleted another connection still sees, and it does not. The two sets, joined by primary key, are the net
changes: work that was rolled back to a savepoint is in neither, and rows that others change meanwhile are
told apart by their transaction's status. Its SQL is made here, because names of tables cannot be bound.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest
from typing import Any

from psycopg import pq

from oneoff.databases.postgres.session import Row, ask, failed, next_result, wait
from oneoff.dryrun.measure import Counted, Measure, Values, sampled
from oneoff.dryrun.report import RowSample, TableEffect

SETTINGS = b"""
SET LOCAL search_path = pg_catalog; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres';
SET LOCAL TimeZone = 'UTC'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1;
SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0
"""
"""The same on both sides, so that equal values are equal texts."""
_BATCH = 20_000
_HEADER, _TAIL = 19, 22
"""Bytes of COPY's binary form: before the first row, and of a row's digest and place with their lengths.
Source: https://www.postgresql.org/docs/current/sql-copy.html"""

_Line = tuple[bytes, bytes]
"""A row's key, and the digest of its values with its place (ctid)."""
_Pair = tuple[int | None, int | None]
"""The places of a row before and after."""


@dataclass
class _Net:
    """What was found of one table so far."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    samples: dict[str, list[_Pair]] = field(
        default_factory=lambda: {"inserted": [], "updated": [], "deleted": []}
    )


class NetRows:
    """Counts the changes of an open transaction.

    Args:
        inside: its connection.
        outside: another one to the same database, in no transaction.
    """

    def __init__(self, inside: Any, outside: Any, measure: Measure) -> None:
        self._inside, self._outside, self._measure = inside, outside, measure
        start = ask(inside, b"SELECT pg_current_xact_id()::text AS id")[0]["id"]
        age = f"age('{start}'::xid8::xid)"
        status = f"pg_xact_status(({start} + {age} - age(xmin))::text::xid8)"
        self._own = f"age(xmin) <= {age} AND {status} = 'in progress'"

    def count(self, table: Row) -> Counted:
        """Of one table that others may read. Raises psycopg.Error."""
        address, key = str(table["address"]), _key(table)
        digest = _digest(json.loads(table["columns"] or "[]"))
        net = self._keyed(address, key, digest) if key else self._keyless(address, digest)
        effect = TableEffect(
            table=str(table["name"]), inserted=net.inserted, updated=net.updated, deleted=net.deleted
        )
        return Counted(effect=effect, samples=self._samples(table, key, net))

    def count_new(self, table: Row) -> Counted:
        """Of a table that the transaction has made: every row of it is new. Raises psycopg.Error."""
        address = str(table["address"])
        rows = int(ask(self._inside, f"SELECT count(*) AS n FROM ONLY {address}".encode())[0]["n"] or 0)
        net = _Net(inserted=rows)
        first = f"SELECT ctid::text AS place FROM ONLY {address} LIMIT {self._measure.sample}"
        net.samples["inserted"] = [
            (None, _packed(str(row["place"]))) for row in ask(self._inside, first.encode())
        ]
        effect = TableEffect(table=str(table["name"]), inserted=rows)
        return Counted(effect=effect, samples=self._samples(table, _key(table), net))

    def _keyed(self, address: str, key: Sequence[str], digest: str) -> _Net:
        columns = ", ".join(f"t.{_quoted(column)}" for column in key)
        by = f"({columns})::text" if len(key) == 1 else f"ROW({columns})::text"
        net, unmatched = _Net(), array("Q")
        for before, after in self._joined(address, f'{by} COLLATE "C" AS k, {digest}', lambda line: True):
            if before and after:
                if before[1][:8] != after[1][:8]:
                    net.updated += 1
                    self._sample(net, "updated", before, after)
            elif after:
                net.inserted += 1
                self._sample(net, "inserted", None, after)
            elif before:
                unmatched.append(_number(before[1]))
        for place in self._gone(address, unmatched):
            net.deleted += 1
            if len(net.samples["deleted"]) < self._measure.sample:
                net.samples["deleted"].append((place, None))
        return net

    def _keyless(self, address: str, digest: str) -> _Net:
        """Nothing says which row is which: they are compared as a bag of whole rows."""
        candidates = array("Q")
        places = self._lines(self._outside, address, "''::text AS k, 0::bigint", _REPLACED)
        candidates.extend(_number(line[1]) for line in places)
        gone = set(self._gone(address, candidates))
        net = _Net()
        whole = f"encode(sha256(convert_to(t::text, 'UTF8')), 'hex') COLLATE \"C\" AS k, {digest}"
        for before, after in self._joined(address, whole, lambda line: _number(line[1]) in gone):
            if before and not after:
                net.deleted += 1
                self._sample(net, "deleted", before, None)
            elif after and not before:
                net.inserted += 1
                self._sample(net, "inserted", None, after)
        return net

    def _joined(
        self, address: str, columns: str, wanted: Callable[[_Line], bool]
    ) -> Iterator[tuple[_Line | None, _Line | None]]:
        """Replaced and new versions, merged by key; both servers' processes sort at the same time."""
        before = filter(wanted, self._lines(self._outside, address, columns, _REPLACED))
        return _merged(before, self._lines(self._inside, address, columns, self._own))

    def _lines(self, pgconn: Any, address: str, columns: str, where: str) -> Iterator[_Line]:
        """Started at once, read as they are asked for."""
        query = f"SELECT {columns}, t.ctid FROM ONLY {address} t WHERE {where} ORDER BY k"
        result = pgconn.exec_(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode())
        if result.status != pq.ExecStatus.COPY_OUT:
            raise failed(result)
        return _read(pgconn)

    def _gone(self, address: str, places: array[int]) -> Iterator[int]:
        """Those of the versions that others still see, and that the transaction itself does not see any more.

        The outside is asked last: what another transaction has replaced meanwhile is gone there too.
        """
        still_there = f"SELECT ctid::text AS place FROM ONLY {address} WHERE ctid = ANY ($1::tid[])".encode()
        for start in range(0, len(places), _BATCH):
            batch = {_place(number) for number in places[start : start + _BATCH]}
            batch -= self._asked(self._inside, still_there, batch)
            if batch:
                batch &= self._asked(self._outside, still_there, batch)
            yield from map(_packed, batch)

    @staticmethod
    def _asked(pgconn: Any, query: bytes, places: set[str]) -> set[str]:
        listed = "{" + ",".join(f'"{place}"' for place in places) + "}"
        return {str(row["place"]) for row in ask(pgconn, query, listed.encode())}

    def _sample(self, net: _Net, change: str, before: _Line | None, after: _Line | None) -> None:
        if len(net.samples[change]) < self._measure.sample:
            net.samples[change].append((before and _number(before[1]), after and _number(after[1])))

    def _samples(self, table: Row, key: Sequence[str], net: _Net) -> tuple[RowSample, ...]:
        """Some of each kind of change in turn."""
        turns = chain.from_iterable(zip_longest(*net.samples.values()))
        pairs = islice((pair for pair in turns if pair is not None), self._measure.sample)
        address, name = str(table["address"]), str(table["name"])
        return tuple(
            sampled(
                self._measure,
                name,
                key,
                self._values(self._outside, address, before),
                self._values(self._inside, address, after),
            )
            for before, after in pairs
        )

    @staticmethod
    def _values(pgconn: Any, address: str, place: int | None) -> Values | None:
        if place is None:
            return None
        query = f"SELECT row_to_json(t) AS row FROM ONLY {address} t WHERE ctid = $1::tid"
        rows = ask(pgconn, query.encode(), _place(place).encode())
        values: Values | None = json.loads(str(rows[0]["row"]), parse_float=_decimal) if rows else None
        return values


_REPLACED = "t.xmax <> '0'::xid"
"""Versions that somebody has locked, replaced or deleted, or once began to."""


_PLAIN = {"boolean", "smallint", "integer", "bigint", "oid", "uuid", "date", "bytea"} | {
    "timestamp without time zone", "timestamp with time zone", "time without time zone",
}  # fmt: skip
"""Types of which two equal values always have one text."""


def _digest(columns: Sequence[tuple[str, str]]) -> str:
    """An SQL expression: 64 bits that two rows have in common where all their values have the same texts."""
    values = (
        f"t.{_quoted(name)}" if kind in _PLAIN else f't.{_quoted(name)}::text COLLATE "C"'
        for name, kind in columns
    )
    return f"hash_record_extended(ROW({', '.join(values)}), 0)"


def gross(table: Row, why: str) -> TableEffect:
    """As the server counted the transaction's work on one table, what it rolled back itself included."""
    return TableEffect(
        table=str(table["name"]),
        inserted=int(table["inserted"] or 0),
        updated=int(table["updated"] or 0),
        deleted=int(table["deleted"] or 0),
        note=why,
    )


def _key(table: Row) -> tuple[str, ...]:
    return tuple(json.loads(table["key"] or "[]"))


def _read(pgconn: Any) -> Iterator[_Line]:
    first = True
    while True:
        size, data = pgconn.get_copy_data(1)
        if size < 0:
            break
        if size == 0:
            wait(pgconn)
            continue
        row = bytes(data)
        if first:
            row, first = row[_HEADER:], False
        if len(row) > _TAIL:  # else it is the two bytes of the end
            yield row[6:-_TAIL], row[-18:]
    while (result := next_result(pgconn)) is not None:
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise failed(result)


def _merged(before: Iterator[_Line], after: Iterator[_Line]) -> Iterator[tuple[_Line | None, _Line | None]]:
    """Two sorted streams as one of pairs with an equal key; the other side is None where it has none."""
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old[0] < new[0]):
            yield old, None
            old = next(before, None)
        elif old is None or new[0] < old[0]:
            yield None, new
            new = next(after, None)
        else:
            yield old, new
            old, new = next(before, None), next(after, None)


def _number(place: bytes) -> int:
    return int.from_bytes(place[-6:], "big")


def _place(number: int) -> str:
    return f"({number >> 16},{number & 0xFFFF})"


def _packed(place: str) -> int:
    block, offset = place.strip("()").split(",")
    return int(block) << 16 | int(offset)


def _decimal(text: str) -> float | str:
    """A number as JSON holds it exactly, else its digits."""
    return float(text) if repr(float(text)) == text else text


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
