"""The guards of a dry run in the installed command: functions, commands, and what is required of them."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli import Project, eventually
from tests.postgres import Server, serve

_SETTINGS = """
[tool.oneoff]
app = "admin:admin"

[tool.oneoff.environments.strict]
require_level = ["copy", "landlock"]

[tool.oneoff.environments.previews]
preview_environ = {{ DATABASE_URL = "READ_URL" }}

[tool.oneoff.tasks.build]
command = ["sh", "-c", "echo built >built.txt"]

[tool.oneoff.tasks.plan]
command = ["sh", "-c", "echo built >built.txt"]
dry_run_command = ["sh", "-c", "echo would build; echo x >planned.txt || exit 4"]

[tool.oneoff.tasks.look]
command = ["wc", "-c", "shop.db"]

[tool.oneoff.tasks.sleep]
command = ["sleep", "60"]

[tool.oneoff.tasks.write]
command = ["{psql}", "{given}", "-c", "UPDATE account SET balance = 1"]

[tool.oneoff.tasks.read]
command = ["sh", "-c", "{psql} $DATABASE_URL -Atc 'SELECT sum(balance) FROM account'"]
"""
_ADMIN = """
import os
import sqlite3
import tempfile
import threading
import time

import oneoff

admin = oneoff.App("shop", database=os.environ.get("APP_DATABASE", "sqlite:///shop.db"))


@admin.task
def change():
    with sqlite3.connect("shop.db") as connection:
        connection.execute("UPDATE account SET balance = balance + 1")
    with tempfile.TemporaryFile() as file:
        file.write(b"x")


@admin.task
def wait(ctx):
    with sqlite3.connect("shop.db") as connection:
        connection.execute("UPDATE account SET balance = 0")
    print("waiting", flush=True)
    ctx.sleep(30)


@admin.task
def swallow():
    for _ in range(2):
        try:
            open("new.txt", "w")
        except BaseException:
            pass
    print("went on")


@admin.task
def leave_a_thread():
    threading.Thread(target=lambda: (time.sleep(1), open("late.txt", "w"))).start()


@admin.task
def count():
    import psycopg

    with psycopg.connect(os.environ["APP_DATABASE"]) as connection:
        connection.execute("UPDATE account SET balance = 7")


@admin.task
def connect_past():
    import psycopg

    count()
    psycopg.connect(os.environ["APP_DATABASE"], options="-c statement_timeout=1000")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write(admin_py=_ADMIN, oneoff_toml=_SETTINGS.format(psql="psql", given="none"))
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE account (balance int)")
        connection.execute("INSERT INTO account VALUES (5)")
        connection.commit()
    return project


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that has to be empty in the end."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that listens at a port: a command is let through to no unix socket."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serve(listen_addresses="127.0.0.1", port=str(port)) as server:
        yield server


def _url(server: Server, database: str, user: str = "postgres") -> str:
    return f"postgresql://{user}@127.0.0.1:{server.settings['port']}/{database}"


def _files(project: Project) -> list[str]:
    return sorted(path.name for path in project.root.iterdir() if path.suffix == ".txt")


