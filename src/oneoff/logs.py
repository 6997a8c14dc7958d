"""The files that keep what runs printed: one per run, written by its own process, read by anyone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from oneoff.errors import StoreUnavailable
from oneoff.types import RunId


def log_path(state_dir: Path, run_id: RunId) -> Path:
    """Where the output of a run is kept."""
    return state_dir / "logs" / f"{run_id}.log"


def open_log(path: Path) -> int:
    """A file descriptor that appends to a run's log, made for its owner's eyes only if it is new.

    A symbolic link in its place is not followed: it could lead the output over a file of value.

    Raises:
        StoreUnavailable: the file cannot be opened; nothing ran yet, and nothing runs without its log.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"the run's log {path} cannot be opened: {error.strerror}") from error


def append(path: Path, line: str) -> None:
    """Add a line to a log if it can be added; it begins a line whatever was printed before."""
    with suppress(OSError, StoreUnavailable):
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            start = "" if file.read() == b"\n" else "\n"
        fd = open_log(path)
        try:
            os.write(fd, f"{start}{line}\n".encode())
        finally:
            os.close(fd)
