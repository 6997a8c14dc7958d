"""What an app wants done after a commit, which in a dry run never comes, and in a measured run at its end.

Django keeps such work apart (``transaction.on_commit``): it is listed, and not called before. SQLAlchemy's
``after_commit`` listeners are part of its session, whose own state may depend on them: they are called as for
real, and named, and what they do outside the database is the guard's affair.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oneoff.dryrun.report import SuppressedEffect


class CommitHooks:
    """The hooks that were met in one run."""

    def __init__(self, *, keeps: bool = False, everywhere: bool = True) -> None:
        """``keeps``: they may be called later. ``everywhere``: of databases that are not sealed, too."""
        self._keeps = keeps
        self._everywhere = everywhere
        self._waiting: deque[tuple[Callable[[], Any], bool]] = deque()
        self._lock = threading.Lock()
        self._suppressed: dict[tuple[str, str], int] = {}
        self._called: dict[str, None] = {}

    @property
    def suppressed(self) -> tuple[SuppressedEffect, ...]:
        """Those that a real run would have called."""
        with self._lock:
            return tuple(
                SuppressedEffect(
                    description=f"after commit on the Django database {alias!r}"
                    + (f", {times:,} times" if times > 1 else ""),
                    call=call,
                )
                for (alias, call), times in self._suppressed.items()
            )

    @property
    def called(self) -> tuple[str, ...]:
        """Those that were called although nothing was committed by then, in words."""
        how = "before the run's one commit" if self._keeps else "as in a real run"
        return tuple(f"after_commit listener {name}: it was called {how}" for name in self._called)

    def call(self) -> None:
        """Call those that waited, in order, as Django does: the errors of a robust one are logged."""
        while self._waiting:
            func, robust = self._waiting.popleft()
            try:
                func()
            except Exception:
                if not robust:
                    raise
                logging.getLogger("django.db.backends.base").exception("%s failed (on_commit)", _name(func))

    @contextmanager
    def of_django(self) -> Iterator[None]:
        """``transaction.on_commit`` calls nothing of a sealed database in the block, in any thread."""
        wrapper: Any = sys.modules["django.db.backends.base.base"].BaseDatabaseWrapper
        on_commit, run = wrapper.on_commit, wrapper.run_and_clear_commit_hooks

        def ours(connection: Any, func: Any, robust: bool = False) -> None:
            if connection.in_atomic_block or not callable(func) or not connection.get_autocommit():
                on_commit(connection, func, robust)  # kept for the commit, or refused by Django itself
            elif not self._holds(connection):
                on_commit(connection, func, robust)
            else:  # Django calls it at once
                self._note(connection, func, robust)

        def run_none(connection: Any) -> None:
            if not self._holds(connection):
                run(connection)
                return
            connection.validate_no_atomic_block()
            hooks, connection.run_on_commit = connection.run_on_commit, []
            for _, func, *robust in hooks:
                self._note(connection, func, any(robust))

        wrapper.on_commit, wrapper.run_and_clear_commit_hooks = ours, run_none
        try:
            yield
        finally:
            wrapper.on_commit, wrapper.run_and_clear_commit_hooks = on_commit, run

    @contextmanager
    def of_sqlalchemy(self) -> Iterator[None]:
        """Names the listeners of every session that commits in the block."""
        event: Any = sys.modules["sqlalchemy.event"]
        session_class: Any = sys.modules["sqlalchemy.orm"].Session

        def committed(session: Any) -> None:
            for listener in session.dispatch.after_commit:
                if listener is not committed:
                    self._called.setdefault(_name(listener))

        event.listen(session_class, "after_commit", committed)
        try:
            yield
        finally:
            event.remove(session_class, "after_commit", committed)

    def _holds(self, connection: Any) -> bool:
        return self._everywhere or getattr(connection.connection, "sealed", False)

    def _note(self, connection: Any, func: Any, robust: bool) -> None:
        key = (connection.alias, _name(func))
        if self._keeps:
            self._waiting.append((func, robust))
        with self._lock:
            self._suppressed[key] = self._suppressed.get(key, 0) + 1


def _name(function: Any) -> str:
    function = getattr(function, "func", function)  # of a partial
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', None) or type(function).__module__}.{name}"
