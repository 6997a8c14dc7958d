"""oneoff in the folder of a Flask app that knows nothing of it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.acceptance.frameworks.conftest import ages
from tests.cli import Project, eventually

FLASK = str(Path(sys.executable).with_name("flask"))


def names(project: Project, **variables: str) -> list[str]:
    """The tasks."""
    listed = project("tasks", "-o", "json", environ=variables)
    assert listed.code == 0, listed.err
    return [task["name"] for task in listed.json]


class TestFinding:
    """The app is found as ``flask`` finds it."""

    def test_its_own_commands(self, flask: Project) -> None:
        """Those that the app has put on ``app.cli``, groups included, and none of Flask's."""
        assert names(flask) == ["purge-carts", "users:report"]
        shown = flask("show", "purge_carts", "-o", "json").json
        assert list(shown["parameters"]["properties"]) == ["shops", "days"]
        assert (shown["confirm"], shown["origin"]) == ("This deletes carts. Continue?", "shop (Flask)")

    def test_by_the_variable(self, flask: Project) -> None:
        """``FLASK_APP`` names a factory, with arguments if need be; it wins over the files."""
        (flask.root / "wsgi.py").write_text("raise SystemExit('imported')")
        assert names(flask, FLASK_APP="shop:create_app()") == ["purge-carts", "users:report"]
        assert names(flask, FLASK_APP="shop") == ["purge-carts", "users:report"]

    def test_an_app_that_is_named(self, flask: Project) -> None:
        """``app`` may lead to the factory as well; nothing is listed twice."""
        flask.write(oneoff_toml='[tool.oneoff]\napp = "shop:create_app"\n')
        assert names(flask) == ["purge-carts", "users:report"]
        assert flask("show", "purge-carts", "-o", "json").json["hides"] == []

    def test_no_app_where_one_is_named(self, flask: Project) -> None:
        """Flask's own words say why."""
        ended = flask("tasks", environ={"FLASK_APP": "shop:nothing"})
        assert ended.code == 2
        assert "Failed to find attribute 'nothing' in 'shop'" in ended.err

    def test_a_file_of_that_name_that_is_no_flask_app(self, flask: Project) -> None:
        """Beside tasks of another kind it is not even imported."""
        (flask.root / "wsgi.py").write_text("raise SystemExit('imported')")
        flask.write(oneoff_toml='[tool.oneoff.tasks.x]\ncommand = ["true"]\n')
        assert names(flask) == ["x"]

    def test_a_file_that_calls_the_factory(self, flask: Project) -> None:
        """Beside tasks of another kind it is looked at, though it does not say Flask."""
        flask.write(oneoff_toml='[tool.oneoff.tasks.x]\ncommand = ["true"]\n')
        assert names(flask) == ["purge-carts", "users:report", "x"]

    def test_an_app_that_cannot_be_imported(self, flask: Project) -> None:
        """Its own traceback, what to do, and a record of the attempt."""
        (flask.root / "shop" / "__init__.py").write_text("import flask\nraise LookupError('no luck')\n")
        ended = flask("run", "purge-carts")
        assert ended.code == 3
        assert "LookupError: no luck" in ended.err and "error: the Flask app cannot be loaded" in ended.err
        assert flask.latest()["status"] == "refused"

    def test_commands_of_others_on_request(self, flask: Project) -> None:
        """``include`` makes tasks of Flask's own."""
        flask.write(oneoff_toml='[tool.oneoff]\ninclude = "routes"\n')
        assert names(flask) == ["purge-carts", "routes", "users:report"]
        assert "/static/<path:filename>" in flask("run", "routes").out

    def test_a_command_that_flask_hides(self, flask: Project) -> None:
        """An own command of a name that ``flask`` has itself is no task, and that is said."""
        module = flask.root / "shop" / "__init__.py"
        module.write_text(module.read_text() + '\n\n@click.command("run")\ndef own():\n    pass\n')
        wsgi = flask.root / "wsgi.py"
        wsgi.write_text(wsgi.read_text() + "import shop\napp.cli.add_command(shop.own)\n")
        assert "no task: run: Flask or a library has a command of that name" in flask("tasks").err


