"""The questions that the pages and the monthly report answer."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Float, case, cast, extract, func, select

from flights.models import Carrier, Flight


@dataclass(frozen=True)
class Route:
    """How often a route is flown."""

    origin: str
    destination: str
    flights: int


@dataclass(frozen=True)
class Punctuality:
    """How an airline keeps its times. A flight is late from 15 minutes on, as the airlines count it."""

    carrier: str
    name: str
    flights: int
    cancelled: int
    late: int
    mean_delay: float | None
    """Minutes at the gate of arrival; None where no flight arrived."""


LATE = 15


def busiest_routes(tx: Connection, limit: int = 10) -> list[Route]:
    """The routes with the most flights, busiest first."""
    count = func.count()
    rows = tx.execute(
        select(Flight.origin, Flight.destination, count)
        .group_by(Flight.origin, Flight.destination)
        .order_by(count.desc(), Flight.origin, Flight.destination)
        .limit(limit)
    )
    return [Route(*row) for row in rows]


def punctuality(tx: Connection, month: int | None = None) -> list[Punctuality]:
    """Every airline that flew, in the order of its size; of one month (1 to 12) or of all time."""
    count = func.count()
    query = (
        select(
            Flight.carrier,
            Carrier.name,
            count,
            _number_of(Flight.departure.is_(None)),
            _number_of(Flight.arrival_delay >= LATE),
            cast(func.avg(Flight.arrival_delay), Float),
        )
        .join(Carrier, Carrier.code == Flight.carrier)
        .group_by(Flight.carrier, Carrier.name)
        .order_by(count.desc(), Flight.carrier)
    )
    if month is not None:
        query = query.where(extract("month", Flight.date) == month)
    return [
        Punctuality(code, name, flights, cancelled, late, None if mean is None else round(mean, 1))
        for code, name, flights, cancelled, late, mean in tx.execute(query)
    ]


def write_csv(path: Path, rows: Iterable[Punctuality]) -> None:
    """Write the rows under a line of headings."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Punctuality)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def _number_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
