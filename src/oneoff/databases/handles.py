"""What the app's database handle is: an engine, a URL, a Django alias, a connect function, several of them in
a list or tuple, or a function that gives any of these."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneoff.databases import other_drivers
from oneoff.databases.django import Alias
from oneoff.databases.sqlite.places import named
from oneoff.databases.together import DatabaseSeal, Together
from oneoff.databases.undeclared import DECLARE_IT
from oneoff.databases.watching import SetAside
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.seams import Reader
from oneoff.errors import DryRunUnavailable
from oneoff.types import without_password

SUPPORTED = (
    "a dry run works today on SQLite files and on PostgreSQL through psycopg 3, psycopg2 or asyncpg, given as"
    " SQLAlchemy engines (sqlite:///…, postgresql+psycopg://…), as URLs, as Django aliases, as pools of"
    " asyncpg, or as functions that connect"
)


@dataclass(frozen=True, kw_only=True)
class Sqlite:
    """A database file."""

    path: Path
    dispose: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A PostgreSQL database. The one sealed session is always a connection of psycopg 3."""

    connect: Callable[[], Any]
    dispose: Callable[[], None]


class Databases:
    """Implements :class:`oneoff.dryrun.seams.Databases`."""

    def __init__(self, *, own: Iterable[Path] = ()) -> None:
        """``own``: database files of oneoff itself, which it may go on writing to in a dry run."""
        self._own = frozenset(Path(path).resolve() for path in own)

    def resolve(self, handle: Any) -> Any:
        """What ``ctx.db`` is: a function that gives an engine or a URL is called, all else stays as it is.

        A connect function is called once as well, to look at what it gives; that is closed at once.
        """
        if not _is_function(handle):
            return handle
        given = _called(handle)
        if _is_engine(given) or other_drivers.is_async_engine(given) or isinstance(given, str | list | tuple):
            return given
        return handle

    def seal(self, handle: Any, measure: Measure | None = None) -> Together:
        """One seal for all databases behind a handle, that measures as ``measure`` says; for none where it is
        None.

        A function is called to look at what it gives; it may read SQLite files, and not write.

        Raises:
            DryRunUnavailable: there is none for this database.
            DryRunStopped: the function went around ``sqlite3.connect``.
        """
        from oneoff.databases.sqlite.looking import Looking

        with Looking(self._own):
            databases = list(_recognise(self.resolve(handle)))
        if measure is not None and measure.keeps and not databases:
            raise DryRunUnavailable(
                "the app declares no database whose effects could be measured", next_step=DECLARE_IT
            )
        seals = [self._one(database, measure) for database in databases]
        return Together(seals, own=self._own, measure=measure)

    def _one(self, database: Sqlite | Postgres, measure: Measure | None) -> DatabaseSeal:
        if isinstance(database, Sqlite):
            from oneoff.databases.sqlite.seal import SqliteSeal

            return SqliteSeal(database.path, dispose=database.dispose, own=self._own, measure=measure)
        try:
            from oneoff.databases.postgres.seal import PostgresSeal
        except ImportError as error:
            raise _no_psycopg() from error
        return PostgresSeal(connect=database.connect, dispose=database.dispose, measure=measure)

    def reader(self, url: str) -> Reader:
        """A database that a command may read, by its URL. Raises DryRunUnavailable."""
        if url.partition("://")[0] not in ("postgresql", "postgres"):
            raise DryRunUnavailable(
                f"a command can be given PostgreSQL to read in its dry run, and not {without_password(url)}",
                next_step="name one that begins with postgresql://",
            )
        try:
            from oneoff.databases.postgres.reader import reader
        except ImportError as error:
            raise _no_psycopg() from error
        return reader(url)


def _no_psycopg() -> DryRunUnavailable:
    return DryRunUnavailable(
        "a dry run on PostgreSQL needs psycopg 3, which is not installed",
        next_step='add "oneoff[postgres]" to what the app installs',
    )


def _recognise(handle: Any) -> Iterator[Sqlite | Postgres]:
    if handle is None:
        return
    if isinstance(handle, list | tuple):
        for one in handle:
            yield from _recognise(one)
    elif isinstance(handle, str):
        yield from [_from_url(handle)] if "://" in handle else _from_alias(handle)
    elif other_drivers.is_async_engine(handle):
        yield _from_async_engine(handle)
    elif other_drivers.is_pool(handle):
        yield Postgres(connect=lambda: other_drivers.by_function(lambda: handle), dispose=_nothing)
    elif _is_engine(handle):
        yield _from_engine(handle)
    elif _is_function(handle):
        yield from _from_function(handle)
    else:
        raise _unsupported(f"a {type(handle).__module__}.{type(handle).__qualname__} cannot be sealed")


def _from_url(url: str) -> Sqlite | Postgres:
    scheme, _, rest = url.partition("://")
    if scheme in ("sqlite", "sqlite+pysqlite"):
        database = rest.removeprefix("/")
        if not database.startswith("file:"):  # there the query belongs to SQLite
            database = database.partition("?")[0]
        return _sqlite(database, dispose=_nothing)
    if scheme in other_drivers.URL_SCHEMES:
        return Postgres(connect=lambda: other_drivers.by_url(url), dispose=_nothing)
    raise _unsupported(f"{scheme}:// databases cannot be sealed")


