"""Records that are not as they should be, over both kinds of store: clear words, and nothing is lost."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli import PATIENCE, Ended, Project
from tests.postgres import Server, database_of, make_store

SETTINGS = """
[tool.oneoff.tasks.hello]
command = ["echo", "hello"]
[tool.oneoff.tasks.wait]
command = ["sh", "-c", "touch started; until test -e go; do sleep 0.05; done"]
"""
GUARDS = "SELECT name FROM sqlite_schema WHERE sql LIKE '%RAISE%'"
CUT = (
    "DELETE FROM {0}audit_event WHERE seq >= 3",
    "DELETE FROM {0}audit_event_table WHERE seq >= 3",
    "UPDATE {0}audit_head SET size = 3",
)
"""After the first run."""
SHIFTED = """
import sys
import time
from datetime import timedelta
from oneoff.cli.main import main
from oneoff.launchers.processes import LocalProcesses
from oneoff.wiring.system import SystemClock
now, hours = SystemClock.now, float(sys.argv.pop(1))
SystemClock.now = lambda self: now(self) + timedelta(hours=hours)
if sys.argv.pop(1) == "elsewhere":
    LocalProcesses._machine = "elsewhere/1"
main()
"""


@dataclass
class Records:
    """Where a project keeps its records, and somebody with every right to them."""

    environ: Mapping[str, str]
    cut: Callable[[], None]
    """Leave the first run in the log, as if there had been no other."""
    swap: Callable[[], None]
    """Put another store in its place, one that holds nothing."""


class Shop(Project):
    """A project with two commands."""

    def __init__(self, root: Path, records: Records) -> None:
        super().__init__(root)
        self.records = records
        self.write(oneoff_toml=SETTINGS)

    def environ(self, given: Mapping[str, str] | None) -> dict[str, str]:
        return super().environ({**self.records.environ, **dict(given or {})})

    def good(self, *arguments: str) -> Ended:
        ended = self(*arguments)
        assert ended.code == 0, ended.err
        return ended

    def shifted(self, hours: float, where: str, *arguments: str) -> Ended:
        """The same by a clock that is so far off, on this machine (``here``) or on another."""
        program = (sys.executable, "-c", SHIFTED, str(hours), where)
        ended = self(*arguments, program=program)
        assert ended.code == 0, ended.err
        return ended

    def events(self) -> list[dict[str, Any]]:
        """Those of runs, in the log's order."""
        found = self.good("audit", "log", "--all", "-o", "json").json
        return [each["event"] for each in found if ".run." in each["event"]["type"]]

    def names(self) -> list[str]:
        return [event["type"].split(".")[-2] for event in self.events()]


def in_a_file(root: Path) -> Records:
    path = root / ".oneoff" / "store.db"

    def cut() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as store:
            for (name,) in store.execute(GUARDS).fetchall():
                store.execute(f"DROP TRIGGER {name}")
            for statement in CUT:
                store.execute(statement.format(""))

    def swap() -> None:
        for file in path.parent.glob("store.db*"):
            if file.is_file():
                file.unlink()

    return Records({}, cut, swap)


