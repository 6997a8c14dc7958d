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
_lock = threading.RLock()
"""Whoever imports a library while its watch begins waits for that; its own imports come here again."""
_installed = False


class WhenImported:
    """For the time of a block: enters a watch as soon as a module is imported, at once where it is by now."""

    def __init__(self, module: str, watch: Callable[[], AbstractContextManager[Any]]) -> None:
        self.module = module
        self._watch = watch
        self._busy = False
        self._entered = ExitStack()

    def __enter__(self) -> None:
        global _installed
        if self.module in sys.modules:
            self._entered.enter_context(self._watch())
            return
        _waiting.append(self)
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True

    def __exit__(self, *exc_info: object) -> None:
        with suppress(ValueError):  # it was imported
            _waiting.remove(self)
        self._entered.close()

    def import_now(self) -> None:
        """Import the library and begin to watch; one that cannot be imported tells the task itself."""
        with _lock:
            if self._busy or self not in _waiting:
                return
            self._busy = True
            try:
                import_module(self.module)
            except Exception:
                return
            finally:
                self._busy = False
            self._entered.enter_context(self._watch())
            _waiting.remove(self)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event == "import" and _waiting:
        for one in tuple(_waiting):
            if f"{args[0]}.".startswith(f"{one.module}."):
                one.import_now()