class TestRuns:
    """What a run of such a task is."""

    def test_a_dry_run(self, flask: Project) -> None:
        """With no configuration: the real path runs, its question is answered, and nothing stays."""
        ended = flask("run", "purge-carts", "--dry-run", "-o", "json")
        assert ended.code == 0, ended.err
        (database,) = ended.json["dry_run_report"]["databases"]
        assert database["tables"] == [
            {"table": "cart", "inserted": 0, "updated": 0, "deleted": 2, "note": ""}
        ]
        assert "deleted 2 of () in shop" in ended.err and "its own dry run" not in ended.err
        assert "This deletes carts. Continue?" in ended.err
        assert ages(flask, "cart") == [1, 100, 200]

    def test_a_real_run(self, flask: Project) -> None:
        """The question is asked before anything runs, and its answer is passed on."""
        refused = flask("run", "purge-carts", "--days", "150")
        assert (refused.code, refused.out) == (3, "")
        assert "This deletes carts. Continue?" in refused.err
        ended = flask("run", "purge-carts", "3", "--days", "150", "--yes")
        assert (ended.code, ended.out) == (0, "deleted 1 of (3,) in shop\n")
        assert ages(flask, "cart") == [1, 100]

    def test_a_process_of_its_own_and_again(self, flask: Project) -> None:
        """``--detach`` and ``rerun`` work as with any task."""
        assert flask("run", "purge-carts", "--yes", "--detach", "--run-id", "first").code == 0
        eventually(lambda: flask("show", "first", "-o", "json").json["status"] == "succeeded")
        assert ages(flask, "cart") == [1]
        assert flask("rerun", "first", "--yes").out == "deleted 0 of () in shop\n"

    def test_an_engine_of_a_module(self, flask: Project) -> None:
        """Plain SQLAlchemy: the engine that the app's modules hold is its database."""
        (flask.root / "shop" / "__init__.py").write_text(PLAIN)
        report = flask("run", "empty", "--dry-run", "-o", "json").json["dry_run_report"]
        assert report["databases"][0]["tables"][0]["deleted"] == 3
        assert ages(flask, "cart") == [1, 100, 200]

    def test_a_database_that_is_named(self, flask: Project) -> None:
        """``database`` names a function; it is called inside of an app context."""
        (flask.root / "shop" / "__init__.py").write_text(IN_CONTEXT)
        flask.write(oneoff_toml='[tool.oneoff]\ndatabase = "shop:engine"\n')
        report = flask("run", "empty", "--dry-run", "-o", "json").json["dry_run_report"]
        assert report["databases"][0]["tables"][0]["deleted"] == 3
        assert ages(flask, "cart") == [1, 100, 200]


PLAIN = """
import sqlalchemy as sa
from flask import Flask

engine = sa.create_engine("sqlite:///shop.sqlite3")


def create_app():
    app = Flask(__name__)

    @app.cli.command()
    def empty():
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM cart"))

    return app
"""
IN_CONTEXT = """
import sqlalchemy as sa
from flask import Flask, current_app


def engine():
    if "made" not in current_app.extensions:
        current_app.extensions["made"] = sa.create_engine(current_app.config["DATABASE"])
    return current_app.extensions["made"]


def create_app():
    app = Flask(__name__)
    app.config["DATABASE"] = "sqlite:///shop.sqlite3"

    @app.cli.command()
    def empty():
        with engine().begin() as connection:
            connection.execute(sa.text("DELETE FROM cart"))

    return app
"""
OWN_PROGRAM = """
import click
from flask.cli import FlaskGroup

from shop import create_app


@click.group(cls=FlaskGroup, create_app=create_app)
def cli():
    pass


if __name__ == "__main__":
    cli()
"""


class TestFlaskOneoff:
    """``flask oneoff`` is there where oneoff is installed."""

    def test_the_whole_command_line(self, flask: Project) -> None:
        """It serves the app that ``flask`` was given, also to a process of its own."""
        (flask.root / "wsgi.py").unlink()
        program = (FLASK, "--app", "shop", "oneoff")
        ended = flask("run", "purge-carts", "--days", "150", program=program)
        assert ended.code == 3
        assert "next:  flask --app shop oneoff run purge-carts --days 150 --yes" in ended.err
        assert flask("run", "purge-carts", "--days", "150", "--yes", program=program).code == 0
        assert flask("run", "purge-carts", "--yes", "--detach", program=program).code == 0
        eventually(lambda: ages(flask, "cart") == [1])
        assert flask("audit", "verify", program=program).code == 0

    def test_a_program_of_its_own(self, flask: Project) -> None:
        """A ``FlaskGroup`` with a factory has it too; nothing else could name its app."""
        (flask.root / "wsgi.py").unlink()
        flask.write(program_py=OWN_PROGRAM)
        program = (sys.executable, "program.py", "oneoff")
        assert "purge-carts" in flask("tasks", program=program).out
        assert flask("run", "purge-carts", "--yes", program=program).out == "deleted 2 of () in shop\n"
        refused = flask("run", "purge-carts", "--yes", "--detach", program=program)
        assert refused.code == 2 and "would not find this app" in refused.err
        assert names(flask, ONEOFF_APP="program:cli") == ["purge-carts", "users:report"]
