"""What the app's database handle is: an engine, a URL, a connect function, or a function that gives one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneoff.databases.sqlite.places import named
from oneoff.databases.watching import SetAside
from oneoff.dryrun.measure import Measure
from oneoff.errors import DryRunUnavailable
from oneoff.protocols import Seal
from oneoff.types import without_password

SUPPORTED = (
    "a dry run works today on a SQLite file or on PostgreSQL through psycopg 3, given as an SQLAlchemy engine"
    " (sqlite:///…, postgresql+psycopg://…), as a URL, or as a function that connects"
)


@dataclass(frozen=True, kw_only=True)
class Sqlite:
    """A database file."""

    path: Path
    dispose: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A PostgreSQL database that psycopg 3 reaches."""

    connect: Callable[[], Any]
    dispose: Callable[[], None]


class Databases:
    """Implements :class:`oneoff.protocols.Databases`."""

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
        if _is_engine(given) or isinstance(given, str):
            return given
        return handle

    def seal(self, handle: Any, measure: Measure | None = None) -> Seal:
        """A seal for the database behind a handle, that measures effects as ``measure`` says.

        A function is called to look at what it gives; it may read SQLite files, and not write.

        Raises:
            DryRunUnavailable: there is none for this database.
            DryRunStopped: the function went around ``sqlite3.connect``.
        """
        from oneoff.databases.sqlite.looking import Looking

        with Looking(self._own):
            database = _recognise(self.resolve(handle))
        if isinstance(database, Sqlite):
            from oneoff.databases.sqlite.seal import SqliteSeal

            return SqliteSeal(database.path, dispose=database.dispose, own=self._own, measure=measure)
        try:
            from oneoff.databases.postgres.seal import PostgresSeal
        except ImportError as error:
            raise DryRunUnavailable(
                "a dry run on PostgreSQL needs psycopg 3, which is not installed",
                next_step='add "oneoff[postgres]" to what the app installs',
            ) from error
        return PostgresSeal(connect=database.connect, dispose=database.dispose, measure=measure)


def _recognise(handle: Any) -> Sqlite | Postgres:
    if handle is None:
        raise _unsupported("the app declares no database", "App(…, database=…) names it")
    if isinstance(handle, str):
        return _from_url(handle)
    if _is_engine(handle):
        return _from_engine(handle)
    if _is_function(handle):
        return _from_function(handle)
    raise _unsupported(f"a {type(handle).__module__}.{type(handle).__qualname__} cannot be sealed")


def _from_url(url: str) -> Sqlite | Postgres:
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise _unsupported(f"{without_password(url)!r} is neither a URL nor anything else that can be sealed")
    if scheme in ("sqlite", "sqlite+pysqlite"):
        database = rest.removeprefix("/")
        if not database.startswith("file:"):  # there the query belongs to SQLite
            database = database.partition("?")[0]
        return _sqlite(database, dispose=_nothing)
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):

        def connect() -> Any:
            import psycopg

            return psycopg.connect(f"postgresql://{rest}")

        return Postgres(connect=connect, dispose=_nothing)
    raise _unsupported(f"{scheme}:// databases cannot be sealed")


def _from_engine(engine: Any) -> Sqlite | Postgres:
    dialect = f"{engine.dialect.name}+{engine.dialect.driver}"
    if dialect == "sqlite+pysqlite":
        return _sqlite(engine.url.database or "", dispose=engine.dispose)
    if dialect == "postgresql+psycopg" and not getattr(engine.dialect, "is_async", False):

        def connect() -> Any:
            pooled = engine.raw_connection()
            connection = pooled.driver_connection
            pooled.detach()  # the pool forgets it, so that it can become the one sealed session
            return connection

        return Postgres(connect=connect, dispose=engine.dispose)
    raise _unsupported(f"an SQLAlchemy engine over {dialect} cannot be sealed")


def _from_function(function: Callable[[], Any]) -> Sqlite | Postgres:
    """By what it gives: a connection of sqlite3 or of psycopg."""
    found: list[Path | str] = []
    _called(function, look=lambda connection: found.append(_what_is(connection)))
    if found and isinstance(found[0], Path):
        return Sqlite(path=found[0], dispose=_nothing)
    if found == ["psycopg"]:
        return Postgres(connect=function, dispose=_nothing)
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
    return f"a connection of {type(connection).__module__.partition('.')[0]}"


def _sqlite_file(connection: Any) -> Path | None:
    if not _is_a(connection, "sqlite3", "Connection"):
        return None
    from oneoff.databases.sqlite.connections import attached_files

    files = attached_files(connection)
    return Path(files[0]) if files and files[0] else None


def _sqlite(database: str, dispose: Callable[[], None]) -> Sqlite:
    path = named(database, uri=True)
    if path is None:
        raise _in_memory()
    return Sqlite(path=Path(path), dispose=dispose)


def _in_memory() -> DryRunUnavailable:
    return _unsupported("an in-memory SQLite database is nothing that a copy can stand for")


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


def _unsupported(reason: str, next_step: str = "") -> DryRunUnavailable:
    return DryRunUnavailable(reason, next_step="; ".join(filter(None, (next_step, SUPPORTED))))


def _nothing() -> None:
    """There is no pool to empty."""
