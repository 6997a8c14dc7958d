"""What the example's admin tasks do to the database, without oneoff."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from flights import maintenance, reports
from flights.db import connect
from flights.models import Airport, Base, Carrier, Flight

FLIGHT: dict[str, Any] = {
    "date": date(2013, 1, 1),
    "carrier": "AA",
    "number": 1,
    "tail_number": None,
    "origin": "JFK",
    "destination": "SJU",
    "scheduled_departure": time(20, 0),
    "departure": time(20, 5),
    "departure_delay": 5,
    "scheduled_arrival": time(23, 50),
    "arrival": time(23, 55),
    "arrival_delay": 5,
    "air_time": 190,
    "distance": 1598,
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Two airlines, two airports and no flight."""
    new = connect(f"sqlite:///{tmp_path / 'flights.db'}")
    Base.metadata.create_all(new)
    with new.begin() as tx:
        tx.execute(insert(Carrier), [{"code": "AA", "name": "American"}, {"code": "US", "name": "US"}])
        tx.execute(insert(Airport), [{"code": "JFK", "name": "Kennedy"}, {"code": "SJU", "name": "San Juan"}])
    yield new
    new.dispose()


def fly(engine: Engine, *changes: dict[str, Any]) -> None:
    """Add a flight for each of the changes to the one above."""
    with engine.begin() as tx:
        tx.execute(insert(Flight), [FLIGHT | change for change in changes])


@pytest.mark.parametrize(
    ("scheduled", "arrived", "departure_delay", "late"),
    [
        (time(8, 19), time(8, 30), 2, 11),
        (time(8, 19), time(8, 0), -3, -19),
        (time(23, 50), time(0, 10), 15, 20),
        (time(0, 5), time(23, 50), -4, -15),
        (time(12, 0), time(9, 0), 1_271, 1_260),
        (time(12, 0), time(10, 30), -5, -90),
        (time(0, 0), time(0, 0), 0, 0),
    ],
)
def test_a_delay_is_counted_across_midnight(
    scheduled: time, arrived: time, departure_delay: int, late: int
) -> None:
    """The clocks tell the minutes and the delay at departure tells the day."""
    flight = maintenance.Clocks(
        id=1,
        departure_delay=departure_delay,
        scheduled_arrival=scheduled,
        arrival=arrived,
        arrival_delay=None,
    )
    assert maintenance.minutes_late(flight) == late


def test_only_a_delay_that_differs_is_corrected(engine: Engine) -> None:
    """A right delay stays as it is, a wrong one is put right, a cancelled flight has none."""
    cancelled = dict.fromkeys(["departure", "departure_delay", "arrival", "arrival_delay", "air_time"])
    fly(engine, {"number": 1}, {"number": 2, "arrival_delay": 500}, {"number": 3, **cancelled})
    [batch] = maintenance.arrived(engine, 10, diverted=True)
    assert maintenance.corrections(batch) == {2: 5}
    with engine.begin() as tx:
        maintenance.correct(tx, maintenance.corrections(batch))
        assert list(tx.scalars(select(Flight.arrival_delay).order_by(Flight.number))) == [5, 5, None]


def test_diverted_flights_are_left_out_unless_asked_for(engine: Engine) -> None:
    """A flight without air time landed elsewhere first, and its missing delay is no mistake."""
    fly(engine, {"arrival_delay": None, "air_time": None})
    assert list(maintenance.arrived(engine, 10, diverted=False)) == []
    [batch] = maintenance.arrived(engine, 10, diverted=True)
    assert maintenance.corrections(batch) == {1: 5}


def test_batches_hand_out_every_flight_once(engine: Engine) -> None:
    """However small the batches, each flight that arrived comes exactly once."""
    fly(engine, *({"number": number} for number in range(7)))
    batches = list(maintenance.arrived(engine, 3, diverted=False))
    assert [[flight.id for flight in batch] for batch in batches] == [[1, 2, 3], [4, 5, 6], [7]]


def test_a_purge_takes_the_oldest_first_and_stops_at_the_date(engine: Engine) -> None:
    """A batch deletes as many as it may, and the day that is named stays."""
    fly(engine, *({"date": date(2013, 1, day)} for day in (4, 3, 2, 1)))
    with engine.begin() as tx:
        assert maintenance.count_before(tx, date(2013, 1, 4)) == 3
        assert maintenance.purge_batch(tx, date(2013, 1, 4), 2) == 2
        assert list(tx.scalars(select(Flight.date).order_by(Flight.date))) == [
            date(2013, 1, 3),
            date(2013, 1, 4),
        ]
        assert maintenance.purge_batch(tx, date(2013, 1, 4), 2) == 1
        assert maintenance.purge_batch(tx, date(2013, 1, 4), 2) == 0


def test_a_merge_moves_the_flights_and_drops_the_carrier(engine: Engine) -> None:
    """Afterwards all flights belong to the one that stays."""
    fly(engine, {"number": 1}, {"number": 2, "carrier": "US"}, {"number": 3, "carrier": "US"})
    with engine.begin() as tx:
        assert maintenance.merge(tx, "US", "AA") == 2
        assert set(tx.scalars(select(Flight.carrier))) == {"AA"}
        assert list(tx.scalars(select(Carrier.code))) == ["AA"]


@pytest.mark.parametrize(
    ("source", "into", "reason"),
    [("AA", "AA", "itself"), ("ZZ", "AA", "no carrier ZZ; there are AA, US"), ("US", "ZZ", "no carrier ZZ")],
)
def test_a_merge_that_makes_no_sense_is_refused(engine: Engine, source: str, into: str, reason: str) -> None:
    """Both carriers have to exist and to differ."""
    with engine.begin() as tx, pytest.raises(maintenance.CannotMerge, match=reason):
        maintenance.merge(tx, source, into)


def test_a_merge_of_carriers_that_share_a_flight_is_refused(engine: Engine) -> None:
    """Two flights that only the carrier tells apart cannot both go to one carrier."""
    fly(engine, {"carrier": "AA"}, {"carrier": "US"}, {"carrier": "US", "scheduled_departure": time(6, 0)})
    with engine.begin() as tx, pytest.raises(maintenance.CannotMerge, match="tells apart: 1"):
        maintenance.merge(tx, "US", "AA")


def test_a_flight_needs_its_carrier(engine: Engine) -> None:
    """SQLite looks at foreign keys, as PostgreSQL does."""
    with pytest.raises(IntegrityError):
        fly(engine, {"carrier": "ZZ"})


def test_the_report_is_a_csv_with_headings(engine: Engine, tmp_path: Path) -> None:
    """One line per airline that flew in the month, with what counts as late, and nothing of other months."""
    fly(
        engine,
        {"number": 1, "arrival_delay": 15},
        {"number": 2, "arrival_delay": 14},
        {"number": 3, "departure": None, "arrival_delay": None},
        {"number": 4, "carrier": "US", "date": date(2013, 2, 1)},
    )
    with engine.connect() as tx:
        reports.write_csv(tmp_path / "january.csv", reports.punctuality(tx, month=1))
    assert (tmp_path / "january.csv").read_text().splitlines() == [
        "carrier,name,flights,cancelled,late,mean_delay",
        "AA,American,3,1,1,14.5",
    ]
