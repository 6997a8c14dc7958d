"""oneoff with the admin CLI that an app has already, unchanged."""

from __future__ import annotations

import pytest

from tests.acceptance.frameworks.conftest import CLICK, ages
from tests.cli import Project, eventually


def test_the_tasks(clicked: Project) -> None:
    """Every command of the group is a task; one below a group has its name in front."""
    listed = clicked("tasks", "-o", "json").json
    assert [task["name"] for task in listed] == ["ask", "db:upgrade", "migrate-data"]
    assert [task["confirm"] for task in listed] == [
        None,
        None,
        "This will migrate production data. Continue?",
    ]
    assert clicked("run", "db:upgrade", "base").out == "at base\n"


def test_a_dry_run(clicked: Project) -> None:
    """Its own dry run does not replace the real path, which runs, held, without a question."""
    ended = clicked("run", "migrate-data", "--dry-run", "-o", "json")
    assert ended.code == 0, ended.err
    (database,) = ended.json["dry_run_report"]["databases"]
    changed = [(table["table"], table["updated"]) for table in database["tables"]]
    assert changed == [("carts_cart", 3)]
    assert "Migration complete" in ended.err and "Would migrate" not in ended.err
    assert ages(clicked) == [1, 100, 200]


def test_a_real_run(clicked: Project) -> None:
    """The app's own question is asked once, by oneoff, before anything runs; the log has the answer."""
    refused = clicked("run", "migrate-data")
    assert (refused.code, refused.out) == (3, "")
    assert "This will migrate production data. Continue?" in refused.err
    assert "next:  oneoff run migrate-data --yes" in refused.err
    ended = clicked("run", "migrate-data", "--yes")
    assert (ended.code, ended.out) == (0, "Migration complete\n")
    assert ages(clicked) == [2, 101, 201]
    log = clicked("logs", "@latest").out
    assert '"question":"This will migrate production data. Continue?","answer":"y"' in log


def test_at_a_terminal(clicked: Project) -> None:
    """One question, one answer."""
    with clicked.terminal("run", "migrate-data") as person:
        person.read_until("Continue? [y/N]")
        person.type("y\n")
        assert person.end() == 0
    assert person.seen.count("[y/N]") == 1
    assert ages(clicked) == [2, 101, 201]


def test_a_question_that_nobody_knew_of(clicked: Project) -> None:
    """Without a terminal the run fails and says how it would not; with ``--yes`` it is answered."""
    ended = clicked("run", "ask", "--what", "all")
    assert (ended.code, ended.out) == (1, "")
    assert "the command asks, and nobody can be asked: Clear all?" in ended.err
    assert "--yes answers it" in ended.err
    assert clicked("run", "ask", "--yes").out == "cleared the cache\n"
    with clicked.terminal("run", "ask") as person:
        person.read_until("Clear the cache? [y/N]")
        person.type("n\n")
        assert person.end() == 1
    assert "the command was aborted" in clicked.latest()["error"]


def test_a_process_of_its_own(clicked: Project) -> None:
    """The confirmation goes with the run: nothing waits for an answer there."""
    assert clicked("run", "migrate-data", "--yes", "--detach").code == 0
    eventually(lambda: clicked.latest()["status"] == "succeeded")
    assert ages(clicked) == [2, 101, 201]


@pytest.mark.parametrize(
    ("reference", "words"),
    [("cli:migrate_data", "migrate-data"), ("cli:db", "upgrade")],
)
def test_a_command_or_a_group_of_its_own(clicked: Project, reference: str, words: str) -> None:
    """``app`` may lead to any command."""
    listed = clicked("--app", reference, "tasks", "-o", "json").json
    assert [task["name"] for task in listed] == [words]


def test_beside_a_flask_app(clicked: Project) -> None:
    """A project that has both gets both sets; of two with one name, the one that is named in ``app`` wins."""
    wsgi = "from flask import Flask\n\napp = Flask('site')\n\n"
    wsgi += "@app.cli.command('ask')\ndef ask():\n    pass\n\n"
    wsgi += "@app.cli.command()\ndef hello():\n    print('hello')\n"
    clicked.write(wsgi_py=wsgi)
    listed = clicked("tasks", "-o", "json").json
    assert [(task["name"], task["hides"]) for task in listed if task["name"] in ("ask", "hello")] == [
        ("ask", ["site (Flask)"]),
        ("hello", []),
    ]
    assert clicked("run", "hello").out == "hello\n"


def test_the_project_has_a_name(clicked: Project) -> None:
    """The records are those of the project as pyproject.toml calls it."""
    clicked.write(pyproject_toml='[project]\nname = "my-shop"\nversion = "3.1"\n')
    clicked("run", "db:upgrade")
    run = clicked.latest()
    assert (run["app"], run["release"]["version"]) == ("my-shop", "3.1")


def test_a_cli_that_cannot_be_imported(clicked: Project) -> None:
    """It is an app that is broken, as any other."""
    clicked.write(cli_py=CLICK.replace("import click", "import click, nothing_of_that_name"))
    ended = clicked("run", "ask")
    assert ended.code == 3
    assert "error: cli cannot be imported" in ended.err


def test_what_is_outside_of_the_database(clicked: Project) -> None:
    """A command has no ctx: ``oneoff.effect`` is recorded in a dry run, and carried out in a real one."""
    (clicked.root / "mailed.py").write_text(
        "import click, oneoff\n"
        "from pathlib import Path\n"
        "@click.command()\n"
        "def notify():\n"
        "    oneoff.effect('tell them', Path('told.txt').write_text, 'told')\n"
    )
    (clicked.root / "oneoff.toml").write_text('[tool.oneoff]\napp = "mailed:notify"\n')
    dry = clicked("run", "notify", "--dry-run")
    assert dry.code == 0, dry.err
    assert "tell them (pathlib.Path.write_text)" in dry.out
    assert not (clicked.root / "told.txt").exists()
    assert clicked("run", "notify").code == 0
    assert (clicked.root / "told.txt").read_text() == "told"
