"""Room on disk for the outcome of each run under way, taken before it starts, so that a full disk or a
folder that became read-only cannot make an outcome disappear.

A file holds a magic word, the length and the SHA-256 of the document, then the document. Until it is
written it holds zeros; a write that was torn fits neither length nor hash. Symbolic links are never followed.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path

from oneoff.stores import failures
from oneoff.types import RUN_ID, RunId

ROOM_BYTES = 64 * 1024
"""What is set aside for one outcome, header included; a longer document needs room on the disk after all."""

_MAGIC = b"oneoff outcome 1\n"
_LENGTH_BYTES = 8
_HEADER_BYTES = len(_MAGIC) + _LENGTH_BYTES + sha256().digest_size
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class FileSpool:
    """One file for each run under ``state_dir/outcomes``."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "outcomes"
        self._files: dict[RunId, int] = {}
        self._lock = threading.Lock()

    def reserve(self, run_id: RunId) -> None:
        """Set 64 KiB aside and keep the file open. What an earlier process left there is kept."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self.folder, _FOLDER_FLAGS)
            try:
                file = _open(folder, run_id, os.O_RDWR | os.O_CREAT)
                try:
                    _take_room(file)
                    os.fsync(folder)
                except BaseException:
                    os.close(file)
                    raise
            finally:
                os.close(folder)
        except OSError as error:
            raise failures.explain(error, self.folder / run_id) from error
        with self._lock:
            previous, self._files[run_id] = self._files.get(run_id), file
        if previous is not None:
            os.close(previous)

    def write(self, run_id: RunId, document: bytes) -> None:
        """Keep the outcome in the room set aside, where others find it once this returns. Raises OSError."""
        with self._lock:
            file = self._files.get(run_id)
        if file is None:
            raise OSError(errno.EBADF, f"no room was set aside for run {run_id}")
        with ExitStack() as stack:
            folder = os.open(self.folder, _FOLDER_FLAGS)
            stack.callback(os.close, folder)
            if not _is_still(file, folder, run_id):
                file = _open(folder, run_id, os.O_RDWR)
                stack.callback(os.close, file)
            _write_all(file, _header(document) + document)
            os.fsync(file)
            if not os.fstat(file).st_nlink:
                raise FileNotFoundError(errno.ENOENT, "the room set aside was removed", run_id)

    def pending(self) -> Iterator[tuple[RunId, bytes]]:
        """The outcomes that were written whole, in the order of their runs' ids."""
        try:
            folder = os.open(self.folder, _FOLDER_FLAGS)
        except FileNotFoundError:
            return
        except OSError as error:
            raise failures.explain(error, self.folder) from error
        try:
            for name in sorted(entry.name for entry in os.scandir(folder)):
                document = _read(folder, name) if RUN_ID.fullmatch(name) else None
                if document is not None:
                    yield RunId(name), document
        finally:
            os.close(folder)

    def release(self, run_id: RunId) -> None:
        """Give the room back; for a run that another process reserved, too."""
        with self._lock:
            file = self._files.pop(run_id, None)
        if file is not None:
            # Where the file cannot be removed (a read-only folder), it must not wait to be recorded again.
            with suppress(OSError):
                os.pwrite(file, bytes(_HEADER_BYTES), 0)
            with suppress(OSError):
                os.close(file)
        # An empty room that stays behind does no harm, and by now the outcome is recorded.
        with suppress(OSError):
            folder = os.open(self.folder, _FOLDER_FLAGS)
            try:
                os.unlink(run_id, dir_fd=folder)
            finally:
                os.close(folder)


def _is_still(file: int, folder: int, run_id: str) -> bool:
    """A task may have closed descriptors that are not its own, or removed the file. Raises OSError."""
    there = os.stat(run_id, dir_fd=folder, follow_symlinks=False)
    try:
        return os.path.samestat(os.fstat(file), there)
    except OSError:
        return False


def _open(folder: int, run_id: str, flags: int) -> int:
    if not RUN_ID.fullmatch(run_id):
        raise OSError(errno.EINVAL, f"{run_id!r} is no id of a run")
    # O_NONBLOCK: something else in its place (a FIFO) must not make us wait.
    file = os.open(run_id, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EEXIST, "something that is no file stands in its place")
    return file


def _take_room(file: int) -> None:
    missing = ROOM_BYTES - os.fstat(file).st_size
    if missing > 0:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, ROOM_BYTES)
        else:  # macOS
            _write_all(file, bytes(missing), ROOM_BYTES - missing)
    os.fsync(file)


def _header(document: bytes) -> bytes:
    return _MAGIC + len(document).to_bytes(_LENGTH_BYTES, "big") + sha256(document).digest()


def _read(folder: int, name: str) -> bytes | None:
    """The document in this file; None where there is none, or not all of it."""
    try:
        file = _open(folder, name, os.O_RDONLY)
    except OSError:  # a link, somebody else's file, or recorded and removed by another process meanwhile
        return None
    with os.fdopen(file, "rb") as stream:
        header = stream.read(_HEADER_BYTES)
        length = int.from_bytes(header[len(_MAGIC) : len(_MAGIC) + _LENGTH_BYTES], "big")
        if not header.startswith(_MAGIC) or length > os.fstat(file).st_size:
            return None
        document = stream.read(length)
    return document if header == _header(document) else None


def _write_all(file: int, content: bytes, offset: int = 0) -> None:
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written
