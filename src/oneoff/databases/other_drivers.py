"""Handles of PostgreSQL's other drivers: psycopg2, asyncpg, psycopg's AsyncConnection.

The one sealed session is always a connection of psycopg 3. To open it, a connection is made as the app makes
it, asked where it leads, and closed. What is ``Any`` here is the app's own, or a driver's that may be absent.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oneoff.databases.undeclared import Undeclared
from oneoff.errors import DryRunUnavailable

URL_SCHEMES = (
    "postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg_async", "postgresql+psycopg2",
    "postgresql+asyncpg",
)  # fmt: skip
ENGINES = ("postgresql+psycopg2",)
ASYNC_ENGINES = ("postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg")
"""By dialect and driver, as SQLAlchemy names them."""
CONNECTS = {"psycopg2": ("psycopg2", "_connect"), "asyncpg": ("asyncpg.connect_utils", "_connect")}
"""Module and name of the one function of each driver that all of its connections go through."""
_CLASSES = (("psycopg2.extensions", "connection"), ("asyncpg.connection", "Connection"))


def refuse_open_connections() -> None:
    """Look for connections that were opened before the seal, where any of the drivers is loaded.

    Raises:
        DryRunUnavailable: there is one.
    """
    found = (getattr(sys.modules.get(module), name, None) for module, name in _CLASSES)
    classes = tuple(cls for cls in found if isinstance(cls, type))
    for connection in gc.get_objects() if classes else ():
        if issubclass(type(connection), classes) and _is_open(connection):
            driver = type(connection).__module__.partition(".")[0]
            raise DryRunUnavailable(
                f"a connection of {driver} was opened before the dry run began, and may write",
                next_step="open it inside the task",
            )


@contextmanager
def refused(driver: str, undeclared: Undeclared) -> Iterator[None]:
    """In the block no connection is made by this driver: without psycopg 3 none can be led to a seal.

    A run that leaves alone what is not declared makes it, since without psycopg 3 none of these is declared.
    """
    module, name = CONNECTS[driver]

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if not undeclared.held:
            undeclared.meet(f"what is reached through {driver}")
            return original(*args, **kwargs)
        raise undeclared.notes.attempt(
            f"the task connects through {driver}, and in a dry run that needs psycopg 3, which is not"
            ' installed; add "oneoff[postgres]" to what the app installs'
        )

    original = getattr(sys.modules[module], name)
    setattr(sys.modules[module], name, refuse)
    try:
        yield
    finally:
        setattr(sys.modules[module], name, original)


def is_async_engine(handle: Any) -> bool:
    """Whether it is an AsyncEngine of SQLAlchemy."""
    return _is_a(handle, "sqlalchemy.ext.asyncio", "AsyncEngine")


def is_pool(handle: Any) -> bool:
    """Whether it is a pool of asyncpg, which need not be open."""
    return _is_a(handle, "asyncpg.pool", "Pool")


def is_connection(thing: Any) -> bool:
    """Whether it is a connection of psycopg2."""
    return _is_a(thing, "psycopg2.extensions", "connection")


def by_url(url: str) -> Any:
    """A connection of psycopg 3 to where a URL leads, whatever driver it names. Raises psycopg.Error."""
    import psycopg

    from oneoff.databases.postgres.parameters import of_url

    return psycopg.connect(of_url(url))


def by_engine(engine: Any) -> Any:
    """One to where an engine of SQLAlchemy leads."""

    def connection() -> Any:
        pooled = engine.raw_connection()
        raw = pooled.driver_connection
        pooled.detach()
        return raw

    async def parameters() -> Any:
        from oneoff.databases.postgres.parameters import of_connection

        async with engine.connect() as connected:
            raw = await connected.get_raw_connection()
            found = of_connection(raw.driver_connection)
        await engine.dispose()
        return found

    return _connected(_awaited(parameters())) if is_async_engine(engine) else by_function(connection)


def by_function(function: Callable[[], Any]) -> Any:
    """One to where a connection leads that a function gives, or a coroutine, or a pool of asyncpg.

    Raises:
        DryRunUnavailable: it gives something else.
        psycopg.Error: the database cannot be reached.
    """
    given = function()
    if is_pool(given):
        connect = getattr(given, "_connect", None) or sys.modules["asyncpg"].connect
        given = connect(*given._connect_args, **given._connect_kwargs)
    if not inspect.iscoroutine(given):
        try:
            return _connected(_looked_at(given))
        finally:
            given.close()

    async def parameters() -> Any:
        connection = await given
        found = _looked_at(connection)
        if inspect.iscoroutine(closing := connection.close()):
            await closing
        return found

    return _connected(_awaited(parameters()))


def _looked_at(connection: Any) -> Any:
    from oneoff.databases.postgres.parameters import of_connection

    found = of_connection(connection)
    if found is None:
        raise DryRunUnavailable(
            f"the function that gives the database gives a {type(connection).__qualname__}",
            next_step="give a connection of psycopg, psycopg2 or asyncpg, or the database's URL",
        )
    return found


def _awaited(coroutine: Any) -> Any:
    from oneoff.databases.postgres import admission, loops

    return loops.run(lambda: coroutine, around=admission.opening).result()


def _connected(keywords: Any) -> Any:
    from oneoff.databases.postgres.parameters import connect

    return connect(keywords)


def _is_open(connection: Any) -> bool:
    if hasattr(connection, "is_closed"):  # asyncpg's
        return not (connection.is_closed() or connection._loop.is_closed())
    return not connection.closed


def _is_a(thing: Any, module: str, name: str) -> bool:
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(thing, cls)
