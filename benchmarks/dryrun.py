"""What a dry run of a task that updates 100,000 rows costs beside the real run, as whole commands."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.postgres import serve

from benchmarks.paired import ratio

ROWS = 100_000
ROUNDS = 9
WITH, WITHOUT = 2.0, 1.3
"""Limits: with the effects report, and without."""

_ADMIN = """\
import oneoff
from shop import URL, connect

admin = oneoff.App("bench", database=URL)


@admin.task
def update() -> None:
    connection = connect()
    connection.execute("UPDATE customer SET visits = visits + 1")
    connection.commit()
    connection.close()
"""
_SQLITE = """\
import sqlite3

URL = "sqlite:///{0}"


def connect():
    return sqlite3.connect({0!r})
"""
_POSTGRES = """\
import psycopg

URL = {0!r}


def connect():
    return psycopg.connect(URL)
"""
_COLUMNS = "id {} PRIMARY KEY, name text NOT NULL, email text NOT NULL, visits int NOT NULL"
_ROW = "n, 'name ' || n, 'mail' || n || '@shop.example', n % 7"


def main() -> int:
    """Measure, print, and say by the exit code whether the limits hold."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "shop.db")
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"CREATE TABLE customer ({_COLUMNS.format('integer')})")
            numbers = f"WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g LIMIT {ROWS})"
            database.execute(f"{numbers} INSERT INTO customer SELECT {_ROW} FROM g")
            database.execute("CREATE INDEX by_visits ON customer (visits)")
            database.commit()
        held = [_measure("SQLite", Path(name), _SQLITE.format(str(path)), lambda: None)]
    with (
        serve(
            fsync="on",
            full_page_writes="on",
            synchronous_commit="on",
            shared_buffers="256MB",
            autovacuum="off",
        ) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        server.execute("CREATE DATABASE bench")
        server.execute(
            f"CREATE TABLE customer ({_COLUMNS.format('bigint')})",
            f"INSERT INTO customer SELECT {_ROW} FROM generate_series(1, {ROWS}) n",
            "CREATE INDEX by_visits ON customer (visits)",
            database="bench",
        )

        def clean() -> None:
            """Each command meets a table without dead rows, and no checkpoint that another one caused."""
            server.execute("VACUUM ANALYZE customer", "CHECKPOINT", database="bench")

        held.append(_measure("PostgreSQL", Path(name), _POSTGRES.format(server.url("bench")), clean))
    return 0 if all(held) else 1


def _measure(name: str, folder: Path, shop: str, clean: Callable[[], None]) -> bool:
    (folder / "shop.py").write_text(shop)
    (folder / "bench_admin.py").write_text(_ADMIN)
    (folder / "oneoff.toml").write_text('[tool.oneoff]\napp = "bench_admin:admin"\n')
    run = [str(Path(sys.executable).with_name("oneoff")), "run", "update"]
    commands = {
        "real run": run,
        "dry run with effects": [*run, "--dry-run"],
        "dry run without effects": [*run, "--dry-run", "--no-effects"],
        "real run with --effects": [*run, "--effects"],
    }
    taken: dict[str, list[float]] = {command: [] for command in commands}
    for round_ in range(ROUNDS + 1):
        for command, arguments in commands.items():
            clean()
            start = time.perf_counter()
            subprocess.run(arguments, cwd=folder, check=True, capture_output=True, env=dict(os.environ))
            if round_:  # the first one warms up
                taken[command].append(time.perf_counter() - start)
    for command, seconds in taken.items():
        print(f"{name}: {command:24} of {ROWS:,} rows, median {statistics.median(seconds) * 1000:7.0f} ms")
    print(f"{name}: a real run with --effects is {ratio(taken, 'real run with --effects', 'real run'):.2f} ×")
    limits = {"dry run with effects": WITH, "dry run without effects": WITHOUT}
    ratios = {command: ratio(taken, command, "real run") for command in limits}
    held = [_holds(name, command, ratios[command], limit) for command, limit in limits.items()]
    return all(held)


def _holds(name: str, command: str, measured: float, limit: float) -> bool:
    held = measured <= limit
    words = "holds" if held else "EXCEEDED"
    print(f"{name}: a {command} is {measured:.2f} × the real run, limit {limit:.2f}: {words}")
    return held


if __name__ == "__main__":
    raise SystemExit(main())
