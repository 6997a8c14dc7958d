"""Where a task comes from: the function behind its decorators, and the place to look for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any


def plain_function(function: Callable[..., Any]) -> FunctionType | None:
    """The function that somebody wrote, below decorators with functools.wraps; None where there is none."""
    inner = inspect.unwrap(getattr(function, "__func__", function))
    return inner if isinstance(inner, FunctionType) else None


def place(function: Callable[..., Any]) -> str:
    """For messages: ``cleanup (shop/admin.py:12)``."""
    plain = plain_function(function)
    if plain is None:
        return repr(function)
    return f"{plain.__qualname__} ({plain.__code__.co_filename}:{plain.__code__.co_firstlineno})"
