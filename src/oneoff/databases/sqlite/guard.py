"""Refuses the roads to the original file that do not lead through ``sqlite3.connect`` as the app calls it.

An audit hook (PEP 578) cannot be removed, so there is one per process, and it looks at nothing unless a seal
is in force. It sees what Python does in this process and not what other programs or C libraries do.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from oneoff import own
from oneoff.databases.sqlite.places import SIDE_FILES, named, same_file
from oneoff.databases.watching import Notes

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HARMLESS_ATTACH = ("", ":memory:")  # VACUUM attaches "" itself
_active: list[FileGuard] = []
_installed = False
_trusted = threading.local()


class FileGuard:
    """Guards one database file, or every one that is opened unseen, for the time of a block."""

    def __init__(self, original: Path | None, notes: Notes, own_files: frozenset[Path]) -> None:
        """``original``: None for one that guards whatever nobody else does.
        ``own_files``: databases of oneoff itself, which stay open to it."""
        self.original = original
        self.notes = notes
        self._own = own_files
        self._names = _with_side_files(original) if original else set()

    def __enter__(self) -> None:
        global _installed
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True
        _active.append(self)

    def __exit__(self, *exc_info: object) -> None:
        _active.remove(self)

    def owns(self, path: str) -> bool:
        """Whether this is oneoff itself, opening one of its own databases: to the task they are as others."""
        return own.at_work() and (Path(path).absolute() in self._own or Path(path).resolve() in self._own)

    def protects(self, path: Any, directory: int | None = None) -> bool:
        """Whether a path means the original or one of the files that SQLite keeps beside it."""
        if self.original is None or isinstance(path, int):
            return False
        if same_file(path, self.original, directory=directory):
            return True
        try:
            text = os.fsdecode(path)
        except TypeError:
            return False
        if not any(text.endswith(side) for side in SIDE_FILES):
            return False
        if directory is None:
            return Path(text).resolve() in self._names
        return same_file(directory, self.original.parent) and self.original.with_name(text) in self._names

    def contains(self, path: Any) -> bool:
        """Whether a path is a folder on the way to the original."""
        return self.original is not None and Path(os.fsdecode(path)).resolve() in self.original.parents

    def refuse(self, what: str) -> NoReturn:
        raise self.notes.attempt(f"{what}: {self.original} may not be touched in a dry run")


def _with_side_files(path: Path) -> set[Path]:
    return {path, *(path.with_name(path.name + side) for side in SIDE_FILES)}


class Trusted:
    """The calls of this thread to ``sqlite3.connect`` are the seal's own for the time of a block."""

    def __enter__(self) -> None:
        _trusted.depth = getattr(_trusted, "depth", 0) + 1

    def __exit__(self, *exc_info: object) -> None:
        _trusted.depth -= 1


def forbid_attach(guard: FileGuard, action: int, file: str | None) -> int:
    """An SQLite authorizer: no file may be attached, since it would be written for real."""
    if action != sqlite3.SQLITE_ATTACH or file in _HARMLESS_ATTACH:
        return sqlite3.SQLITE_OK
    guard.notes.attempt(
        f"ATTACH or VACUUM INTO {file or 'a file named by a parameter'}: it would write to a real file"
    )
    return sqlite3.SQLITE_DENY


def _connect(guard: FileGuard, database: Any) -> None:
    if getattr(_trusted, "depth", 0):
        return
    path = named(database, uri=os.fsdecode(database).startswith("file:"))
    if path is not None and guard.owns(path):
        return
    if path is not None and guard.protects(path):
        guard.refuse("the database was opened around the dry run, by a `connect` kept from before it")
    if guard.original is None:  # one in memory could attach any file
        what = path or "a database in memory"
        raise guard.notes.attempt(
            f"{what} was opened around the dry run, by a `connect` kept from before it; call sqlite3.connect"
        )


def _open(guard: FileGuard, path: Any, mode: Any, flags: Any) -> None:
    if isinstance(flags, int) and flags & _WRITING and guard.protects(path):
        guard.refuse("the file was opened for writing")


def _change(verb: str) -> Callable[..., None]:
    def check(guard: FileGuard, path: Any, *rest: Any) -> None:
        directory = rest[-1] if rest and isinstance(rest[-1], int) and rest[-1] >= 0 else None
        if guard.protects(path, directory if verb == "removed" else None):
            guard.refuse(f"the file was {verb}")

    return check


def _rename(guard: FileGuard, source: Any, target: Any, source_dir: int, target_dir: int) -> None:
    if (
        guard.protects(source, source_dir if source_dir >= 0 else None)
        or guard.protects(target, target_dir if target_dir >= 0 else None)
        or guard.contains(source)
    ):
        guard.refuse("the file was renamed or replaced")


def _link(guard: FileGuard, source: Any, target: Any, *directories: int) -> None:
    if guard.protects(target):
        guard.refuse("another file was put beside it, in the place of one of its own")


_CHECKS: dict[str, Callable[..., None]] = {
    "sqlite3.connect": _connect,
    "open": _open,
    "os.rename": _rename,
    "os.link": _link,
    "os.symlink": _link,
    "os.remove": _change("removed"),
    "os.truncate": _change("truncated"),
}


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _active and (check := _CHECKS.get(event)):
        for guard in reversed(_active.copy()):  # whose file it is comes before who guards the rest
            check(guard, *args)
