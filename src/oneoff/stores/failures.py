"""What SQLite and the operating system say when a store cannot be used, in words a person can act on."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from oneoff.errors import StoreCorrupted, StoreUnavailable, StoreVersionMismatch

BUSY_SECONDS = 30
"""How long a statement waits for another process's transaction. SQLite's waiting is not fair: with eight
writers the longest wait measured was over 5 s."""


class _Reason(NamedTuple):
    kind: type[StoreUnavailable]
    message: str
    next_step: str


_GIVE_ACCESS = (
    "give this user write access to the file and its folder {folder}, or set ONEOFF_STORE to another place; a"
    " file system that is mounted read-only, as that of many containers, takes no writes from anybody"
)
_ACCESS = _Reason(
    StoreUnavailable,
    "the store {path} cannot be opened for writing by {user}: {error}",
    _GIVE_ACCESS,
)
_READ_ONLY = _Reason(
    StoreUnavailable,
    "the store {path} is read-only for {user}: {error}",
    _GIVE_ACCESS,
)
_FULL = _Reason(
    StoreUnavailable,
    "there is no room left for the store {path}: {error}",
    "make room on the disk of {folder} (or raise the quota), then try again; nothing recorded is lost",
)
_BUSY = _Reason(
    StoreUnavailable,
    f"another process has kept the store {{path}} locked for {BUSY_SECONDS} s",
    "try again; if it stays so, `fuser {path}` names the process that holds it",
)
_DAMAGED = _Reason(
    StoreCorrupted,
    "the store {path} is damaged: {error}",
    "change nothing in it: copy it with its -wal file and restore a backup; "
    "`sqlite3 {path} .recover` saves what can be read",
)
_NO_STORE = _Reason(
    StoreCorrupted,
    "the file {path} is not a store of oneoff: {error}",
    "move it aside and restore a backup, or set ONEOFF_STORE to another place",
)
_FOREIGN = _Reason(
    StoreCorrupted,
    "the file {path} is not a store of oneoff: it is a database of another program",
    "leave it where it is, and set ONEOFF_STORE to another place",
)
_INPUT_OUTPUT = _Reason(
    StoreUnavailable,
    "the disk refused to read or write the store {path}: {error}",
    "check the disk of {folder}, its quota and the limit on file sizes (`ulimit -f`), then try again",
)
_FOLDER = _Reason(
    StoreUnavailable,
    "there is no folder for the store {path}: {error}",
    "make the folder {folder}, or set ONEOFF_STORE to another place",
)
_IN_THE_WAY = _Reason(
    StoreUnavailable,
    "the store {path} cannot be used: {error}",
    "look with `ls -l {folder}` at what stands in its place, and move it aside",
)
_IS_FOLDER = _Reason(
    StoreUnavailable, "the store {path} is a folder, and has to be a file", "set ONEOFF_STORE to a file"
)
_SWAPPED = _Reason(
    StoreUnavailable,
    "the store {path} was removed or replaced while this process had it open",
    "put the file back that was there; what was recorded until then is in it",
)
_HALF_GONE = _Reason(
    StoreCorrupted,
    "the store {path} is gone, and its last commits are still there in {path}-wal",
    "put the store back beside it, or move {path}-wal and {path}-shm aside to begin a new store",
)
_UNREADABLE = _Reason(
    StoreUnavailable,
    "the store {path} cannot be read by {user}: {error}",
    "give this user read access to the file, to {path}-wal and {path}-shm where they exist, and to {folder}",
)
_ABSENT = _Reason(
    StoreUnavailable, "there is no store {path} to read: {error}", "a user who may write there makes it"
)
_NO_INDEX = _Reason(
    StoreUnavailable,
    "the newest records of the store {path} are in {path}-wal, and cannot be read without writing: {error}",
    "let a user who may write to {folder} run `oneoff runs` once (with room on its disk), then try again",
)
_ONLY_TO_READ = _Reason(
    StoreUnavailable,
    "the store {path} is open for reading alone",
    "give {user} write access to the file and its folder {folder}, and see that its disk has room",
)
_OLDER = _Reason(
    StoreVersionMismatch,
    "the store {path} was written by an older oneoff, and cannot be upgraded without writing: {error}",
    "let a user who may write to it run `oneoff runs` once: that upgrades it",
)
_OTHER = _Reason(
    StoreUnavailable, "the store {path} cannot be used: {error}", "`oneoff doctor` says what is wrong with it"
)

# By SQLite's primary result codes (https://www.sqlite.org/rescode.html).
_SQLITE = {
    "SQLITE_PERM": _ACCESS,
    "SQLITE_AUTH": _ACCESS,
    "SQLITE_CANTOPEN": _ACCESS,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_FULL": _FULL,
    "SQLITE_BUSY": _BUSY,
    "SQLITE_LOCKED": _BUSY,
    "SQLITE_PROTOCOL": _BUSY,
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_SCHEMA": _DAMAGED,
    "SQLITE_ERROR": _DAMAGED,  # a table that is gone: all statements are fixed and tested
    "SQLITE_NOTADB": _NO_STORE,
    "SQLITE_FORMAT": _NO_STORE,
    "SQLITE_IOERR": _INPUT_OUTPUT,
}
_ERRNO = {
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _INPUT_OUTPUT,
    errno.EIO: _INPUT_OUTPUT,
    errno.ENOENT: _FOLDER,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ELOOP: _IN_THE_WAY,
    errno.EISDIR: _IS_FOLDER,
}


# What differs where nothing has to be written.
_READING = {
    _ACCESS: _UNREADABLE,
    _FOLDER: _ABSENT,
    _READ_ONLY: _ONLY_TO_READ,
}


def explain(error: sqlite3.Error | OSError, path: Path) -> StoreUnavailable:
    """The error to raise ``from`` this one."""
    return _explained(*_reason(error), path)


def _reason(error: sqlite3.Error | OSError) -> tuple[_Reason, str]:
    if isinstance(error, OSError):
        return _ERRNO.get(error.errno or 0, _OTHER), error.strerror or str(error)
    name = getattr(error, "sqlite_errorname", "")
    primary = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR
    return _SQLITE.get(primary, _OTHER), str(error)


def explain_reading(error: sqlite3.Error | OSError, path: Path) -> StoreUnavailable:
    """The same where the store is only read."""
    reason, words = _reason(error)
    return _explained(_READING.get(reason, reason), words, path)


def is_folder(path: Path) -> StoreUnavailable:
    return _explained(_IS_FOLDER, "", path)


def no_store(path: Path, why: str) -> StoreUnavailable:
    return _explained(_NO_STORE, why, path)


def foreign(path: Path) -> StoreUnavailable:
    return _explained(_FOREIGN, "", path)


def swapped(path: Path) -> StoreUnavailable:
    return _explained(_SWAPPED, "", path)


def half_gone(path: Path) -> StoreUnavailable:
    return _explained(_HALF_GONE, "", path)


def only_to_read(path: Path) -> StoreUnavailable:
    return _explained(_ONLY_TO_READ, "", path)


def no_index(path: Path, why: str) -> StoreUnavailable:
    return _explained(_NO_INDEX, why, path)


def older(path: Path, why: str) -> StoreUnavailable:
    return _explained(_OLDER, why, path)


def busy(path: Path) -> StoreUnavailable:
    return _explained(_BUSY, "", path)


def damaged(path: Path, why: str) -> StoreUnavailable:
    return _explained(_DAMAGED, why, path)


def _explained(reason: _Reason, error: str, path: Path) -> StoreUnavailable:
    words = {"path": path, "folder": path.parent, "error": error, "user": f"user {os.geteuid()}"}
    return reason.kind(reason.message.format(**words), next_step=reason.next_step.format(**words))
