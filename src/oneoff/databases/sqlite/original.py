"""The original of a copy, which the copy replaces in one transaction if nobody has written to it since.

``PRAGMA data_version`` tells a connection whether another one has committed
(https://www.sqlite.org/pragma.html#pragma_data_version). The answer counts only under a lock that is held
until the copy is in place. With a rollback journal the connection itself takes it and, in exclusive locking
mode, keeps it after its transaction, because the backup needs a connection in none
(https://www.sqlite.org/c3ref/backup_finish.html). With a write-ahead log the backup takes the lock with its
first page, and readers go on: the connection is asked then. Killed at any moment, the file is as before or as
after, as with any other transaction of SQLite's.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from oneoff.databases.sqlite.connections import plain
from oneoff.databases.sqlite.places import read_only
from oneoff.errors import NotCommitted

_PATIENCE_SECONDS = 5.0
"""As long as ``sqlite3.connect`` waits for a lock by itself."""
_PAGES = 1000
_NOT_COPIED = ("journal_mode", "page_size", "auto_vacuum", "encoding")
"""Settings of a whole file that a backup into it does not change, or not safely."""
_CHANGED = "nothing was committed: {} was written to by others while the task worked on its copy"


class Original:
    """A database file that is watched from before it is copied."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Original:
        self._connection = self._opened()
        self._version = self._data_version()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()

    def replace(self, before: Path, copy: Path) -> None:
        """Make it what the copy is. Raises NotCommitted, and then it is as it was."""
        self._check_settings(before, copy)
        try:
            with closing(plain(read_only(str(copy)))) as source:
                (mode,) = self._connection.execute("PRAGMA journal_mode").fetchone()
                if mode == "wal":
                    with closing(self._opened()) as target:
                        self._bring(source, target, watch=True)
                else:
                    self._lock()
                    self._bring(source, self._connection)
        except sqlite3.Error as error:
            raise NotCommitted(f"nothing was committed: {self._path}: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        connection = plain(f"{self._path.as_uri()}?mode=rw")
        connection.isolation_level = None
        return connection

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _check_unchanged(self) -> None:
        if self._data_version() != self._version:
            raise NotCommitted(_CHANGED.format(self._path), next_step="run it again while nobody writes")

    def _lock(self) -> None:
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("BEGIN EXCLUSIVE")
        try:
            self._check_unchanged()
        finally:
            self._connection.execute("COMMIT")

    def _bring(self, source: sqlite3.Connection, target: sqlite3.Connection, *, watch: bool = False) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        locked = False

        def progress(status: int, remaining: int, total: int) -> None:
            nonlocal locked
            if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                if time.monotonic() > deadline:
                    raise NotCommitted(
                        f"nothing was committed: {self._path} is locked by others", next_step="run it again"
                    )
            elif watch and not locked:
                self._check_unchanged()
                locked = True

        (total,) = source.execute("PRAGMA page_count").fetchone()
        if watch and total < 2:
            raise NotCommitted(f"nothing was committed: {self._path} would hold no table any more")
        target.execute("PRAGMA busy_timeout = 50")  # milliseconds: who waits is the loop, which gives up
        pages = min(_PAGES, max(total - 1, 1))  # the last step commits, and the first one asks
        source.backup(target, pages=pages, progress=progress, sleep=0.02)

    def _check_settings(self, before: Path, copy: Path) -> None:
        with closing(plain(read_only(str(before)))) as old, closing(plain(read_only(str(copy)))) as new:
            for name in _NOT_COPIED:
                was, is_ = (self._setting(connection, name) for connection in (old, new))
                if was != is_:
                    raise NotCommitted(
                        f"nothing was committed: the task changed the {name} of {self._path} ({was} ->"
                        f" {is_}), which cannot be brought over from a copy",
                        next_step="do that in a run without --effects",
                    )

    @staticmethod
    def _setting(connection: sqlite3.Connection, name: str) -> object:
        connection.execute(
            "SELECT 1 FROM sqlite_master"
        ).fetchall()  # before it is read it has no journal mode
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
