"""Finds the tasks of a project, declared or discovered, and makes one registry of them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import isroutine
from typing import TYPE_CHECKING, Any

from oneoff.commands.declared import command_task
from oneoff.errors import AppNotFound
from oneoff.frameworks.engines import engines_of, within
from oneoff.frameworks.found import Found, Project, importable, made, own_code
from oneoff.frameworks.signs import has_flask, manage_of
from oneoff.settings import Settings
from oneoff.tasks.registry import Registry

if TYPE_CHECKING:
    import click


def load_registry(settings: Settings, app: str | None, *, flask_app: Any = None) -> Registry:
    """The app's tasks together with the commands of the settings file and those of the project's framework.

    Where two have one name, the app's own wins over a framework's, and says so.

    Args:
        app: ``MODULE:NAME``; the settings' own where None.
        flask_app: an app that is at hand already, so that none has to be found.

    Raises:
        AppNotFound: nothing is named, declared or found, or the name leads nowhere.
        AppBroken: importing the app or the project raised; the cause is its own exception.
    """
    reference = app or settings.app
    named = _named(reference, settings) if reference else None
    discovered = list(_discovered(settings, flask_app, alone=named is None and not settings.tasks))
    if isinstance(named, Found):
        discovered.insert(0, named)
    if named is None and not discovered and not settings.tasks:
        where = settings.file or f"{settings.root} and the folders above"
        raise AppNotFound(
            f"no app is named, there is no command task in {where}, "
            f"and neither a Django project nor a Flask app in {settings.root}"
        )
    declared = named if isinstance(named, Registry) else Registry(settings.project)
    registry = Registry(
        declared.name,
        database=_database(declared, settings, discovered),
        version=declared.version or settings.version,
        private=declared.private,
    )
    for task in declared:
        registry.add(task)
    for name, command in settings.tasks.items():
        registry.add(command_task(name, command))
    for found in discovered:
        for task in found.tasks:
            registry.offer(task)
        registry.left_out += found.left_out
    return registry


def _discovered(settings: Settings, flask_app: Any, *, alone: bool) -> Iterator[Found]:
    """What the frameworks of the project offer. Neither is imported where the project is none of its own."""
    if not settings.discover:
        return
    manage = manage_of(settings.root)
    in_django = manage is not None or settings.django_settings is not None
    if in_django:
        from oneoff.frameworks import django

        yield django.find(settings.root, manage, settings.include)
    alone = alone and not in_django
    if flask_app is not None or has_flask(settings.root, settings.flask_app, alone=alone):
        from oneoff.frameworks import flask

        if flask_app is not None:
            yield flask.of_app(flask_app, settings.root, settings.include)
        elif found := flask.find(settings.root, settings.flask_app, settings.include, alone=alone):
            yield found


def _named(reference: str, settings: Settings) -> Registry | Found:
    """What ``MODULE:NAME`` leads to: an App, a Click command, a Flask app, or a function that makes one."""
    target = _lookup(reference, settings)
    known = _known(target, reference, settings)
    if known is None and callable(target):
        with own_code(f"{reference} raised while it made the app"):
            target = target()
        known = _known(target, reference, settings)
    if known is None:
        raise AppNotFound(
            f"{reference} is a {type(target).__name__}, not a oneoff.App, nor a Click command or a Flask app"
        )
    return known


def _known(target: Any, reference: str, settings: Settings) -> Registry | Found | None:
    if isinstance(target, Registry):
        return target
    import click

    from oneoff.frameworks import flask

    if flask.is_app(target):
        return flask.of_app(target, settings.root, settings.include)
    if flask.is_group(target):
        return flask.of_group(target, settings.root, settings.include)
    if isinstance(target, click.Command):
        return _of_click(target, reference, settings)
    return None


def _of_click(command: click.Command, reference: str, settings: Settings) -> Found:
    from oneoff.frameworks import clicks

    program = clicks.Program(command=command, name=command.name or settings.project, origin=reference)
    with own_code(f"the commands of {reference} cannot be listed"):
        found = {leaf.name: leaf for leaf in clicks.leaves(program)}
    tasks, left_out = made(found, lambda name: clicks.task_of(program, found[name]))
    project = Project(settings.root, reference.partition(":")[0].partition(".")[0])
    return Found(tasks=tuple(tasks), left_out=tuple(left_out), database=engines_of(project))


def _database(declared: Registry, settings: Settings, discovered: list[Found]) -> Any:
    """The app's own handle; else the one of the settings; else what was found."""
    if declared.database is not None:
        return declared.database
    if settings.database is None:
        return next((found.database for found in discovered if found.database is not None), None)
    if "://" in settings.database:
        return settings.database
    handle = _lookup(settings.database, settings)
    context = next((found.context for found in discovered if found.context is not None), None)
    return within(context, handle) if context is not None and isroutine(handle) else handle


def _lookup(reference: str, settings: Settings) -> Any:
    module_name, colon, attribute = reference.partition(":")
    if not colon or not module_name or not attribute:
        raise AppNotFound(f"{reference!r} does not name an app", next_step="write it as MODULE:NAME")
    importable(settings.root)
    module = _module(module_name, str(settings.root))
    with own_code(f"{reference} raised while it was looked up"):
        return _attribute(module, attribute, reference)


def _module(name: str, root: str) -> Any:
    with own_code(f"{name} cannot be imported"):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                raise AppNotFound(f"there is no module {error.name!r} in {root} or on the path") from None
            raise


def _attribute(module: Any, path: str, reference: str) -> Any:
    found = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise AppNotFound(f"{reference}: there is no {name!r} in {found.__name__}")
        found = getattr(found, name)
    return found
