"""The SQLite store for somebody who may only read it, or on a disk that has no room for anything.

SQLite reads a store in WAL mode through an index beside it (``-shm``), which it makes where there is none
(https://www.sqlite.org/wal.html#readonly). Here nothing is ever made: without commits in the ``-wal`` file
the store is read as a file that does not change, and read again where it did.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from oneoff.errors import StoreUnavailable
from oneoff.stores import failures, sqlite_file
from oneoff.stores.sqlite import SqliteStore

T = TypeVar("T")

_ATTEMPTS = 20
"""How often a read is repeated that met a change. Each takes milliseconds, and a change is rare."""


class _Stamp(NamedTuple):
    """Tells whether the file changed between two looks, and where its newest commits are."""

    file: tuple[int, int, int]
    log: bool

    @classmethod
    def of(cls, path: Path) -> _Stamp:
        status = path.stat()
        try:
            log = Path(f"{path}-wal").stat().st_size > 0
        except FileNotFoundError:
            log = False
        return cls((status.st_ino, status.st_size, status.st_mtime_ns), log)


class SqliteReader(SqliteStore):
    """Opens the file anew for each read, so that it sees every change; all that writes is refused."""

    page_size = 1000

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path) -> SqliteReader:
        """The store at ``path``, which must be there.

        Raises:
            StoreUnavailable: it cannot be read, or its newest records cannot be read without writing.
            StoreCorrupted: the file is damaged or no store.
            StoreVersionMismatch: another version of oneoff wrote it.
        """
        reader = cls(path)
        reader._read_with(lambda connection: sqlite_file.check_current(connection, path))
        return reader

    def close(self) -> None:
        """Nothing is kept open."""

    def _write(self) -> NoReturn:
        raise failures.only_to_read(self.path)

    def _read_with(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            for _ in range(_ATTEMPTS):
                before = _Stamp.of(self.path)
                try:
                    with closing(sqlite_file.connect_to_read(self.path, log=before.log)) as connection:
                        found = read(connection)
                except (sqlite3.Error, StoreUnavailable):
                    if _Stamp.of(self.path) == before:
                        raise
                else:
                    # With a log, SQLite itself sees to it that what is read fits together.
                    if before.log or _Stamp.of(self.path) == before:
                        return found
        except sqlite3.OperationalError as error:
            if _Stamp.of(self.path).log and not Path(f"{self.path}-shm").exists():
                raise failures.no_index(self.path, str(error)) from error
            raise failures.explain_reading(error, self.path) from error
        except (sqlite3.Error, OSError) as error:
            raise failures.explain_reading(error, self.path) from error
        raise failures.busy(self.path)
