"""Looks at what the app's own function gives, before it is known which database has to be sealed.

The function runs for real here, and may do more than connect: set a journal mode, create tables. So every
SQLite file that it opens, it opens to read; what it then tries to write fails, and so does the dry run.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from oneoff.databases.sqlite import connections
from oneoff.databases.sqlite.guard import FileGuard, Trusted
from oneoff.databases.sqlite.places import missing, named, read_only
from oneoff.databases.watching import Notes


class Looking:
    """For the time of a block, ``sqlite3.connect`` opens files to read, and nothing gets around it."""

    def __init__(self, own: frozenset[Path]) -> None:
        """``own``: databases of oneoff itself, left alone."""
        self._guard = FileGuard(None, Notes(), own)
        self._exit = ExitStack()

    def __enter__(self) -> None:
        self._exit.enter_context(self._guard)
        replaced = (sqlite3.connect, sqlite3.dbapi2.connect)
        sqlite3.connect = sqlite3.dbapi2.connect = self._connect
        self._exit.callback(_put_back, *replaced)

    def __exit__(self, *exc_info: object) -> None:
        self._exit.close()

    def _connect(self, database: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs |= dict(zip(connections.PARAMETERS, args, strict=False))
        path = named(database, uri=bool(kwargs.get("uri")))
        if path is not None and not self._guard.owns(path):
            if not os.path.exists(path):  # noqa: PTH110  # may be bytes
                raise missing(path)
            database, kwargs["uri"] = read_only(path), True
        with Trusted():
            return connections.original(database, **kwargs)


def _put_back(connect: Any, dbapi2_connect: Any) -> None:
    sqlite3.connect, sqlite3.dbapi2.connect = connect, dbapi2_connect
