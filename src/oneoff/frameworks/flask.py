"""The commands of a Flask app, as tasks. The app is found as the ``flask`` command finds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oneoff.errors import AppBroken, AppNotFound
from oneoff.frameworks.clicks import Leaf, Program, code_of, leaves, task_of
from oneoff.frameworks.engines import engines_of, one_or_several, within
from oneoff.frameworks.found import Found, Project, importable, made, own_code
from oneoff.frameworks.signs import flask_files, names_flask_app
from oneoff.tasks.registry import LeftOut

if TYPE_CHECKING:
    import flask
    from flask.cli import FlaskGroup

_NEXT = (
    "`flask routes` says the same; or set `discover = false` under [tool.oneoff], if oneoff should let it be"
)


def find(root: Path, flask_app: str | None, include: tuple[str, ...], *, alone: bool) -> Found | None:
    """The commands of the Flask app in a folder, where :func:`~oneoff.frameworks.signs.has_flask`.

    None where it has no app after all, and need not have one.

    Raises:
        AppBroken: it cannot be imported.
        AppNotFound: it has no app, and nothing else is there or somebody says that there is one.
    """
    importable(root)
    try:
        return of_app(_loaded(root), root, include)
    except AppNotFound:
        if alone or names_flask_app(root, flask_app):
            raise
        return None


def is_app(thing: object) -> bool:
    """Whether this is a Flask app; Flask is not loaded for the question."""
    cls = _loaded_class("flask", "Flask")
    return cls is not None and isinstance(thing, cls)


def is_group(thing: object) -> bool:
    """Whether this is the group that a program of its own has in place of ``flask``."""
    cls = _loaded_class("flask.cli", "FlaskGroup")
    return cls is not None and isinstance(thing, cls)


def _loaded_class(module: str, name: str) -> type | None:
    cls = getattr(sys.modules.get(module), name, None)
    return cls if isinstance(cls, type) else None


def _loaded(root: Path) -> flask.Flask:
    from flask.cli import NoAppException, ScriptInfo, load_dotenv
    from flask.helpers import get_load_dotenv

    os.environ["FLASK_RUN_FROM_CLI"] = "true"  # as `flask` does: then app.run() starts no server
    if get_load_dotenv():
        load_dotenv()
    named = os.environ.get("FLASK_APP")  # only now: a .flaskenv may have set it
    with own_code("the Flask app cannot be loaded", next_step=_NEXT):
        try:
            return ScriptInfo(app_import_path=named or str(flask_files(root)[0])).load_app()
        except NoAppException as error:
            words = error.format_message()  # Flask says so of an import that failed as well
            if "ImportError" in words:
                raise AppBroken(words, next_step=_NEXT) from None
            raise AppNotFound(words) from None


def of_group(group: FlaskGroup, root: Path, include: tuple[str, ...]) -> Found:
    """The commands of an app whose program has a group of its own (``FlaskGroup(create_app=…)``)."""
    from flask.cli import ScriptInfo

    with own_code("the Flask app cannot be loaded", next_step=_NEXT):
        app = ScriptInfo(create_app=group.create_app).load_app()
    return of_app(app, root, include)


def of_app(app: flask.Flask, root: Path, include: tuple[str, ...]) -> Found:
    """The commands of an app: those that the project itself has put on ``app.cli``, and what is included."""
    from flask.cli import FlaskGroup, ScriptInfo

    project = Project(root, app.import_name.partition(".")[0], include)
    group = FlaskGroup(create_app=lambda: app)
    program = Program(
        command=group,
        name="flask",
        origin=f"{app.import_name} (Flask)",
        obj=ScriptInfo(create_app=lambda: app),
        own_options=False,
    )
    with own_code("the Flask app's commands cannot be listed", next_step=_NEXT), app.app_context():
        own = {leaf.name: leaf for leaf in leaves(_only_app(app)) if _is_own(leaf, project)}
        winners = {leaf.name: leaf for leaf in leaves(program)}
        names = [name for name, leaf in winners.items() if _same(own.get(name), leaf) or project.wants(name)]
        tasks, left_out = made(names, lambda name: task_of(program, winners[name]))
    hidden = [
        LeftOut(name=name, why="Flask or a library has a command of that name, which `flask` prefers")
        for name, leaf in own.items()
        if not _same(winners.get(name), leaf) and name not in names
    ]
    return Found(
        tasks=tuple(tasks),
        left_out=(*left_out, *hidden),
        database=_database(app, project),
        context=app.app_context,
    )


def _only_app(app: flask.Flask) -> Program:
    return Program(command=app.cli, name="flask", origin="")


def _same(one: Leaf | None, other: Leaf) -> bool:
    return one is not None and one.command is other.command


def _is_own(leaf: Leaf, project: Project) -> bool:
    code = code_of(leaf.command)
    if code is None:
        return False
    return project.owns(code.__module__, code.__code__.co_filename)


def _database(app: flask.Flask, project: Project) -> Any:
    """What Flask-SQLAlchemy knows inside an app context, else the engines that the app's modules hold."""
    extension: Any = app.extensions.get("sqlalchemy")
    if not hasattr(type(extension), "engines"):  # not asked of itself: it needs the context
        return engines_of(project)

    def databases() -> Any:
        return one_or_several(list(extension.engines.values()))

    return within(app.app_context, databases)
