"""A Django alias as a handle: what kind of database its settings name, and how its connections are closed.

Django is the app's own, and loaded by it; nothing of it is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oneoff.errors import DryRunUnavailable


class Alias:
    """One alias of ``DATABASES``."""

    def __init__(self, name: str) -> None:
        """Raises LookupError where Django is not loaded, or has no such alias; the text says which."""
        module: Any = sys.modules.get("django.db")
        if module is None:
            raise LookupError(f"{name!r} has no :// and so is a Django alias, and Django is not loaded")
        self.name = name
        self._connections = module.connections
        try:
            self.vendor = str(self._wrapper.vendor)
        except module.utils.ConnectionDoesNotExist:
            known = ", ".join(sorted(self._connections.settings))
            raise LookupError(f"Django has no alias {name!r}; it has {known}") from None

    @property
    def is_nothing(self) -> bool:
        """Whether it stands for a project without databases."""
        return bool(self._wrapper.settings_dict["ENGINE"] == "django.db.backends.dummy")

    @property
    def driver(self) -> str:
        return str(self._wrapper.Database.__name__)

    @property
    def file(self) -> str:
        """SQLite: what Django would open."""
        return "" if self._wrapper.is_in_memory_db() else str(self._wrapper.settings_dict["NAME"])

    def connect(self) -> Any:
        """A new connection as Django makes it, past its pool, where it has one."""
        return self._wrapper.Database.connect(**self._wrapper.get_connection_params())

    def close(self) -> None:
        """Close this thread's connection, as Django itself does before it forks, and the pool.

        Raises DryRunUnavailable in the middle of a transaction.
        """
        wrapper = self._wrapper
        if wrapper.in_atomic_block:
            raise DryRunUnavailable(
                f"the Django database {self.name!r} is in the middle of a transaction",
                next_step="start the dry run outside of atomic()",
            )
        wrapper.close()
        close_pool: Callable[[], None] | None = getattr(wrapper, "close_pool", None)
        if close_pool is not None:
            close_pool()

    @property
    def _wrapper(self) -> Any:
        """Of the thread that asks: each has a connection of its own."""
        return self._connections[self.name]


@contextmanager
def without_pools() -> Iterator[None]:
    """Django connects to PostgreSQL directly in the block: a pool looks at the state of the server's session,
    which in a dry run is always in a transaction, and waits in vain for one that is not."""
    wrapper: Any = sys.modules["django.db.backends.postgresql.base"].DatabaseWrapper
    pool = wrapper.__dict__.get("pool")  # since Django 5.1
    wrapper.pool = None
    try:
        yield
    finally:
        if pool is None:
            del wrapper.pool
        else:
            wrapper.pool = pool
