"""The folder of a dry run's copies: private, and removed by the next dry run where its owner was killed.

A living dry run holds a lock (``flock(2)``) on a file in its folder. The kernel gives the lock up however the
process ends, so a folder whose lock is free is nobody's any more. The lock comes before the copies and goes
after them: a folder without one is empty, and is left alone, since it may be just about to be used.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oneoff import own

_PREFIX = "oneoff-copy-"
_LOCK, _FILES = "lock", "files"


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder that this user alone may enter, gone at the end of the block. Raises OSError."""
    with own.work():
        folder = _scratch()
        files = folder.__enter__()
    try:
        with own.lent_folder(files):
            yield files
    finally:
        with own.work():
            folder.__exit__(None, None, None)


@contextmanager
def _scratch() -> Iterator[Path]:
    _sweep()
    while True:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
            lock = os.open(Path(name, _LOCK), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with suppress(OSError):  # a file system without locks: nobody else can take one either
                    fcntl.flock(lock, fcntl.LOCK_EX)
                if os.fstat(lock).st_nlink == 0:
                    continue  # another dry run took it for abandoned before it was locked
                files = Path(name, _FILES)
                files.mkdir(mode=0o700)
                try:
                    yield files
                finally:
                    shutil.rmtree(files, ignore_errors=True)
                return
            finally:
                os.close(lock)


def _sweep() -> None:
    """Remove what killed dry runs of this user have left behind; what cannot be removed stays."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX):
                with suppress(OSError):  # not ours, still in use, or another dry run was faster
                    _remove_abandoned(entry.path)


def _remove_abandoned(path: str) -> None:
    """All by the open folder, so that nothing can be put in its place meanwhile. Raises OSError."""
    with _opened(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
        with _opened(_LOCK, os.O_RDWR, folder) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _FILES in os.listdir(folder):  # noqa: PTH208  # by the open folder
                shutil.rmtree(_FILES, dir_fd=folder)
            os.unlink(_LOCK, dir_fd=folder)
        Path(path).rmdir()


@contextmanager
def _opened(path: str, flags: int, folder: int | None = None) -> Iterator[int]:
    """A file of this user's own, and no link to one. Raises OSError."""
    file = os.open(path, flags | os.O_NOFOLLOW, dir_fd=folder)
    try:
        if os.fstat(file).st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user")
        yield file
    finally:
        os.close(file)
