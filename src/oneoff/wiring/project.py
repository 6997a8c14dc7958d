"""Finds the app and the command tasks of a project, and makes one registry of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from oneoff.errors import AppBroken, AppNotFound, OneoffError
from oneoff.settings import CommandSettings, Settings
from oneoff.tasks.registry import Registry, task_name
from oneoff.tasks.task import Task


def load_registry(settings: Settings, app: str | None) -> Registry:
    """The app's tasks together with the commands of the settings file.

    Args:
        app: ``MODULE:NAME``; the settings' own where None.

    Raises:
        AppNotFound: no app is named and no command declared, or the name leads nowhere.
        AppBroken: importing it raised; the cause is the app's own exception.
    """
    reference = app or settings.app
    if reference is None and not settings.tasks:
        where = settings.file or f"{settings.root} and the folders above"
        raise AppNotFound(f"no app is named, and no command task in {where}")
    found = _import(reference, settings) if reference else Registry(settings.root.name)
    registry = Registry(
        found.name,
        database=found.database,
        version=found.version or settings.version,
        private=found.private,
    )
    for task in found:
        registry.add(task)
    for name, command in settings.tasks.items():
        registry.add(command_task(name, command))
    return registry


def command_task(name: str, settings: CommandSettings) -> Task:
    """A command of the settings file as a task."""
    return Task(
        name=task_name(name),
        help=settings.help or f"Run `{' '.join(settings.command)}`.",
        confirm=settings.confirm,
        lock=settings.lock,
        timeout=settings.timeout,
        command=settings.command,
        environ=dict(settings.environ),
    )


def _import(reference: str, settings: Settings) -> Registry:
    module_name, colon, attribute = reference.partition(":")
    if not colon or not module_name or not attribute:
        raise AppNotFound(f"{reference!r} does not name an app", next_step="write it as MODULE:NAME")
    root = str(settings.root)
    for folder in (settings.root / "src", settings.root):  # a src layout need not be installed
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    module = _module(module_name, root)
    with _own_code(f"{reference} raised while it was looked up"):
        target = _attribute(module, attribute, reference)
    if callable(target) and not isinstance(target, Registry):
        with _own_code(f"{reference} raised while it made the app"):
            target = target()
    if not isinstance(target, Registry):
        raise AppNotFound(f"{reference} is a {type(target).__name__}, not a oneoff.App")
    return target


@contextmanager
def _own_code(words: str) -> Iterator[None]:
    """The app's own code runs in the block. Whatever it raises, no task has run: AppBroken says so."""
    try:
        yield
    except OneoffError:
        raise  # a declaration that cannot work says itself where and why
    except KeyboardInterrupt as error:  # raised by the app, or by somebody's Ctrl-C meanwhile
        raise AppBroken(f"{words}: interrupted, nothing ran") from error
    except BaseException as error:
        raise AppBroken(words) from error


def _module(name: str, root: str) -> Any:
    with _own_code(f"{name} cannot be imported"):
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
