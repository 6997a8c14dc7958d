"""The databases of an app that does not name them to oneoff: the engines of SQLAlchemy that it has made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

from oneoff.frameworks.found import Project


def engines_of(project: Project) -> Any:
    """The engines that the project's modules hold: None, the one, or a tuple of several."""
    classes = tuple(
        cls
        for module, name in (("sqlalchemy.engine", "Engine"), ("sqlalchemy.ext.asyncio", "AsyncEngine"))
        if isinstance(cls := getattr(sys.modules.get(module), name, None), type)
    )
    if not classes:
        return None
    found = {
        id(value): value
        for module in project.modules()
        for value in list(vars(module).values())
        if isinstance(value, classes)
    }
    return one_or_several(list(found.values()))


def one_or_several(handles: list[Any]) -> Any:
    """A handle as a registry has it."""
    return (handles[0] if len(handles) == 1 else tuple(handles)) if handles else None


def within(
    enter: Callable[[], AbstractContextManager[Any]], function: Callable[[], Any]
) -> Callable[[], Any]:
    """The function, called in a block of its own each time."""

    @wraps(function)
    def called() -> Any:
        with enter():
            return function()

    return called
