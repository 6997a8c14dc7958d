"""The tasks of one app, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oneoff.errors import AppBroken, InvalidDeclaration, TaskNotFound
from oneoff.tasks.source import place
from oneoff.tasks.task import RAW, Task
from oneoff.types import TaskName

_NAME = r"[a-z0-9]+(?:(?:-+|[.:])[a-z0-9]+)*"
_MAX_NAME = 63  # a Kubernetes label holds no more


def checked_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns. Raises InvalidDeclaration where one is no ``TABLE.COLUMN``."""
    for name in (names,) if isinstance(names, str) else names:
        if not all(name.rpartition(".")[::2]) or isinstance(names, str):
            raise InvalidDeclaration(
                f"private: {name!r} names no column", next_step='a list of names such as "customers.email"'
            )
    return tuple(names)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A command of the project that is no task."""

    name: str
    why: str
    error: BaseException | None = None
    """What it raised when it was loaded."""


class Registry:
    """Tasks under their names, and what belongs to all of them."""

    def __init__(
        self, name: str, *, database: Any = None, version: str | None = None, private: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.database = database
        self.version = version
        self.private = checked_columns(private)
        """Columns whose values no report tells: ``TABLE.COLUMN``."""
        self.left_out: tuple[LeftOut, ...] = ()
        self._tasks: dict[TaskName, Task] = {}

    def add(self, task: Task) -> None:
        """Take a task in. Raises InvalidDeclaration where its name is taken."""
        if task.name == RAW:
            raise InvalidDeclaration(
                f"{_origin(task)} cannot be called {RAW}: raw commands are recorded under that name",
                next_step='give it another name: name="…"',
            )
        other = self._tasks.get(task.name)
        if other is not None:
            raise InvalidDeclaration(
                f"two tasks are called {task.name}: {_origin(other)} and {_origin(task)}",
                next_step='give one of them another name: name="…"',
            )
        self._tasks[task.name] = task

    def offer(self, task: Task) -> None:
        """Take a command of a framework in, or note that a task which is here already hides it."""
        holder = self._tasks.get(task.name)
        if holder is None:
            self._tasks[task.name] = task
        elif holder.origin != task.origin:  # else one app was found in two ways
            self._tasks[task.name] = replace(holder, hides=(*holder.hides, task.origin))

    def get(self, name: str) -> Task:
        """The task of this name; ``migrate_data`` finds ``migrate-data`` too.

        Raises:
            TaskNotFound: there is none.
            AppBroken: a command of that name raised when it was loaded.
        """
        for spelling in (name, name.replace("_", "-"), name.replace("_", "-").lower()):
            task = self._tasks.get(TaskName(spelling))
            if task is not None:
                return task
        for other in self.left_out:
            if other.name.replace("_", "-") == name.replace("_", "-"):
                raise (AppBroken if other.error else TaskNotFound)(f"{name}: {other.why}") from other.error
        from difflib import get_close_matches

        near = get_close_matches(name.replace("_", "-").lower(), self._tasks, n=3)
        if near:
            raise TaskNotFound(f"there is no task {name!r}; did you mean {' or '.join(near)}?")
        raise TaskNotFound(f"there is no task {name!r}")

    def __iter__(self) -> Iterator[Task]:
        return iter(sorted(self._tasks.values(), key=lambda task: task.name))

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: str) -> bool:
        return name in self._tasks


def _origin(task: Task) -> str:
    return place(task.function) if task.function is not None else f"[tool.oneoff.tasks.{task.name}]"


def task_name(text: str) -> TaskName:
    """A task's name from a function's name or from what the app gave: ``migrate_data`` is ``migrate-data``.

    Raises:
        InvalidDeclaration: the result could not name a task, whose name has to fit Kubernetes and URLs.
    """
    name = text.strip("_").replace("_", "-")
    if len(name) <= _MAX_NAME and re.fullmatch(_NAME, name):
        return TaskName(name)
    raise InvalidDeclaration(
        f"{text!r} cannot name a task: a name has at most {_MAX_NAME} of the letters a-z, digits and dashes, "
        "with . or : between its parts",
        next_step='give it one with name="…"',
    )
