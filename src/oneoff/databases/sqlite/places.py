"""Which file a path or a ``file:`` URI means (https://www.sqlite.org/uri.html)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from oneoff.errors import DryRunUnavailable

SIDE_FILES = ("-wal", "-shm", "-journal")


def named(database: Any, *, uri: bool) -> str | None:
    """The path that ``sqlite3.connect(database)`` means, or None for a database without a file."""
    text = os.fsdecode(database) if not isinstance(database, str) else database
    if uri and text.startswith("file:"):
        path, query = _parts(text)
        return None if path in ("", ":memory:") or "mode=memory" in query.split("&") else path
    return None if text in ("", ":memory:") else text


def moved(database: Any, path: Path, *, uri: bool) -> str:
    """The same database argument, naming another file; the query of a URI is kept."""
    text = os.fsdecode(database) if not isinstance(database, str) else database
    if uri and text.startswith("file:"):
        query = _parts(text)[1]
        return f"file:{quote(str(path))}" + (f"?{query}" if query else "")
    return str(path)


def read_only(path: str) -> str:
    """The URI that opens an existing file without the right to write."""
    return f"file:{quote(str(Path(path).absolute()))}?mode=ro"


def leaving_nothing(path: Path) -> str:
    """The URI that opens an existing file to be read, and leaves none beside it that was not there.

    To read a write-ahead log SQLite makes two files, and removes them only where it may write. Where there
    is one already, or a journal, whoever may write brings it into the database: then the right is not taken.
    """
    beside = (path.with_name(path.name + side) for side in SIDE_FILES)
    mode = "ro" if any(file.exists() for file in beside) else "rw"
    return f"{path.absolute().as_uri()}?mode={mode}"


def missing(path: Any) -> DryRunUnavailable:
    """What is said of a database file that is not there."""
    return DryRunUnavailable(
        f"the database file {os.fsdecode(path)} does not exist, and a dry run creates none",
        next_step="check the path in the app's settings, and the folder that the command is run in",
    )


def same_file(one: Any, other: Path, *, directory: int | None = None) -> bool:
    """Whether both name the same file, links followed; False where either does not exist."""
    try:
        found = os.stat(one, dir_fd=directory)
        there = other.stat()
    except (OSError, ValueError, TypeError):
        return False
    return (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino)


def footprint(database: Path) -> tuple[tuple[int, int] | None, ...]:
    """Size and time of a database file and of its write-ahead log: equal where nobody has written."""
    return tuple(_written(database.with_name(database.name + side)) for side in ("", "-wal"))


def _written(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if found.st_size else None  # whoever reads makes an empty log


def _parts(uri: str) -> tuple[str, str]:
    path, _, query = uri.removeprefix("file:").partition("#")[0].partition("?")
    if path.startswith("//"):
        path = "/" + path[2:].partition("/")[2]  # the authority, empty or "localhost"
    return unquote(path), query
