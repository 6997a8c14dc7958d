"""The example's admin tasks, through oneoff's own test kit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, insert, select

import oneoff
from flights import notify
from flights.admin import admin
from flights.db import connect
from flights.models import Airport, Base, Carrier, Flight
from oneoff import testing


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Ten flights, one a day from the first of January 2013 on, with delays that are wrong by a minute."""
    new = connect(f"sqlite:///{tmp_path / 'flights.db'}")
    Base.metadata.create_all(new)
    with new.begin() as tx:
        tx.execute(insert(Carrier), [{"code": "AA", "name": "American"}, {"code": "US", "name": "US"}])
        tx.execute(insert(Airport), [{"code": "JFK", "name": "Kennedy"}, {"code": "SJU", "name": "San Juan"}])
        tx.execute(
            insert(Flight),
            [
                {
                    "date": date(2013, 1, day),
                    "carrier": "US" if day % 2 else "AA",
                    "number": day,
                    "origin": "JFK",
                    "destination": "SJU",
                    "scheduled_departure": time(20, 0),
                    "departure": time(20, 5),
                    "departure_delay": 5,
                    "scheduled_arrival": time(23, 50),
                    "arrival": time(0, 10),
                    "arrival_delay": 21,
                    "air_time": 190,
                    "distance": 1598,
                }
                for day in range(1, 11)
            ],
        )
    yield new
    new.dispose()


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the people on duty would read."""
    path = tmp_path / "outbox.txt"
    monkeypatch.setattr(notify, "OUTBOX", path)
    return path


def number_of_flights(engine: Engine) -> int:
    """How many flights there are."""
    with engine.connect() as tx:
        return tx.scalar(select(func.count()).select_from(Flight)) or 0


def test_a_purge_deletes_reports_and_tells(engine: Engine, outbox: Path) -> None:
    """It goes batch by batch, says how far it is, and tells the people on duty at the end."""
    result = testing.run(admin, "purge-flights", {"before": date(2013, 1, 8), "batch_size": 3}, db=engine)
    assert number_of_flights(engine) == 3
    assert [(step.done, step.total) for step in result.progress] == [(3, 7), (6, 7), (7, 7)]
    assert outbox.read_text() == "purged 7 flights before 2013-01-08\n"


def test_a_purge_that_has_to_stop_stops(engine: Engine, outbox: Path) -> None:
    """No batch begins once the end was asked for."""
    testing.run(admin, "purge-flights", {"before": date(2013, 1, 8)}, db=engine, stop=True)
    assert number_of_flights(engine) == 10
    assert not outbox.exists()


def test_a_dry_run_tells_nobody(engine: Engine, outbox: Path) -> None:
    """What goes outside is listed instead."""
    result = testing.dry_run(admin, "merge-carriers", {"source": "US", "into": "AA"}, db=engine)
    assert [effect.description for effect in result.effects] == ["tell the people on duty"]
    assert not outbox.exists()


def test_delays_are_corrected(engine: Engine) -> None:
    """Every delay is what the clocks say, and the log counts those that were not."""
    result = testing.run(admin, "recompute-delays", {"batch_size": 4}, db=engine)
    assert "corrected=10" in result.log
    with engine.connect() as tx:
        assert set(tx.scalars(select(Flight.arrival_delay))) == {20}


def test_the_report_is_written_in_a_real_run_only(engine: Engine, tmp_path: Path) -> None:
    """A file is outside the database."""
    report = tmp_path / "january.csv"
    result = testing.dry_run(admin, "export-report", {"month": 1, "file": report}, db=engine)
    assert len(result.effects) == 1
    assert not report.exists()
    testing.run(admin, "export-report", {"month": 1, "file": report}, db=engine)
    assert report.read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("task", "texts", "wrong"),
    [
        ("export-report", {"month": "13"}, ["month"]),
        ("merge-carriers", {"source": "american"}, ["source", "into"]),
        ("purge-flights", {"before": "31.1.2013", "batch_size": "0"}, ["before", "batch_size"]),
    ],
)
def test_bad_input_is_told_all_at_once(task: str, texts: dict[str, str], wrong: list[str]) -> None:
    """Each parameter that does not fit is named."""
    with pytest.raises(oneoff.UsageError) as refused:
        testing.parse(admin, task, texts)
    assert all(f"{name}: " in str(refused.value) for name in wrong)
