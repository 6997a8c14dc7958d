"""The effects of a real run: measured, held against a dry run, and committed once or not at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli import Ended, Project
from tests.postgres import Server

_SETTINGS = """
[tool.oneoff]
app = "shop_admin:admin"
private = ["customer.phone"]

[tool.oneoff.tasks.other]
command = ["true"]
"""
_SQLITE = """
import sqlite3
URL = "sqlite:///{url}"
def connect():
    return sqlite3.connect({url!r})
"""
_POSTGRES = """
import psycopg
URL = {url!r}
def connect():
    return psycopg.connect(URL)
"""
_ADMIN = """
import os, signal, sys
from contextlib import closing
import oneoff

admin = oneoff.App("shop", database=URL, private=["customer.email"])

def write(*statements):
    with closing(connect()) as connection:
        for statement in statements:
            connection.execute(statement)
            connection.commit()

@admin.task
def visit(ctx: oneoff.Context, upto: int = 10, ending: str = "") -> None:
    "Count visits in two commits."
    write(f"UPDATE customer SET visits = visits + 1 WHERE id <= {upto}", "DELETE FROM customer WHERE id = 90")
    print("result", ctx.effect("tell", tell, dry_result="unknown"))
    if ending == "raise":
        raise ValueError("mine")
    if ending == "exit":
        sys.exit(0)
    if ending == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if ending == "stop":
        os.kill(os.getpid(), signal.SIGTERM)
        while not ctx.should_stop:
            ctx.sleep(5)

def tell():
    with closing(connect()) as connection:
        rows = connection.execute("SELECT sum(visits) FROM customer").fetchone()
    print("told", rows[0])

@admin.task
def alter(more: bool = False) -> None:
    "Change the schema."
    write("CREATE TABLE made (id int PRIMARY KEY)")
    if more:
        write("CREATE TABLE more (id int PRIMARY KEY)")

@admin.task
def broken_after(ctx: oneoff.Context) -> None:
    "What waits for the commit fails."
    write("DELETE FROM customer WHERE id = 1")
    ctx.effect("fail", lambda: 1 / 0)
"""
_ROWS = [(number, f"mail{number}", f"phone{number}", 0) for number in range(1, 101)]


@dataclass
class Shop:
    """A project over one of the two databases."""

    project: Project
    place: Any
    kind: str

    def __call__(self, *arguments: str) -> Ended:
        return self.project(*arguments)

    def ask(self, query: str) -> Any:
        """One row, from outside."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.place)) as connection:
                return connection.execute(query).fetchone()
        with psycopg.connect(self.place, options="") as connection:
            return connection.execute(query.encode()).fetchone()

    @property
    def state(self) -> Any:
        return self.ask("SELECT count(*), sum(visits) FROM customer")

    def preview(self, *arguments: str) -> str:
        """The id of a dry run."""
        return str(self("run", *arguments, "--dry-run", "-o", "json").json["id"])


