"""Would another process run the same task? A name alone does not say so."""

from __future__ import annotations

from collections.abc import Callable

from oneoff.errors import Refused, UsageError
from oneoff.tasks.code import code_digest
from oneoff.tasks.registry import Registry
from oneoff.tasks.task import Task


def check_elsewhere(registry: Registry, task: Task, load: Callable[[], Registry]) -> None:
    """Raise Refused unless the app that a process of its own finds has the same name, task and code.

    The app that was asked and the one that is found may be two objects made by the same code: that of a
    script is the module ``__main__`` in one process, and has a name in the other.

    Args:
        load: gives the app that a process of its own finds.

    Raises:
        AppBroken: that one cannot be imported.
    """
    problem = _problem(registry, task, load)
    if problem is not None:
        raise Refused(
            f"a process of its own would not run this task of {registry.name}: {problem}",
            next_step='name this app under [tool.oneoff]: app = "MODULE:NAME"; or leave out --detach',
        )


def _problem(registry: Registry, task: Task, load: Callable[[], Registry]) -> str | None:
    try:
        found = load()
        if found.name != registry.name:
            return f"the app that it finds is {found.name}"
        theirs = code_digest(found.get(task.name))
    except UsageError as error:  # no such app, no such task
        return error.message
    if theirs is None:
        return "whether it finds the same code cannot be told"
    return None if theirs == code_digest(task) else f"the {task.name} that it finds is other code"
