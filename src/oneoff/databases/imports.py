"""Watches that begin with the import of a library, because a task may import it only when it needs it.

An audit hook (PEP 578) hears of an import before it happens. The library is imported there and then, so that
the watch is in force before the task gets it. The hook cannot be removed; without a watch it does nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from importlib import import_module
from typing import Any

_waiting: list[WhenImported] = []
_lock = threading.Lock()
_installed = False


class WhenImported:
    """For the time of a block: enters a watch as soon as a module is imported, at once where it is by now."""

    def __init__(self, module: str, watch: Callable[[], AbstractContextManager[Any]]) -> None:
        self.module = module
        self._watch = watch
        self._entered = ExitStack()

    def __enter__(self) -> None:
        global _installed
        if self.module in sys.modules:
            self.begin()
            return
        _waiting.append(self)
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True

    def __exit__(self, *exc_info: object) -> None:
        with suppress(ValueError):  # it was imported
            _waiting.remove(self)
        self._entered.close()

    def begin(self) -> None:
        self._entered.enter_context(self._watch())


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event == "import" and _waiting:
        for one in tuple(_waiting):
            if f"{args[0]}.".startswith(f"{one.module}."):
                _import(one)


def _import(one: WhenImported) -> None:
    with _lock:
        if one not in _waiting:
            return
        _waiting.remove(one)  # the import itself comes here again
    try:
        import_module(one.module)
    except Exception:  # the import that was asked for tells the task itself
        _waiting.append(one)
    else:
        one.begin()
