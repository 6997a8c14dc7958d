"""Calling a task's function; an async one gets an event loop of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from oneoff.execution.context import Context, at_work
from oneoff.tasks.task import Task


def call(task: Task, context: Context, values: Mapping[str, Any]) -> Any:
    """Run the function to its end and return what it returned; whatever it raises comes through."""
    assert task.function is not None
    arguments = (context,) if task.takes_context else ()
    with at_work(context):
        result = task.function(*arguments, **values)
        if not inspect.iscoroutine(result):
            return result
        import asyncio  # 40 ms that only an async task pays

        return asyncio.run(result)
