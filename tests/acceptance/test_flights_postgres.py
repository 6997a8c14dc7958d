"""The example on PostgreSQL, through the installed command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from flights import load, maintenance
from flights.db import connect
from flights.models import Flight

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flights"
FIFTH = date(2013, 1, 5)

Oneoff = Callable[..., dict[str, Any]]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The first 5,000 flights: those of six days."""
    new = connect(database_url.replace("postgresql://", "postgresql+psycopg://"))
    load.load(new, limit=5_000)
    yield new
    new.dispose()


@pytest.fixture
def run_task(engine: Engine, tmp_path: Path) -> Oneoff:
    """Runs a task of the example and gives the run's document."""
    environ = os.environ | {
        "FLIGHTS_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "ONEOFF_STORE": str(tmp_path / "store.db"),
    }

    def run(*arguments: str) -> dict[str, Any]:
        ended = subprocess.run(
            [Path(sys.executable).with_name("oneoff"), "run", *arguments, "-o", "json"],
            cwd=EXAMPLE,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        document: dict[str, Any] = json.loads(ended.stdout)
        return document

    return run


def flights(engine: Engine, before: date = date.max) -> int:
    """How many flights there are before that day, as another session sees it."""
    with engine.connect() as tx:
        return maintenance.count_before(tx, before)


def tables(run: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Rows inserted, updated and deleted of each table, by the dry run's report."""
    [database] = run["dry_run_report"]["databases"]
    assert database["level"] == "sealed"
    return {
        table["table"].rpartition(".")[2]: (table["inserted"], table["updated"], table["deleted"])
        for table in database["tables"]
    }


def test_a_purge_is_previewed_and_then_run(engine: Engine, run_task: Oneoff) -> None:
    """The preview counts what the real run deletes, over several commits, and keeps nothing."""
    old = flights(engine, FIFTH)
    arguments = ("purge-flights", "--before", str(FIFTH), "--batch-size", "1000")
    assert tables(run_task(*arguments, "--dry-run")) == {"flights": (0, 0, old)}
    assert flights(engine) == 5_000
    run_task(*arguments, "--yes")
    assert flights(engine) == 5_000 - old


def test_a_merge_is_previewed(engine: Engine, run_task: Oneoff) -> None:
    """Both tables are in the report, and the carrier is still there."""
    with engine.connect() as tx:
        moved = tx.scalar(select(func.count()).where(Flight.carrier == "FL"))
    preview = run_task("merge-carriers", "--source", "FL", "--into", "WN", "--dry-run")
    assert tables(preview) == {"flights": (0, moved, 0), "carriers": (0, 0, 1)}
    with engine.connect() as tx:
        assert tx.scalar(select(func.count()).where(Flight.carrier == "FL")) == moved


def test_delays_are_previewed(engine: Engine, run_task: Oneoff) -> None:
    """A task that reads and writes in many small transactions can be previewed as well."""
    preview = run_task("recompute-delays", "--include-diverted", "--batch-size", "500", "--dry-run")
    [(inserted, corrected, deleted)] = tables(preview).values()
    assert (inserted, deleted) == (0, 0)
    assert corrected > 0
    with engine.connect() as tx:
        missing = select(func.count()).where(Flight.arrival.is_not(None), Flight.arrival_delay.is_(None))
        assert tx.scalar(missing) == corrected
