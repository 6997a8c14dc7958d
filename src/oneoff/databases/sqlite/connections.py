"""``sqlite3.connect`` for the time of a dry run: the declared database is its copy, others are read-only."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from oneoff.databases.sqlite.early import attached_files
from oneoff.databases.sqlite.guard import FileGuard, Trusted, forbid_attach
from oneoff.databases.sqlite.places import moved, named, read_only, same_file
from oneoff.databases.undeclared import DECLARE_IT, Undeclared
from oneoff.databases.watching import StatementLog

PARAMETERS = (
    "timeout", "detect_types", "isolation_level", "check_same_thread", "factory", "cached_statements", "uri",
)  # fmt: skip
"""What ``sqlite3.connect`` takes by position after the database."""
original = sqlite3.connect
_active: list[Redirection] = []
_watching: list[Watched] = []


class Watched:
    """For the time of a block ``sqlite3.connect`` opens a declared database's copy, and others to read."""

    def __init__(self, undeclared: Undeclared, own: frozenset[Path]) -> None:
        """``own``: databases of oneoff itself, left alone."""
        self.undeclared = undeclared
        self.guard = FileGuard(None, undeclared.notes, own)
        self._exit = ExitStack()

    def __enter__(self) -> None:
        if self.undeclared.held:
            self._exit.enter_context(self.guard)
        if not _watching:
            sqlite3.connect = sqlite3.dbapi2.connect = _connect
        _watching.append(self)

    def __exit__(self, *exc_info: object) -> None:
        _watching.remove(self)
        if not _watching:
            sqlite3.connect = sqlite3.dbapi2.connect = original
        self._exit.close()


class Redirection:
    """Sends one database to its copy for the time of a block inside of :class:`Watched`."""

    def __init__(self, original: Path, copy: Path, guard: FileGuard, statements: StatementLog) -> None:
        self.copy = copy
        self.original = original
        self.guard = guard
        self.statements = statements
        self.opened: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()

    def __enter__(self) -> None:
        _active.append(self)

    def __exit__(self, *exc_info: object) -> None:
        _active.remove(self)

    def close_connections(self) -> None:
        """Close what the task left open, so that the copy is whole."""
        for connection in list(self.opened):
            try:
                connection.close()
            except sqlite3.Error:  # it belongs to another thread, which may be gone
                continue


def is_sealed(path: Path) -> bool:
    """Whether there is a copy that stands for this file by now."""
    return any(same_file(path, redirection.original) for redirection in _active)


class WatchedConnection(sqlite3.Connection):
    """A connection of the task: no other file can be attached to it, and statements are recorded."""

    guard: FileGuard
    statements: StatementLog | None = None
    sealed = False
    """Whether it leads to a copy."""
    _asked: Callable[..., int] | None = None

    def watch(self, guard: FileGuard, statements: StatementLog | None) -> None:
        """Begin to watch; statements are recorded where there is a log for them."""
        self.guard = guard
        self.statements = statements
        self.sealed = statements is not None
        super().set_authorizer(self._authorize)

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        return super().cursor(_recording(factory) if _is_class(factory, sqlite3.Cursor) else factory)

    def execute(self, sql: str, *args: Any) -> Any:
        return self.cursor().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> Any:
        return self.cursor().executemany(sql, *args)

    def executescript(self, sql_script: str) -> Any:
        return self.cursor().executescript(sql_script)

    def set_authorizer(self, authorizer_callback: Callable[..., int] | None) -> None:
        """The task's own authorizer is asked after ours."""
        self._asked = authorizer_callback
        super().set_authorizer(self._authorize)

    def _authorize(self, action: int, *args: Any) -> int:
        verdict = forbid_attach(self.guard, action, args[0])
        return self._asked(action, *args) if self._asked and not verdict else verdict


class RecordingCursor(sqlite3.Cursor):
    """A cursor that records its statements."""

    def execute(self, sql: str, *args: Any) -> Any:
        with self._recorded(sql):
            return super().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> Any:
        with self._recorded(sql):
            return super().executemany(sql, *args)

    def executescript(self, sql_script: str) -> Any:
        with self._recorded(sql_script):
            return super().executescript(sql_script)

    @contextmanager
    def _recorded(self, sql: str) -> Iterator[None]:
        connection = self.connection
        began = time.perf_counter()
        try:
            yield
        except sqlite3.OperationalError as error:
            if isinstance(connection, WatchedConnection) and connection.statements is None:
                _judge(connection, error)
            raise
        if isinstance(connection, WatchedConnection) and connection.statements:
            connection.statements.add(sql, self.rowcount, time.perf_counter() - began)


def _judge(connection: WatchedConnection, error: sqlite3.OperationalError) -> None:
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:  # the rest of it says why
        file = attached_files(connection)[0]
        connection.guard.notes.attempt(
            f"the task writes to sqlite {file}, which is not declared; {DECLARE_IT}"
        )


def plain(uri: str) -> sqlite3.Connection:
    """A connection of the seal itself, past every redirection and guard."""
    with Trusted():
        return original(uri, uri=True)


def _is_class(factory: Any, of: type[Any]) -> bool:
    return isinstance(factory, type) and issubclass(factory, of)


@cache
def _recording(factory: Any) -> Any:
    return (
        RecordingCursor
        if factory is sqlite3.Cursor
        else type(factory.__name__, (factory, RecordingCursor), {})
    )


@cache
def _watched(factory: Any) -> Any:
    return (
        WatchedConnection
        if factory is sqlite3.Connection
        else type(factory.__name__, (factory, WatchedConnection), {})
    )


def _connect(database: Any, *args: Any, **kwargs: Any) -> Any:
    kwargs |= dict(zip(PARAMETERS, args, strict=False))
    path = named(database, uri=bool(kwargs.get("uri")))
    guard, undeclared = _watching[-1].guard, _watching[-1].undeclared
    if path is None:
        return _opened(guard, None, database, kwargs) if undeclared.held else _plainly(database, kwargs)
    for redirection in _active:
        if same_file(path, redirection.original):
            copy = moved(database, redirection.copy, uri=bool(kwargs.get("uri")))
            connection = _opened(redirection.guard, redirection.statements, copy, kwargs)
            if isinstance(connection, WatchedConnection):  # sqlite3's own class takes no weak reference
                redirection.opened.add(connection)
            return connection
    if guard.owns(path):
        return _plainly(database, kwargs)
    if not undeclared.held:
        undeclared.meet(f"sqlite {path}")
        return _plainly(database, kwargs)
    if not os.path.exists(path):  # noqa: PTH110  # may be bytes
        raise guard.notes.attempt(
            f"the task would create the database {path}, which is not declared; {DECLARE_IT}"
        )
    undeclared.meet(f"sqlite {path}")
    return _opened(guard, None, read_only(path), kwargs | {"uri": True})


def _plainly(database: Any, kwargs: dict[str, Any]) -> Any:
    with Trusted():
        return original(database, **kwargs)


def _opened(guard: FileGuard, statements: StatementLog | None, database: Any, kwargs: dict[str, Any]) -> Any:
    factory = kwargs.get("factory", sqlite3.Connection)
    if _is_class(factory, sqlite3.Connection):
        kwargs["factory"] = _watched(factory)
    with Trusted():
        connection = original(database, **kwargs)
    if statements is not None:
        connection.execute("PRAGMA synchronous = OFF")  # nobody needs the copy after a crash
    if isinstance(connection, WatchedConnection):
        connection.watch(guard, statements)
    else:  # the task's factory is a function: no statements, but the same guard
        connection.set_authorizer(lambda action, file, *rest: forbid_attach(guard, action, file))
    return connection
