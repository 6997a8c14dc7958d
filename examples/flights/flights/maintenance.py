"""What the admin tasks do, as plain functions over the database: they know nothing of oneoff."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update
from sqlalchemy.orm import aliased

from flights.models import Carrier, Flight

MAKES_UP = 240
"""Minutes that a flight can at most catch up on its way. The best of 2013 caught up 109."""

DAY = 24 * 60


class CannotMerge(ValueError):
    """These two carriers cannot become one."""


class Clocks(NamedTuple):
    """What is needed to know how late a flight arrived."""

    id: int
    departure_delay: int
    scheduled_arrival: time
    arrival: time
    arrival_delay: int | None


def count_before(tx: Connection, before: date) -> int:
    """How many flights there are before that day."""
    return tx.scalar(select(func.count()).select_from(Flight).where(Flight.date < before)) or 0


def purge_batch(tx: Connection, before: date, size: int) -> int:
    """Delete up to ``size`` flights before that day, oldest first; returns how many went."""
    oldest = select(Flight.id).where(Flight.date < before).order_by(Flight.date).limit(size)
    return tx.execute(delete(Flight).where(Flight.id.in_(oldest.scalar_subquery()))).rowcount


def merge(tx: Connection, source: str, into: str) -> int:
    """Give all flights of one carrier to another and drop the first; returns the number of flights.

    Raises:
        CannotMerge: a carrier is unknown, both are the same, or they share a flight.
    """
    _check_merge(tx, source, into)
    moved = tx.execute(update(Flight).where(Flight.carrier == source).values(carrier=into)).rowcount
    tx.execute(delete(Carrier).where(Carrier.code == source))
    return moved


def _check_merge(tx: Connection, source: str, into: str) -> None:
    if source == into:
        raise CannotMerge(f"{source} cannot be merged into itself")
    known = list(tx.scalars(select(Carrier.code).order_by(Carrier.code)))
    for code in (source, into):
        if code not in known:
            raise CannotMerge(f"there is no carrier {code}; there are {', '.join(known)}")
    shared = _shared(tx, source, into)
    if shared:
        raise CannotMerge(
            f"flights of {source} and {into} that only the carrier tells apart: {shared}. "
            "Give them other numbers first"
        )


def _shared(tx: Connection, source: str, into: str) -> int:
    other = aliased(Flight)
    query = (
        select(func.count())
        .select_from(Flight)
        .join(
            other,
            (other.date == Flight.date)
            & (other.number == Flight.number)
            & (other.origin == Flight.origin)
            & (other.scheduled_departure == Flight.scheduled_departure),
        )
        .where(Flight.carrier == source, other.carrier == into)
    )
    return tx.scalar(query) or 0


def arrived(engine: Engine, size: int, *, diverted: bool) -> Iterator[list[Clocks]]:
    """The flights that arrived, in batches by key, each read on its own so that none is held open.

    Args:
        engine: the database.
        size: rows per batch.
        diverted: also those that were sent elsewhere first; the source gives them no air time.
    """
    query = (
        select(*(getattr(Flight, name) for name in Clocks._fields))
        .where(Flight.arrival.is_not(None), Flight.departure_delay.is_not(None))
        .order_by(Flight.id)
        .limit(size)
    )
    if not diverted:
        query = query.where(Flight.air_time.is_not(None))
    last = 0
    while True:
        with engine.connect() as tx:
            batch = [Clocks(*row) for row in tx.execute(query.where(Flight.id > last))]
        if not batch:
            return
        yield batch
        last = batch[-1].id


def corrections(batch: list[Clocks]) -> dict[int, int]:
    """The right delay of each flight whose recorded one is wrong or missing."""
    right = {flight.id: minutes_late(flight) for flight in batch}
    return {flight.id: right[flight.id] for flight in batch if flight.arrival_delay != right[flight.id]}


def correct(tx: Connection, delays: dict[int, int]) -> None:
    """Record these delays."""
    tx.execute(
        update(Flight).where(Flight.id == bindparam("flight")).values(arrival_delay=bindparam("delay")),
        [{"flight": flight, "delay": delay} for flight, delay in delays.items()],
    )


def minutes_late(flight: Clocks) -> int:
    """Minutes between the scheduled and the real arrival; negative when it came early.

    The clocks carry no date, so they tell the delay only up to whole days: 23:50 to 00:10 is 20 minutes.
    The delay at departure settles the day, since a flight makes up a few hours at most.
    """
    by_the_clock = _minute(flight.arrival) - _minute(flight.scheduled_arrival)
    earliest = flight.departure_delay - MAKES_UP
    return earliest + (by_the_clock - earliest) % DAY


def _minute(clock: time) -> int:
    return clock.hour * 60 + clock.minute