@pytest.fixture(params=["sqlite", "sqlite-wal", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    project = Project(tmp_path)
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        with server.database() as name:
            server.execute(
                "CREATE TABLE customer (id int PRIMARY KEY, email text, phone text, visits int)",
                database=name,
            )
            url = server.url(name)
            with psycopg.connect(url, options="") as connection:
                connection.cursor().executemany("INSERT INTO customer VALUES (%s, %s, %s, %s)", _ROWS)
            project.write(shop_admin_py=_POSTGRES.format(url=url) + _ADMIN, oneoff_toml=_SETTINGS)
            yield Shop(project, url, "postgresql")
        return
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT, phone TEXT, visits INT)")
        database.executemany("INSERT INTO customer VALUES (?, ?, ?, ?)", _ROWS)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {'wal' if request.param == 'sqlite-wal' else 'delete'}")
    project.write(shop_admin_py=_SQLITE.format(url=str(path)) + _ADMIN, oneoff_toml=_SETTINGS)
    yield Shop(project, path, "sqlite")


def test_a_real_run_tells_its_effects(shop: Shop) -> None:
    """The same counts as its dry run's, in the record, in the audit log, and in the database."""
    dry = shop("run", "visit", "--dry-run", "-o", "json").json
    assert shop.state == (100, 0)
    ended = shop("run", "visit", "--effects", "-o", "json")
    assert ended.code == 0, ended.err
    run = ended.json
    assert run["rows"] == dry["rows"] == {"customer": {"inserted": 0, "updated": 10, "deleted": 1}}
    assert run["dry_run_report"] is None
    assert run["effects_report"]["committed"] is True
    assert run["effects_report"]["databases"][0]["tables"] == dry["dry_run_report"]["databases"][0]["tables"]
    assert shop.state == (99, 10)
    event = shop("audit", "log", "-o", "json").json[-1]["event"]
    assert event["data"]["outcome"]["rows"] == run["rows"]
    assert "Effects of the run, committed at its end." in shop("show", "@latest").out


def test_a_run_within_its_dry_run_is_committed(shop: Shop) -> None:
    """Up to the tolerance, in each table; what waited is done after the commit, and sees it."""
    expected = shop.preview("visit")
    ended = shop("run", "visit", "--upto", "11", "--expect", expected, "--tolerance", "10%")
    assert ended.code == 0, ended.err
    assert shop.state == (99, 11)
    assert "result unknown\ntold 11\n" in ended.out
    assert f"was held against the report of run {expected}" in ended.out


def test_a_run_that_exceeds_its_dry_run_leaves_nothing(shop: Shop) -> None:
    """It fails, says which table by how much, and has called nothing outside either."""
    expected = shop.preview("visit")
    ended = shop("run", "visit", "--upto", "12", "--expect", "@latest", "--tolerance", "10%")
    assert ended.code == 1
    assert shop.state == (100, 0)
    assert "told" not in ended.out
    assert "customer: 12 updated, and the dry run had 10" in ended.out
    run = shop.project.latest()
    assert (run["status"], run["rows"]) == ("failed", {})
    assert run["error"] == (
        "nothing was committed, the dry run is exceeded: customer: 12 updated, and the dry run had 10"
    )
    assert run["effects_report"]["committed"] is False
    assert run["effects_report"]["expected"] == f"run {expected}"


def test_a_report_may_come_from_a_file(shop: Shop) -> None:
    """The document of a run, or the report alone; another schema change exceeds it as well."""
    document = shop("run", "alter", "--dry-run", "-o", "json").json
    for content in (document, document["dry_run_report"]):
        shop.project.write(report_json=json.dumps(content))
        ended = shop("run", "alter", "--more", "--expect", "report.json")
        assert ended.code == 1
        assert "created table more, and the dry run had not" in ended.out
    assert shop("run", "alter", "--expect", "report.json").code == 0
    assert shop.ask("SELECT count(*) FROM made") == (0,)


@pytest.mark.parametrize(
    "ending, code, status", [("raise", 1, "failed"), ("stop", 75, "interrupted"), ("kill", -9, "lost")]
)
def test_a_run_that_does_not_come_to_its_end_leaves_nothing(
    shop: Shop, ending: str, code: int, status: str
) -> None:
    """Whatever the task has committed by then: it raised, was asked to end, or was killed."""
    ended = shop("run", "visit", "--effects", "--ending", ending)
    assert ended.code == code
    assert shop.state == (100, 0)
    assert shop.project.latest()["status"] == status
    assert "told" not in ended.out


def test_an_exit_with_code_0_is_an_end(shop: Shop) -> None:
    """As a command line of the app's own ends."""
    assert shop("run", "visit", "--effects", "--ending", "exit").code == 0
    assert shop.state == (99, 10)


def test_what_fails_after_the_commit_fails_the_run(shop: Shop) -> None:
    """The work stays, and the record says both."""
    ended = shop("run", "broken-after", "--effects", "-o", "json")
    assert ended.code == 1
    assert shop.state == (99, 0)
    assert "ZeroDivisionError" in ended.json["error"]
    assert ended.json["effects_report"]["committed"] is True
    assert ended.json["rows"]["customer"]["deleted"] == 1


def test_values_are_told_on_request_alone(shop: Shop) -> None:
    """Keys and changed columns else; what is private is told never, and nothing of it is kept."""
    shop("run", "visit", "--dry-run")
    text = shop("show", "@latest").out
    assert "customer id=1 updated visits" in text
    assert "customer id=90 deleted" in text
    assert shop.project.files_with("mail90") == []
    ended = shop("run", "visit", "--dry-run", "--values", "--sample", "2")
    assert "customer id=1 updated visits: 0 -> 1" in ended.out
    assert 'customer id=90 deleted id=90 email="********" phone="********" visits=0' in ended.out
    assert ended.out.count("customer id=") == 2
    assert shop.project.files_with("mail90") == shop.project.files_with("phone90") == []
    assert "some of the rows" not in shop("run", "visit", "--dry-run", "--sample", "0").out


def test_costs_are_said_before_the_task_starts(shop: Shop) -> None:
    """On standard error, with what a copy takes and what a transaction holds."""
    before, _, _ = shop("run", "visit", "--dry-run").err.partition("not done in a dry run")
    assert ("bytes in" if shop.kind == "sqlite" else "locked until the end") in before


def test_a_dry_run_without_effects(shop: Shop) -> None:
    """It counts only what costs nothing, and limits nothing."""
    ended = shop("run", "visit", "--dry-run", "--no-effects", "-o", "json").json
    (database,) = ended["dry_run_report"]["databases"]
    if shop.kind == "sqlite":
        assert (database["measured"], ended["rows"]) == (False, None)
        refused = shop("run", "visit", "--expect", "@latest")
        assert (refused.code, "has no counts" in refused.err) == (2, True)
    else:
        assert "as the server counted them" in database["counting"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("visit", "--dry-run", "--expect", "@latest"),
        ("visit", "--tolerance", "5%"),
        ("visit", "--expect", "@latest", "--tolerance", "much"),
        ("visit", "--expect", "@latest", "--no-effects"),
        ("visit", "--dry-run", "--no-effects", "--values"),
        ("visit", "--dry-run", "--no-effects", "--exit-code"),
        ("visit", "--values"),
        ("visit", "--effects", "--detach"),
        ("alter", "--expect", "@latest"),
        ("visit", "--expect", "oneoff.toml"),
        ("visit", "--expect", "nothing"),
        ("other", "--effects"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
def test_options_that_do_not_go_together(shop: Shop, arguments: tuple[str, ...]) -> None:
    """Nothing runs, and nothing is recorded."""
    shop.preview("visit")
    ended = shop("run", *arguments)
    assert ended.code == 2, ended.err
    assert len(shop.project.runs()) == 1


@pytest.mark.parametrize("shop", ["sqlite", "sqlite-wal"], indirect=True)
def test_a_file_that_others_have_written_to_is_left_alone(shop: Shop) -> None:
    """The copy would undo their work: nothing of the run stays, and all of theirs does."""
    shop.project.write(
        late_py=f"""
import subprocess, sys, oneoff, shop_admin
admin = oneoff.App("late", database=shop_admin.URL)
@admin.task
def late() -> None:
    shop_admin.write("DELETE FROM customer")
    code = "import sqlite3; c = sqlite3.connect({str(shop.place)!r}); c.execute('DELETE FROM customer"
    code += " WHERE id = 1'); c.commit()"
    subprocess.run([sys.executable, "-c", code], check=True)
"""
    )
    ended = shop("--app", "late:admin", "run", "late", "--effects")
    assert ended.code == 1
    assert "was written to by others" in ended.err
    assert shop.state == (99, 0)


@pytest.mark.parametrize("shop", ["postgresql"], indirect=True)
def test_a_commit_by_hand_does_not_get_around_the_end(shop: Shop) -> None:
    """The transaction stays sealed until the counts are known."""
    shop.project.write(
        by_hand_py="""
import psycopg, oneoff, shop_admin
admin = oneoff.App("by-hand", database=shop_admin.URL)
@admin.task
def by_hand() -> None:
    with psycopg.connect(shop_admin.URL, autocommit=True) as connection:
        connection.execute("DELETE FROM customer; COMMIT")
"""
    )
    ended = shop("--app", "by_hand:admin", "run", "by-hand", "--effects")
    assert ended.code == 1
    assert "nothing was committed" in ended.err
    assert shop.state == (100, 0)
