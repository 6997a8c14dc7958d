"""Handles of PostgreSQL's other drivers: psycopg2, asyncpg, psycopg's AsyncConnection.

The one sealed session is always a connection of psycopg 3. To open it, a connection is made as the app makes
it, asked where it leads, and closed. What is ``Any`` here is the app's own, or a driver's that may be absent.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from oneoff.errors import DryRunUnavailable

URL_SCHEMES = (
    "postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg_async", "postgresql+psycopg2",
    "postgresql+asyncpg",
)  # fmt: skip
ENGINES = ("postgresql+psycopg2",)
ASYNC_ENGINES = ("postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg")
"""By dialect and driver, as SQLAlchemy names them."""


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
    from oneoff.databases.postgres import loops

    return loops.run(lambda: coroutine).result()


def _connected(keywords: Any) -> Any:
    from oneoff.databases.postgres.parameters import connect

    return connect(keywords)


def _is_a(thing: Any, module: str, name: str) -> bool:
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(thing, cls)