class TestFunctions:
    """Held by the audit hook, and by Landlock where the kernel has it."""

    def test_the_record_is_made_with_the_rights_that_the_task_has_not(self, project: Project) -> None:
        """The task's thread may write nothing; the run ends, is shown, and its log is whole all the same."""
        ended = project("run", "change", "--dry-run", "--require-level", "landlock", "-o", "json")
        assert (ended.code, ended.json["status"]) == (0, "succeeded"), ended.err
        report = ended.json["dry_run_report"]
        assert (report["level"], report["guard"], report["attempts"]) == ("copy", "landlock", [])
        assert project("audit", "verify").code == 0
        assert "checkpoint" in project("logs", "@latest").out
        assert not list((project.root / ".oneoff").glob("*-wal"))

    def test_what_is_swallowed_makes_it_fail(self, project: Project) -> None:
        """The line is named, and that the counts are not all."""
        ended = project("run", "swallow", "--dry-run")
        assert ended.code == 1
        assert "went on" in ended.out
        assert "the task would write new.txt (admin.py, line " in ended.out
        assert "INCOMPLETE" in ended.out
        assert _files(project) == []

    def test_a_thread_that_is_left_behind(self, project: Project) -> None:
        """It is held until its end, and the run is recorded meanwhile."""
        ended = project("run", "leave-a-thread", "--dry-run")
        assert ended.code == 0
        assert "DryRunStopped" in ended.err
        assert _files(project) == []
        assert project.latest()["status"] == "succeeded"

    @pytest.mark.parametrize(
        ("number", "status"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "interrupted")]
    )
    def test_signals_work_as_ever(self, project: Project, number: signal.Signals, status: str) -> None:
        """Asked to stop, it stops, and leaves nothing."""
        with project.start("run", "wait", "--dry-run") as process:
            assert process.stdout
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(number)
            process.communicate(timeout=15)
        assert project.latest()["status"] == status

    def test_a_kill_in_the_middle(self, project: Project) -> None:
        """The next dry run removes what it left; the run is lost and not running for ever."""
        with project.start("run", "wait", "--dry-run") as process:
            assert process.stdout
            assert process.stdout.readline() == "waiting\n"
            process.kill()
            process.communicate(timeout=15)
        assert project("run", "change", "--dry-run").code == 0
        assert [run["status"] for run in project.runs()] == ["succeeded", "lost"]

    def test_the_sealed_database_can_be_reached(self, project: Project, server: Server) -> None:
        """Landlock lets the thread connect to its port alone."""
        with server.database() as name:
            server.execute(
                "CREATE TABLE account (balance int, id int PRIMARY KEY)",
                "INSERT INTO account VALUES (5, 1)",
                database=name,
            )
            environ = {"APP_DATABASE": _url(server, name)}
            ended = project("run", "count", "--dry-run", "-o", "json", environ=environ)
            assert ended.code == 0, ended.err
            tables = ended.json["dry_run_report"]["databases"][0]["tables"]
            assert [(table["table"], table["updated"]) for table in tables] == [("account", 1)]
            assert server.execute("SELECT balance FROM account", database=name) == [(5,)]

    def test_a_connection_that_cannot_be_held_fails_what_has_begun(
        self, project: Project, server: Server
    ) -> None:
        """It is no refusal: half of the work was done, and the report shows it."""
        with server.database() as name:
            server.execute("CREATE TABLE account (balance int)", database=name)
            environ = {"APP_DATABASE": _url(server, name)}
            ended = project("run", "connect-past", "--dry-run", "-o", "json", environ=environ)
        assert (ended.code, ended.json["status"]) == (1, "failed"), ended.err
        assert "is not read-only" in ended.json["error"]
        report = ended.json["dry_run_report"]
        assert not report["complete"]
        assert [one["sql"] for one in report["databases"][0]["statements"]] == [
            "UPDATE account SET balance = 7"
        ]


class TestCommands:
    """Held by the kernel, together with all that they start."""

    def test_one_that_only_reads(self, project: Project) -> None:
        """It runs, its output is shown, and the report says what that is worth."""
        ended = project("run", "look", "--dry-run")
        assert ended.code == 0
        assert "8192 shop.db" in ended.out
        assert "level preview" in ended.out
        assert "it reaches none" in ended.out

    def test_one_that_writes(self, project: Project) -> None:
        """The kernel says no, the command fails, and its exit code is in the record."""
        ended = project("run", "build", "--dry-run", "-o", "json")
        assert (ended.code, ended.json["status"], ended.json["exit_code"]) == (1, "failed", 2)
        assert ended.json["dry_run_report"]["complete"] is False
        assert _files(project) == []

    def test_what_is_declared_runs_in_its_place_and_is_held_as_well(self, project: Project) -> None:
        """A command's own word that it only plans is not enough."""
        ended = project("run", "plan", "--dry-run", "-o", "json")
        assert "would build" in ended.err
        assert (ended.json["exit_code"], _files(project)) == (4, [])
        assert ended.json["dry_run_report"]["command"][2].startswith("echo would build")
        assert ended.json["command"][2] == "echo built >built.txt"

    def test_exec(self, project: Project) -> None:
        """A raw command too."""
        assert project("exec", "--dry-run", "--", "wc", "-c", "shop.db").code == 0
        assert project("exec", "--dry-run", "--", "touch", "touched.txt").code == 1
        assert _files(project) == []
        latest = project.latest()["id"]
        assert project("rerun", latest).code == 1

    @pytest.mark.parametrize(
        ("program", "words"),
        [("no-such-program", "there is no program"), ("./oneoff.toml", "may not be executed")],
    )
    def test_a_program_that_cannot_start(self, project: Project, program: str, words: str) -> None:
        """It is refused as without the dry run, and no report says that anything ran."""
        ended = project("exec", "--dry-run", "--", program)
        assert (ended.code, project.latest()["status"]) == (3, "refused")
        assert words in ended.err
        assert "it ran" not in ended.out
        assert _files(project) == []

    def test_a_command_can_be_stopped(self, project: Project) -> None:
        """Its guardian passes the signal on to what is held."""
        with project.start("run", "sleep", "--dry-run") as process:
            eventually(lambda: project.runs() and project.runs()[0]["status"] == "running")
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=15)
        assert project.latest()["status"] == "interrupted"


