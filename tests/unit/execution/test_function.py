from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from oneoff.execution import function
from oneoff.tasks.task import Task
from oneoff.types import TaskName
from tests.unit.execution.test_context import context


def call(body: Callable[..., Any], *, takes_context: bool = False, **values: Any) -> Any:
    task = Task(name=TaskName("t"), help="", function=body, takes_context=takes_context)
    return function.call(task, context(), values)


def test_a_function_gets_its_values_and_the_context_if_it_wants_it() -> None:
    """By name; the context comes first."""
    assert call(lambda x: x + 1, x=1) == 2
    assert call(lambda ctx, x: (ctx.run_id, x), takes_context=True, x=1) == ("r1", 1)


def test_a_coroutine_runs_to_its_end() -> None:
    """In an event loop of its own."""

    async def body(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert call(body, x=1) == 2


def test_what_it_raises_comes_through() -> None:
    """From a coroutine too."""

    async def body() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        call(body)
