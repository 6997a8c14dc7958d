"""The command line over a store in PostgreSQL: from an empty database to verified records."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oneoff.stores.postgres import PostgresStore
from tests.acceptance.test_docs import PROJECT, Reader
from tests.cli import ONEOFF, PATIENCE, Ended, Project, eventually
from tests.postgres import Server, serve
from tests.records import note

SETTINGS = """
[tool.oneoff]
app = "admin:admin"
[tool.oneoff.tasks.hello]
command = ["echo", "hello"]
"""
ADMIN = '''
import os
import time
from pathlib import Path

import psycopg

import oneoff


def connect():
    return psycopg.connect(os.environ["SHOP_DATABASE"])


admin = oneoff.App("shop", database=connect)


@admin.task
def purge(ctx: oneoff.Context, beats: int = 0) -> None:
    """Delete old things."""
    connection = ctx.db()
    connection.execute("DELETE FROM thing WHERE id > 2")
    connection.commit()
    connection.close()
    ctx.effect("say that it is at work", Path("started").touch)
    print("at work", flush=True)
    for done in range(beats):
        ctx.progress(done, total=beats)
        time.sleep(0.1)


@admin.task
def meddle(ctx: oneoff.Context) -> None:
    """Connect to the store as the app does, and write."""
    connection = psycopg.connect(os.environ["ONEOFF_STORE"])
    connection.execute("SELECT oneoff.subject_of('human', 'mallory')")
    connection.commit()
'''


class Shop(Project):
    """A project whose store is in PostgreSQL, and whose app has a database there too."""

    def __init__(self, root: Path, store: str, database: str) -> None:
        super().__init__(root)
        self.write(oneoff_toml=SETTINGS, admin_py=ADMIN)
        self.urls = {"ONEOFF_STORE": store, "SHOP_DATABASE": database}

    def environ(self, given: Any) -> dict[str, str]:
        return super().environ({**self.urls, **dict(given or {})})

    def good(self, *arguments: str) -> Ended:
        ended = self(*arguments)
        assert ended.code == 0, ended.err
        return ended


def things(server: Server, database: str) -> int:
    [(count,)] = server.execute("SELECT count(*) FROM thing", database=database)
    return int(count)


def fill(server: Server, database: str) -> None:
    server.execute(
        "CREATE TABLE thing AS SELECT generate_series(1, 5) AS id",
        "GRANT ALL ON thing TO shop",
        database=database,
    )


@pytest.fixture
def server(postgres: Server) -> Server:
    if not postgres.execute("SELECT 1 FROM pg_roles WHERE rolname = 'shop'"):
        postgres.execute("CREATE ROLE shop LOGIN")
    return postgres


@pytest.fixture(params=["a database of its own", "the app's database"])
def shop(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[tuple[Shop, str]]:
    """A project whose store is made, and the name of the app's database."""
    with server.database() as app, server.database() as other:
        fill(server, app)
        store = app if "app" in request.param else other
        shop = Shop(tmp_path, server.url(store, "shop"), server.url(app, "shop"))
        shop.good("store", "init", "--owner-url", server.url(store))
        yield shop, app


def test_from_an_empty_database_to_verified_records(shop: tuple[Shop, str], server: Server) -> None:
    """Preview, run, detach, list, verify; the records are where the app's role cannot change them."""
    project, app = shop
    preview = project.good("run", "purge", "--dry-run", "-o", "json").json
    [database] = preview["dry_run_report"]["databases"]
    assert (database["level"], database["attempts"]) == ("sealed", [])
    assert [(table["table"], table["deleted"]) for table in database["tables"]] == [("thing", 3)]
    assert things(server, app) == 5
    project.good("run", "purge", "--beats", "3")
    assert things(server, app) == 2
    detached = project.good("run", "hello", "--detach", "-o", "json").json
    project.good("wait", detached["id"])
    assert {run["status"] for run in project.runs()} == {"succeeded"}
    verified = project.good("audit", "verify", "-o", "json").json
    assert (verified["ok"], verified["size"]) == (True, 9)
    findings = {finding["name"]: finding for finding in project.good("doctor", "-o", "json").json}
    assert findings["store"]["message"].startswith("postgresql://")
    unsafe = project("doctor", environ={"ONEOFF_STORE": server.url(app)})
    if f"/{app}?" in project.urls["ONEOFF_STORE"]:
        assert (unsafe.code, "postgres is a superuser" in unsafe.out) == (1, True)


def test_a_long_dry_run_keeps_its_lease(shop: tuple[Shop, str], server: Server) -> None:
    """The heartbeat writes while the app's own connections may not; after a lost connection as well."""
    project, app = shop
    process = subprocess.Popen(
        [ONEOFF, "run", "purge", "--dry-run", "--beats", "40", "-o", "json"],
        cwd=project.root,
        env=project.environ(None),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: "at work" in project("logs", "@latest").out)
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oneoff'")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert json.loads(out)["dry_run_report"]["databases"][0]["attempts"] == []
    assert things(server, app) == 5
    project.good("audit", "verify")


def test_a_task_gets_no_way_around_the_dry_run(shop: tuple[Shop, str]) -> None:
    """Only oneoff's own connection to the store may write; the task's is the task's."""
    project, _ = shop
    project("run", "meddle", "--dry-run")
    with psycopg.connect(project.urls["ONEOFF_STORE"], options="") as connection:
        names = connection.execute("SELECT name FROM oneoff.actor WHERE name = 'mallory'").fetchall()
    assert names == []