class TestDatabasesOfCommands:
    """None, or one that the server itself says can only be read."""

    @pytest.fixture
    def shop(self, project: Project, server: Server) -> Iterator[str]:
        with server.database() as name:
            server.execute(
                "CREATE TABLE account (id serial, balance int)",
                "INSERT INTO account (balance) VALUES (5)",
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
                "DROP ROLE IF EXISTS looker",
                "CREATE ROLE looker LOGIN",
                "GRANT SELECT ON account TO looker",
                database=name,
            )
            psql = str(server.binaries / "psql")
            project.write(oneoff_toml=_SETTINGS.format(psql=psql, given=_url(server, name)))
            yield name
            server.execute("DROP OWNED BY looker", "DROP ROLE looker", database=name)

    def test_without_one_that_can_only_be_read_none_is_reached(
        self, project: Project, server: Server, shop: str
    ) -> None:
        """A client that takes no start-up options from PGOPTIONS would write."""
        ended = project("run", "write", "--dry-run")
        assert ended.code == 1
        assert server.execute("SELECT balance FROM account", database=shop) == [(5,)]

    def test_one_that_can_only_be_read(self, project: Project, server: Server, shop: str) -> None:
        """The command gets its URL in place of the app's; the report names it, and what is not covered."""
        environ = {"READ_URL": _url(server, shop, "looker"), "DATABASE_URL": _url(server, shop)}
        ended = project("run", "read", "--env", "previews", "--dry-run", environ=environ)
        assert ended.code == 0, ended.err
        assert ended.out.startswith("5\n")
        assert f"postgresql {shop} on" in ended.out
        assert "as looker (preview)" in ended.out
        assert "with another name and password" in ended.out

    @pytest.mark.parametrize(
        ("right", "words"),
        [
            ("GRANT UPDATE ON account TO looker", "it may write the table account"),
            ("GRANT UPDATE (balance) ON account TO looker", "it may write the table account"),
            ("GRANT USAGE ON SEQUENCE account_id_seq TO looker", "it may move the sequence account_id_seq"),
            ("GRANT CREATE ON SCHEMA public TO looker", "it may make things in the schema public"),
            ("GRANT pg_write_all_data TO looker", "it may write the table account"),
            ("ALTER ROLE looker CREATEDB", "it is a superuser or makes databases or roles, as looker"),
            (
                "CREATE FUNCTION w() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
                "it may call as its owner the function w()",
            ),
        ],
    )
    def test_one_that_can_be_written(
        self, project: Project, server: Server, shop: str, right: str, words: str
    ) -> None:
        """It is refused before anything runs, and the right that is too much is named."""
        server.execute(right, database=shop)
        environ = {"READ_URL": _url(server, shop, "looker")}
        ended = project("run", "read", "--env", "previews", "--dry-run", environ=environ)
        assert ended.code == 3
        assert words in ended.err
        assert project.latest()["status"] == "refused"

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            (None, "READ_URL, which is not set"),
            ("mysql://u:hunter2@h/d", "PostgreSQL to read"),
            ("postgresql://u:hunter2@127.0.0.1:1/d", "cannot be reached"),
        ],
    )
    def test_one_that_cannot_be_looked_at(self, project: Project, url: str | None, words: str) -> None:
        """Refused, without its password."""
        environ = {"READ_URL": url} if url else {}
        ended = project("run", "look", "--env", "previews", "--dry-run", environ=environ)
        assert ended.code == 3
        assert words in ended.err
        assert "hunter2" not in ended.err


class TestRequirements:
    """A dry run that is held by less than is wanted is refused."""

    def test_by_option(self, project: Project) -> None:
        """Before anything runs, and the refusal is recorded."""
        ended = project("run", "look", "--dry-run", "--require-level", "sealed")
        assert ended.code == 3
        assert "held at level preview by landlock here, and sealed is required" in ended.err
        assert "--require-level" in ended.err
        assert project.latest()["status"] == "refused"
        assert project("exec", "--dry-run", "--require-level", "copy", "--", "true").code == 3

    def test_by_environment(self, project: Project) -> None:
        """Whoever asks for the run need not think of it."""
        assert project("run", "change", "--env", "strict", "--dry-run").code == 0
        assert project("run", "look", "--env", "strict", "--dry-run").code == 3
        assert project("run", "look", "--env", "strict").code == 0

    @pytest.mark.parametrize(
        ("options", "words"),
        [(["--yes"], "is about a dry run"), (["--dry-run", "--detach"], "does not reach the process")],
    )
    def test_where_it_means_nothing(self, project: Project, options: list[str], words: str) -> None:
        """It is not ignored."""
        ended = project("run", "look", "--require-level", "copy", *options)
        assert ended.code == 2
        assert words in ended.err

    def test_in_a_rerun(self, project: Project) -> None:
        """As in the first run."""
        assert project("run", "change", "--dry-run").code == 0
        assert project("rerun", "@latest", "--require-level", "landlock").code == 0
