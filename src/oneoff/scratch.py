"""A dry run's folder for copies and temporary files: private, and removed by the next one after a kill.

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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from oneoff import own
from oneoff.errors import DryRunUnavailable

PREFIX = "oneoff-copy-"
"""Of the folder's name, in the folder for temporary files."""
_LOCK, _FILES = "lock", "files"


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder for this user alone, lent to the task, gone at the end of the block. Raises OSError."""
    with ExitStack() as stack:
        with own.work():
            files = _make(stack)
        try:
            with own.lent_folder(files):
                yield files
        finally:
            own.unheld(lambda: _remove(files, stack))


def scratch_for_task(stack: ExitStack) -> Path:
    """One that is gone when the stack is closed. Raises DryRunUnavailable."""
    try:
        return stack.enter_context(scratch())
    except OSError as error:
        raise DryRunUnavailable(
            f"there is no folder for temporary files: {error}",
            next_step="name a folder with room, where this user may write, in TMPDIR",
        ) from error


def _remove(files: Path, stack: ExitStack) -> None:
    shutil.rmtree(files, ignore_errors=True)
    stack.close()


def _make(stack: ExitStack) -> Path:
    _sweep()
    while True:
        with ExitStack() as attempt:
            folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
            name = attempt.enter_context(folder)
            lock = os.open(Path(name, _LOCK), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            attempt.callback(os.close, lock)
            with suppress(OSError):  # a file system without locks: nobody else can take one either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink == 0:
                continue  # another dry run took it for abandoned before it was locked
            files = Path(name, _FILES)
            files.mkdir(mode=0o700)
            stack.push(attempt.pop_all())
            return files


def _sweep() -> None:
    """Remove what killed dry runs of this user have left behind; what cannot be removed stays."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
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