def in_postgresql(server: Server, url: str) -> Records:
    database = database_of(url)

    def cut() -> None:
        tables = ("audit_event", "audit_event_table", "audit_head")
        off = (f"ALTER TABLE oneoff.{table} DISABLE TRIGGER USER" for table in tables)
        server.execute(*off, *(text.format("oneoff.") for text in CUT), database=database)

    def swap() -> None:
        server.execute("DROP SCHEMA oneoff CASCADE", database=database)
        make_store(server, database)

    return Records({"ONEOFF_STORE": url}, cut, swap)


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A project whose records hold a run."""
    if request.param == "sqlite":
        records = in_a_file(tmp_path)
    else:
        records = in_postgresql(request.getfixturevalue("postgres"), request.getfixturevalue("store_url"))
    shop = Shop(tmp_path, records)
    shop.good("run", "hello")
    yield shop


def test_a_truncated_log(shop: Shop) -> None:
    """Nothing runs, verification fails; what is left is shown and stays."""
    shop.good("run", "hello")
    shop.records.cut()
    refused = shop("run", "hello")
    assert (refused.code, "the audit log was shortened" in refused.err) == (3, True)
    assert "audit accept" in refused.err
    verified = shop("audit", "verify")
    assert (verified.code, "once, and now it has 3" in verified.out) == (1, True)
    assert shop.names() == ["requested", "starting", "outcome"]


def test_a_swapped_store(shop: Shop) -> None:
    """Both logs are named, and nothing is written into the other one."""
    shop.records.swap()
    refused = shop("run", "hello")
    assert (refused.code, "the audit log was replaced" in refused.err) == (3, True)
    assert shop.names() == []


def test_a_checkpoint_of_another_log_and_a_wrong_key(shop: Shop, tmp_path_factory: Any) -> None:
    """Each is told from a log that was changed."""
    other = Shop(tmp_path_factory.mktemp("other"), Records({}, lambda: None, lambda: None))
    other.good("run", "hello")
    keys = [shop.good("audit", "keygen", "--name", "shop.example", name).out.strip() for name in ("k", "l")]
    signing = {"ONEOFF_AUDIT_KEY": str(shop.root / "k")}
    foreign, own = (each("audit", "checkpoint", environ=signing).out for each in (other, shop))

    strange = shop("audit", "verify", "--checkpoint", foreign, "--key", keys[0])
    assert (strange.code, "the checkpoint is of the log" in strange.err) == (1, True)
    wrong = shop("audit", "verify", "--checkpoint", own, "--key", keys[1])
    assert (wrong.code, "none of that is a known key" in wrong.err) == (1, True)
    assert shop("audit", "verify", "--checkpoint", own, "--key", keys[0]).code == 0


def test_a_clock_an_hour_off(shop: Shop) -> None:
    """The order of the log does not come from clocks: all is there, in its order, and verifies."""
    shop.shifted(1, "here", "run", "hello")
    shop.shifted(-1, "here", "run", "hello")
    assert shop.names() == ["requested", "starting", "outcome"] * 3
    times = [event["time"] for event in shop.events()]
    assert times[6] < times[0] < times[3]
    assert shop("audit", "verify").code == 0


@pytest.mark.parametrize(("where", "lost"), [("here", False), ("elsewhere", True)])
def test_a_look_by_a_clock_an_hour_ahead(where: str, lost: bool, shop: Shop) -> None:
    """The run's own machine sees its process. Another one, which saw no beat for an hour, calls it lost; its
    own outcome comes all the same, and stays.
    """
    process = shop.start("run", "wait", "--run-id", "w1")
    deadline = time.monotonic() + PATIENCE
    while not (shop.root / "started").exists():
        assert process.poll() is None and time.monotonic() < deadline
    found = json.loads(shop.shifted(1, where, "runs", "-o", "json").out)[0]
    assert (found["id"], found["status"]) == ("w1", "lost" if lost else "running")
    (shop.root / "go").touch()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert shop.latest()["status"] == "succeeded"
    own = shop.events()[3:]
    assert [event["type"].split(".")[-2] for event in own] == (
        ["requested", "starting", *(["outcome"] if lost else []), "outcome"]
    )
    if lost:
        assert "no heartbeat from" in own[2]["data"]["outcome"]["evidence"]
    assert shop("audit", "verify").code == 0


def test_an_event_over_64_kib(shop: Shop) -> None:
    """What would be too long stands in the log by its digest; the run's record has all of it."""
    ended = shop.good("exec", "--", "echo", "x" * 100_000)
    assert "x" * 100_000 in ended.out
    assert shop.latest()["command"] == ["echo", "x" * 100_000]
    for event in shop.events()[3:]:
        assert event["data"]["target"]["command"].keys() == {"sha256", "bytes"}
    assert shop("audit", "verify").code == 0


FULL = """
CREATE FUNCTION public.no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END
$$;
CREATE TRIGGER no_room BEFORE INSERT ON oneoff.{table} FOR EACH ROW {when} EXECUTE FUNCTION public.no_room()
"""


@pytest.mark.parametrize(
    ("table", "when", "code", "recorded"),
    [
        ("run", "", 3, []),
        ("audit_event", "WHEN (NEW.type = 'starting')", 3, ["requested", "refused"]),
        ("audit_event", "WHEN (NEW.type = 'outcome')", 7, ["requested", "starting", "outcome"]),
    ],
)
def test_a_servers_disk_that_is_full_in_the_middle_of_an_append(
    table: str, when: str, code: int, recorded: list[str], tmp_path: Path, postgres: Server, store_url: str
) -> None:
    """The server undoes what it began: nothing runs, or the outcome waits in the room set aside for it.

    For SQLite see ``tests/acceptance/faults/test_store_faults.py``.
    """
    shop = Shop(tmp_path, in_postgresql(postgres, store_url))
    database = database_of(store_url)
    postgres.execute(FULL.format(table=table, when=when), database=database)
    ended = shop("run", "hello")
    assert (ended.code, "no room left" in ended.err) == (code, True), ended.err
    assert ("ONEOFF-OUTCOME" in ended.out) == (code == 7)
    postgres.execute(f"DROP TRIGGER no_room ON oneoff.{table}", database=database)
    shop.good("runs")
    assert shop.names() == recorded
    shop.good("run", "hello")
    assert shop("audit", "verify").code == 0
