"""The management commands of a Django project, as tasks.

A project is found by its ``manage.py``, which is executed as far as the point where a command would begin:
whatever it does before (variables, the path, a ``.env``) holds here too. Else by ``DJANGO_SETTINGS_MODULE``.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

from oneoff.errors import AppBroken, CommandFailed
from oneoff.frameworks import questions
from oneoff.frameworks.argparses import line_of
from oneoff.frameworks.arguments import Line, said_of
from oneoff.frameworks.found import (
    Found,
    Project,
    RunOfTask,
    code_of_module,
    importable,
    made,
    name_of,
    own_code,
    traced,
)
from oneoff.tasks.registry import LeftOut
from oneoff.tasks.task import Task

_CORE = "django.core"
_NOT_DISCOVERED = "or set `discover = false` under [tool.oneoff], if oneoff should leave Django alone"


def find(root: Path, manage: Path | None, include: tuple[str, ...]) -> Found:
    """The commands of the Django project in a folder.

    Args:
        manage: its ``manage.py``; None where ``DJANGO_SETTINGS_MODULE`` is set instead.

    Raises:
        AppBroken: it does not start.
    """
    if find_spec("django") is None:
        raise AppBroken(
            "this is a Django project, and Django is not installed where oneoff is",
            next_step=f"install oneoff into the environment of the project, {_NOT_DISCOVERED}",
        )
    importable(root)
    module = _started(manage)
    return _found(Project(root, module.partition(".")[0], include))


def _started(manage: Path | None) -> str:
    """Start Django; the module of its settings."""
    import django
    from django.apps import apps
    from django.conf import ENVIRONMENT_VARIABLE, settings

    if not apps.ready:
        if manage is not None:
            _execute(manage)
        where = "manage.py" if manage is not None else ENVIRONMENT_VARIABLE
        with own_code(
            f"the Django project cannot be started with the settings that {where} names",
            next_step=f"`python manage.py check` says the same once that is mended; {_NOT_DISCOVERED}",
        ):
            django.setup()
    return str(getattr(settings, "SETTINGS_MODULE", ""))


def _execute(manage: Path) -> None:
    """Do what manage.py does before its command, and no command."""
    from django.core.management import ManagementUtility

    arguments, execute = sys.argv, ManagementUtility.execute
    sys.argv, ManagementUtility.execute = [str(manage), "oneoff"], lambda self: None
    try:
        with own_code(f"{manage.name} raised", next_step=f"try `python manage.py help`, {_NOT_DISCOVERED}"):
            runpy.run_path(str(manage), run_name="__main__")
    finally:
        sys.argv, ManagementUtility.execute = arguments, execute


def _found(project: Project) -> Found:
    from django.core.management import get_commands

    own = set(_own_apps(project))
    owners = _owners()
    winners: dict[str, str] = get_commands()
    names = [name for name, winner in sorted(winners.items()) if winner in own or project.wants(name)]
    tasks, left_out = made(
        names,
        lambda name: _task(name, winners[name], [app for app in owners[name] if app != winners[name]]),
    )
    beaten = [name for name in sorted(winners) if name not in names and own & set(owners[name])]
    left_out += [
        LeftOut(name=name, why=f"Django prefers the command of that name in {winners[name]}")
        for name in beaten
    ]
    return Found(tasks=tuple(tasks), left_out=tuple(left_out), database=_aliases())


def _own_apps(project: Project) -> Iterator[str]:
    from django.apps import apps

    for config in apps.get_app_configs():
        if project.owns(config.name, str(Path(config.path) / "apps.py")):
            yield config.name


def _owners() -> dict[str, list[str]]:
    """Each command with the apps that have it."""
    from django.apps import apps
    from django.core import management

    places = [(_CORE, Path(management.__path__[0]))]
    places += [(config.name, Path(config.path) / "management") for config in apps.get_app_configs()]
    owners: dict[str, list[str]] = {}
    for app, path in places:
        for name in management.find_commands(str(path)):
            owners.setdefault(name, []).append(app)
    return owners


def _task(name: str, app: str, hidden: list[str]) -> Task:
    from django.core.management import load_command_class
    from django.core.management.base import BaseCommand

    module = import_module(f"{app}.management.commands.{name}")
    command = load_command_class(app, name)
    framework = BaseCommand().create_parser("manage.py", name)
    ignored = {option for action in framework._actions for option in action.option_strings}
    line = line_of(command.create_parser("manage.py", name), ignored)
    asks, question = questions.question_of(_functions(type(command)))
    task = name_of(name)
    if question is None and (asks or line.asks):
        question = f"{task} asks before it goes on. Continue?"
    text = (
        str(command.help or "").strip() or (module.__doc__ or "").strip() or f"The command {name} of {app}."
    )
    return Task(
        name=task,
        help="\n\n".join(filter(None, (text, said_of([line])))),
        parameters=tuple(argument.parameter for argument in line.arguments),
        confirm=question,
        function=_calling(name, app, line, code_of_module(module)),
        takes_context=True,
        origin=f"{app} (Django)",
        hides=tuple(f"{other} (Django)" for other in hidden),
    )


def _functions(command: type) -> list[FunctionType]:
    """The functions of a command's class, and of its bases outside Django."""
    return [
        member
        for cls in command.__mro__
        if not cls.__module__.startswith(("django.", "builtins"))
        for member in vars(cls).values()
        if isinstance(member, FunctionType)
    ]


def _calling(name: str, app: str, line: Line, code: FunctionType | None) -> Callable[..., None]:
    def call(run: RunOfTask, /, **values: Any) -> None:
        from django.core.management import call_command, load_command_class
        from django.db import connections

        command = load_command_class(app, name)  # anew: it writes to where standard output leads now
        checks = {"skip_checks": False} if command.requires_system_checks else {}
        try:
            with questions.answering(run), _own_words():
                call_command(command, *line.words(values), **checks)
        finally:
            connections.close_all()

    return traced(call, code)


@contextmanager
def _own_words() -> Iterator[None]:
    """How Django ends a command."""
    from django.core.management import CommandError

    try:
        yield
    except CommandError as error:
        raise CommandFailed(str(error), code=error.returncode) from error


def _aliases() -> tuple[str, ...] | None:
    """Every database that the settings configure."""
    from django.db import connections

    dummy = "django.db.backends.dummy"
    found = tuple(alias for alias, table in connections.settings.items() if table["ENGINE"] != dummy)
    return found or None
