"""A throw-away store in SQLite, and whoever may write its file: for ``oneoff audit selftest``."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from oneoff.stores import failures, queries, sqlite_file
from oneoff.stores.sqlite import SqliteStore

_SQL = {**queries.load("attacks.sql"), **queries.load("sqlite_laboratory.sql")}


class SqliteLaboratory:
    """Implements :class:`oneoff.protocols.Laboratory` in a folder of its own."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "store.db"

    def open(self) -> SqliteStore:
        connection = sqlite_file.prepare(self._path)
        connection.execute("PRAGMA synchronous = OFF")  # it need not outlive a power failure
        return SqliteStore(self._path, connection)

    def keep(self, name: str) -> None:
        with self._connected() as connection, closing(sqlite3.connect(self._kept(name))) as copy:
            copy.execute("PRAGMA synchronous = OFF")
            connection.backup(copy)

    def put_back(self, name: str) -> None:
        try:
            for file in self._folder.glob(f"{self._path.name}*"):
                file.unlink()
            shutil.copyfile(self._kept(name), self._path)
        except OSError as error:
            raise failures.explain(error, self._path) from error

    def change(self, what: str, **values: int | str | bytes) -> None:
        with self._connected() as connection:
            triggers = [name for (name,) in connection.execute(_SQL["guards"])]
            workers = [sql for (sql,) in connection.execute(_SQL["workers"])]
            off = "".join(f"DROP TRIGGER {name};" for name in triggers)
            connection.executescript(f"BEGIN;{off}COMMIT;")
            if values:
                connection.execute(_SQL[what], values)
            else:
                connection.executescript(_SQL[what])
            for sql in workers:
                connection.execute(sql)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite_file.connect(self._path)) as connection:
                connection.execute("PRAGMA synchronous = OFF")
                yield connection
        except sqlite3.Error as error:
            raise failures.explain(error, self._path) from error

    def _kept(self, name: str) -> Path:
        return self._folder / f"{name}.backup"