def test_what_is_missing_is_said(server: Server, tmp_path: Path) -> None:
    """No schema, no --owner-url, a file's store with one: each with its next step and exit code."""
    with server.database() as name:
        fill(server, name)
        url = server.url(name, "shop")
        project = Shop(tmp_path, url.replace("shop@", "shop:hunter2@"), url)
        refused = project("run", "purge")
        assert (refused.code, "oneoff store init --owner-url URL" in refused.err) == (3, True)
        assert things(server, name) == 5
        assert (project("store", "init").code, project("store", "upgrade").code) == (2, 2)
        assert "--owner-url" in project("store", "init").err
        assert project("doctor").code == 1
        refused = project("store", "init", "--owner-url", server.url(name, "shop"))
        assert (refused.code, "CREATEROLE" in refused.err) == (3, True)
        done = project.good("store", "init", "--owner-url", server.url(name), "--role", "shop", "-o", "json")
        assert "the role shop may read, and call the functions" in done.json["done"]
        done = project.good("store", "upgrade", "--owner-url", server.url(name), "--phase", "pre")
        assert "version 1" in done.out
        everything = [project("doctor"), project("run", "purge"), project("runs", "-o", "json"), refused]
        assert "hunter2" not in "".join(ended.out + ended.err for ended in everything)
        assert project.files_with("hunter2") == []


def test_the_owner_says_what_may_be_pruned(shop: tuple[Shop, str], server: Server) -> None:
    """Not the settings, nor the time in an event: the server's own time of it, and who owns the store."""
    project, _ = shop
    settings = project.root / "oneoff.toml"
    settings.write_text(settings.read_text() + '[tool.oneoff.audit]\nretention = "1d"\n')
    store = PostgresStore.open(project.urls["ONEOFF_STORE"])
    store.record(note())  # of long ago, by its own account
    store.close()
    refused = project("audit", "prune", "--reason", "room", "--yes")
    assert (refused.code, "keeps every event for 400 days" in refused.err) == (3, True)
    owner = project.urls["ONEOFF_STORE"].replace("shop@", "postgres@")
    done = project.good("store", "init", "--owner-url", owner, "--retention", "30").out
    assert "the store is there, version 1\nno event is pruned within 30 days\n" in done
    refused = project("audit", "prune", "--reason", "room", "--yes")
    assert (refused.code, "for 30 days" in refused.err, "--retention" in refused.err) == (3, True, True)
    assert project.good("audit", "verify", "-o", "json").json["pruned"] is None
    assert project("store", "init", "--owner-url", owner, "--retention", "0").code == 2


def test_a_store_in_a_file_needs_neither(tmp_path: Path) -> None:
    """Both verbs do what the first run does; --owner-url and --role are refused."""
    project = Project(tmp_path)
    project.write(oneoff_toml=SETTINGS.replace("app =", "# app ="))
    assert "made the store" in project("store", "init").out
    assert "the store is there" in project("store", "upgrade").out
    assert project("exec", "--", "true").code == 0
    refused = project("store", "init", "--owner-url", "postgresql://h/x")
    assert (refused.code, "a file has no --owner-url" in refused.err) == (2, True)
    assert project("store", "init", "--role", "shop").code == 2
    assert project("store", "init", "--retention", "30").code == 2


def test_a_server_stopped_in_the_middle(tmp_path: Path) -> None:
    """The task ends, its outcome waits on disk, and the next command that reaches the server records it."""
    with serve(fsync="on", synchronous_commit="on") as server:
        server.execute("CREATE ROLE shop LOGIN", "CREATE DATABASE records", "CREATE DATABASE app")
        fill(server, "app")
        project = Shop(tmp_path, server.url("records", "shop"), server.url("app", "shop"))
        project.good("store", "init", "--owner-url", server.url("records"))
        process = project.start("run", "purge", "--beats", "5")
        eventually((project.root / "started").exists)
        server.stop(signal.SIGQUIT)
        _, err = process.communicate(timeout=PATIENCE * 2)
        assert process.returncode == 7, err
        assert "the store cannot take it" in err
        refused = project("runs")
        assert (refused.code, "cannot be reached" in refused.err) == (3, True)
        server.start()
        shown = project("runs", "-o", "json")
        assert "left on disk before" in shown.err
        assert [run["status"] for run in shown.json] == ["succeeded"]
        project.good("audit", "verify")


def test_the_page_on_it_works(server: Server, tmp_path: Path) -> None:
    """Its commands do what they say, against a server at the address that the page uses."""
    text = (PROJECT / "docs" / "how-to" / "store-in-postgresql.md").read_text(encoding="utf-8")
    with server.database() as name:
        server.execute(f"DROP DATABASE {name}")  # the page makes it
        for theirs, ours in {
            "<!-- tested by: tests/acceptance/test_postgres_store.py -->\n": "",
            "postgresql://postgres@db.internal/records": server.url(name),
            "postgresql://postgres@db.internal/postgres": server.url("postgres"),
            "CREATE DATABASE records": f"CREATE DATABASE {name}",
            "ROLE shop": "ROLE reader",
            "the role shop": "the role reader",
            "made the role oneoff_owner, which cannot log in\n": "",  # another test has
        }.items():
            assert theirs in text
            text = text.replace(theirs, ours)
        (tmp_path / "page.md").write_text(text)
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "oneoff.toml").write_text("[tool.oneoff.tasks.hello]\ncommand = ['echo', 'hello']\n")
        reader = Reader(folder)
        reader.environ |= {
            "ONEOFF_STORE": server.url(name, "reader").replace("reader@", "reader:change%20me@"),
            "PATH": f"{server.binaries}:{reader.environ['PATH']}",
        }
        reader.play(tmp_path / "page.md")
    server.execute("DROP ROLE reader")
