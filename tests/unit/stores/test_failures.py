"""Foreign errors become words that a person can act on."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from oneoff.errors import StoreCorrupted, StoreUnavailable
from oneoff.stores.failures import explain

PATH = Path("/srv/shop/.oneoff/store.db")


def sqlite_error(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (sqlite_error("SQLITE_BUSY"), StoreUnavailable, "locked for 30 s"),
        (sqlite_error("SQLITE_BUSY_SNAPSHOT"), StoreUnavailable, "locked for 30 s"),
        (sqlite_error("SQLITE_FULL"), StoreUnavailable, "no room left"),
        (sqlite_error("SQLITE_READONLY_DIRECTORY"), StoreUnavailable, "read-only"),
        (sqlite_error("SQLITE_CANTOPEN"), StoreUnavailable, "cannot be opened"),
        (sqlite_error("SQLITE_IOERR_WRITE"), StoreUnavailable, "the disk refused"),
        (sqlite_error("SQLITE_CORRUPT_INDEX"), StoreCorrupted, "damaged"),
        (sqlite_error("SQLITE_NOTADB"), StoreCorrupted, "is not a store"),
        (sqlite_error("SQLITE_NOMEM"), StoreUnavailable, "cannot be used: what SQLite says"),
        (sqlite3.ProgrammingError("closed"), StoreUnavailable, "cannot be used: closed"),
        (PermissionError(errno.EACCES, "no"), StoreUnavailable, f"by user {os.geteuid()}: no"),
        (OSError(errno.EROFS, "ro"), StoreUnavailable, "read-only"),
        (OSError(errno.ENOSPC, "full"), StoreUnavailable, "no room left"),
        (OSError(errno.EDQUOT, "quota"), StoreUnavailable, "no room left"),
        (FileNotFoundError(errno.ENOENT, "gone"), StoreUnavailable, "there is no folder"),
        (OSError(errno.ELOOP, "links"), StoreUnavailable, "cannot be used: links"),
    ],
)
def test_explained(error: sqlite3.Error | OSError, kind: type[StoreUnavailable], words: str) -> None:
    """Each error names the store and what is wrong, and has a next step."""
    explained = explain(error, PATH)
    assert type(explained) is kind
    assert words in explained.message
    assert str(PATH) in explained.message
    assert explained.next_step
    assert "{" not in explained.message + explained.next_step