def _from_alias(name: str) -> Iterator[Sqlite | Postgres]:
    try:
        alias = Alias(name)
    except LookupError as error:
        raise _unsupported(without_password(str(error.args[0]))) from None
    if alias.is_nothing:
        return
    if alias.vendor == "sqlite":
        yield _sqlite(alias.file, dispose=alias.close, of=f"the Django alias {name!r} is in memory: ")
    elif alias.vendor == "postgresql" and alias.driver == "psycopg":
        yield Postgres(connect=alias.connect, dispose=alias.close)
    else:
        raise _unsupported(
            f"the Django alias {name!r} is {alias.vendor} through {alias.driver}: it cannot be sealed"
        )


def _from_engine(engine: Any) -> Sqlite | Postgres:
    dialect = f"{engine.dialect.name}+{engine.dialect.driver}"
    if dialect == "sqlite+pysqlite":
        database = engine.url.database or _file_of(engine)
        return _sqlite(database, dispose=engine.dispose)
    if dialect == "postgresql+psycopg" and not getattr(engine.dialect, "is_async", False):

        def connect() -> Any:
            pooled = engine.raw_connection()
            connection = pooled.driver_connection
            pooled.detach()  # the pool forgets it, so that it can become the one sealed session
            return connection

        return Postgres(connect=connect, dispose=engine.dispose)
    if dialect in other_drivers.ENGINES:
        return Postgres(connect=lambda: other_drivers.by_engine(engine), dispose=engine.dispose)
    raise _unsupported(f"an SQLAlchemy engine over {dialect} cannot be sealed")


def _file_of(engine: Any) -> str:
    """Of an engine whose URL names none, because it has a ``creator``."""
    pooled = engine.raw_connection()
    try:
        return str(_sqlite_file(pooled.driver_connection) or "")
    finally:
        pooled.close()
        engine.dispose()


def _from_async_engine(engine: Any) -> Postgres:
    dialect = f"{engine.dialect.name}+{engine.dialect.driver}"
    if dialect not in other_drivers.ASYNC_ENGINES:
        raise _unsupported(f"an asynchronous SQLAlchemy engine over {dialect} cannot be sealed")
    return Postgres(
        connect=lambda: other_drivers.by_engine(engine),
        dispose=lambda: engine.sync_engine.dispose(close=False),  # their loops are gone
    )


def _from_function(function: Callable[[], Any]) -> Iterator[Sqlite | Postgres]:
    """By what it gives: connections of sqlite3 or of a driver of PostgreSQL, a coroutine for one, or handles
    of any kind."""
    found: list[Path | str] = []
    given = _called(function, look=lambda connection: found.append(_what_is(connection)))
    if found and isinstance(found[0], Path):
        yield Sqlite(path=found[0], dispose=_nothing)
    elif found == ["psycopg"]:
        yield Postgres(connect=function, dispose=_nothing)
    elif found == ["psycopg2"] or inspect.iscoroutine(given):
        yield Postgres(connect=lambda: other_drivers.by_function(function), dispose=_nothing)
    elif given is not None and not _is_function(given):
        yield from _recognise(given)
    else:
        raise _unsupported(f"{_name(function)} gives {found[0] if found else 'nothing that can be sealed'}")


def _called(function: Callable[[], Any], look: Callable[[Any], None] = lambda connection: None) -> Any:
    """What the function gives; a connection is looked at and closed."""
    with SetAside() as sent:
        given = function()
    if inspect.iscoroutine(given):
        given.close()
    if not (hasattr(given, "cursor") and hasattr(given, "close")):
        sent.record()  # the app is set up once, and this was it; a connection is opened again by the task
        return given
    try:
        look(given)
    finally:
        given.close()
    return None


def _what_is(connection: Any) -> Path | str:
    path = _sqlite_file(connection)
    if path:
        return path
    if _is_a(connection, "sqlite3", "Connection"):
        raise _in_memory()
    if _is_a(connection, "psycopg", "Connection"):
        return "psycopg"
    if other_drivers.is_connection(connection):
        return "psycopg2"
    return f"a connection of {type(connection).__module__.partition('.')[0]}"


def _sqlite_file(connection: Any) -> Path | None:
    if not _is_a(connection, "sqlite3", "Connection"):
        return None
    from oneoff.databases.sqlite.early import attached_files

    files = attached_files(connection)
    return Path(files[0]) if files and files[0] else None


def _sqlite(database: str, dispose: Callable[[], None], of: str = "") -> Sqlite:
    path = named(database, uri=True)
    if path is None:
        raise _in_memory(of)
    return Sqlite(path=Path(path), dispose=dispose)


def _in_memory(of: str = "") -> DryRunUnavailable:
    return _unsupported(f"{of}an in-memory SQLite database is nothing that a copy can stand for")


def _is_engine(handle: Any) -> bool:
    return _is_a(handle, "sqlalchemy.engine", "Engine")


def _is_a(thing: Any, module: str, name: str) -> bool:
    """Whether it is an instance of a class in a module that somebody has imported already."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(thing, cls)


def _is_function(handle: Any) -> bool:
    return inspect.isroutine(handle) or (callable(handle) and type(handle).__name__ == "partial")


def _name(function: Callable[[], Any]) -> str:
    return f"{getattr(function, '__qualname__', repr(function))}()"


def _unsupported(reason: str) -> DryRunUnavailable:
    return DryRunUnavailable(reason, next_step=SUPPORTED)


def _nothing() -> None:
    """There is no pool to empty."""
