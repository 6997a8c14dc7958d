"""Standard output and a file: one JSON line for each checkpoint."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from oneoff.audit.evidence import Statement
from oneoff.errors import AnchorFailed
from oneoff.files import sync_folder


class StdoutAnchor:
    """A line on standard output, for whoever collects it: a pod's log, journald, a pipeline."""

    name = "stdout"

    def keep(self, statement: Statement, *, stdout_taken: bool) -> None:
        """Where standard output is a document's, the line goes to standard error."""
        stream = sys.stderr if stdout_taken else sys.stdout
        try:
            stream.write(statement.line)
            stream.flush()
        except (OSError, ValueError) as error:
            raise AnchorFailed(f"the line could not be written: {error}") from error


class FileAnchor:
    """A line at the end of a file, on the disk before the call returns.

    Below somebody else's control it is worth something: on another machine's disk, or append-only
    (``chattr +a``).
    """

    def __init__(self, path: Path) -> None:
        self.name = f"file {path}"
        self._path = path

    def keep(self, statement: Statement, *, stdout_taken: bool) -> None:
        """Processes that append at the same time wait for each other: lines do not mix."""
        try:
            self._append(statement.line.encode())
        except OSError as error:
            raise AnchorFailed(f"the line could not be written: {error.strerror}") from error

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # A write that crosses a page shows its first part before its last: without the lock
            # a line that is still being written looks like one that was cut.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # the disk was full in the middle of the line before
            written = os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if written != len(line):
            raise AnchorFailed(f"only {written} of {len(line)} bytes of the line could be written")
        if not size:
            sync_folder(self._path.parent)
