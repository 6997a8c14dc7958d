"""A dry run that comes to a bad end: a full disk, a kill. No copy, no transaction and no change is left."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli import Project
from tests.integration.databases import fingerprint
from tests.integration.databases.postgres_shop import Shop

_LIMITED = """
import resource, sqlite3, sys
from contextlib import closing
from oneoff.databases.handles import Databases
from oneoff.errors import OneoffError

path, limit = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
seal = Databases().seal(f"sqlite:///{path}")
try:
    with seal, closing(sqlite3.connect(path)) as connection:
        for _ in range(1_000):
            connection.execute("INSERT INTO t VALUES (randomblob(1000))")
            connection.commit()
except OneoffError as error:
    print("refused", error.message, error.next_step, sep="|")
except sqlite3.OperationalError as error:
    print("failed", error, seal.report().attempts, sep="|")
"""


@pytest.mark.parametrize(
    ("room", "ending"), [(0.5, "refused|{} cannot be copied: "), (1.2, "failed|disk I/O error|()")]
)
def test_a_disk_that_is_full_all_the_same(tmp_path: Path, room: float, ending: str) -> None:
    """Free space was enough when it was looked at: the copy, or the task's own write, fails by name."""
    path, temporary = tmp_path / "shop.db", tmp_path / "tmp"
    temporary.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (data)")
        connection.executemany("INSERT INTO t VALUES (?)", [(b"x" * 1000,)] * 300)
        connection.commit()
    before = fingerprint.of_sqlite(path)
    limit = str(round(path.stat().st_size * room))
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, path, limit],
        env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(ending.format(path))
    assert "TMPDIR" in done.stdout or done.stdout.startswith("failed")
    assert list(temporary.iterdir()) == []
    assert fingerprint.of_sqlite(path) == before


_ADMIN = """
import sqlite3
import time

import oneoff
import psycopg

FILE, URL = {file!r}, {url!r}
admin = oneoff.App("shop", database=["sqlite:///" + FILE, URL])


@admin.task
def clean(wait: bool = False) -> None:
    sqlite = sqlite3.connect(FILE)
    with sqlite, psycopg.connect(URL) as postgres:
        sqlite.execute("DELETE FROM t")
        postgres.execute("DELETE FROM account")
        if wait:
            print("ready", flush=True)
            time.sleep(60)
"""


def test_a_dry_run_of_two_databases_that_is_killed(shop: Shop, tmp_path: Path) -> None:
    """The server ends its transaction; the copies go with the next dry run, which meets nothing of it."""
    path, temporary = tmp_path / "shop.db", tmp_path / "tmp"
    temporary.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    project = Project(tmp_path)
    project.write(
        pyproject_toml='[tool.oneoff]\napp = "admin:admin"\n',
        admin_py=_ADMIN.format(file=str(path), url=shop.url),
    )
    before = shop.fingerprint(), path.read_bytes()
    environ = project.environ({"TMPDIR": str(temporary)})
    command = [sys.executable, "-m", "oneoff", "run", "clean", "--dry-run", "--wait"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert _sessions(shop) == ["idle in transaction"]
        assert len(_copies(temporary)) == 2  # of the database, and for the temporary files of the task
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _sessions(shop):
        assert time.monotonic() < deadline, "the session outlived its process"
        time.sleep(0.01)
    ended = project("run", "clean", "--dry-run", "-o", "json", environ={"TMPDIR": str(temporary)})
    assert ended.code == 0, ended.err
    first, second = ended.json["dry_run_report"]["databases"]
    assert (first["database"], first["level"], first["tables"][0]["deleted"]) == (f"sqlite {path}", "copy", 1)
    assert (second["level"], second["tables"][0]["deleted"]) == ("sealed", 20)
    assert _copies(temporary) == []
    assert (shop.fingerprint(), path.read_bytes()) == before


def _sessions(shop: Shop) -> list[str]:
    return [
        state
        for (state,) in shop.server.execute(
            "SELECT state FROM pg_stat_activity"
            f" WHERE datname = '{shop.database}' AND backend_type = 'client backend'"
        )
    ]


def _copies(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.startswith("oneoff-copy-")]
