"""What this user has seen of each audit log, in a file of their own that no store's owner can write.

``checkpoints.json`` maps the place of a store to ``log``, ``size``, ``root`` and ``time``. It is a second
line: where it cannot be read or written that is said, and everything else goes on.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oneoff.audit.merkle import Checkpoint
from oneoff.audit.witness import Sighting
from oneoff.types import from_rfc3339, rfc3339

LOCK_SECONDS = 5.0
"""How long another process may take to write the file; a disk that is busy has taken over a second."""


class FileWitness:
    """Implements :class:`oneoff.protocols.Witness` for the store at ``place``."""

    def __init__(self, folder: Path, place: str, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._file = folder / "checkpoints.json"
        self._place = place
        self._say = say
        self._told = False

    def recall(self) -> Sighting | None:
        try:
            return self._entry(self._read())
        except OSError as error:
            self._tell(f"cannot be read: {error.strerror}")
        except ValueError as error:
            self._tell(f"cannot be read ({error}); it is put aside as {self._broken.name}")
            self._put_aside()
        return None

    def remember(self, sighting: Sighting, *, instead: bool = False) -> bool:
        try:
            with self._locked():
                try:
                    kept = self._read()
                    before = self._entry(kept)
                except ValueError:  # recall has said so
                    kept, before = {}, None
                if before is not None and not instead and not _follows(before, sighting):
                    return False
                kept[self._place] = {
                    "log": sighting.log,
                    "size": sighting.checkpoint.size,
                    "root": sighting.checkpoint.root.hex(),
                    "time": rfc3339(sighting.at),
                }
                self._write(json.dumps(kept, indent=1).encode())
        except OSError as error:
            self._tell(f"cannot be written: {error.strerror}")
            return False
        return True

    @property
    def _broken(self) -> Path:
        return self._file.with_name(f"{self._file.name}.broken")

    def _read(self) -> dict[str, Any]:
        try:
            text = self._file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        kept = json.loads(text)
        if not isinstance(kept, dict):
            raise ValueError("it is no JSON object")
        return kept

    def _entry(self, kept: dict[str, Any]) -> Sighting | None:
        entry = kept.get(self._place)
        if entry is None:
            return None
        try:
            return Sighting(
                log=str(entry["log"]),
                checkpoint=Checkpoint.parse(f"{entry['size']}:{entry['root']}"),
                at=from_rfc3339(entry["time"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"its entry for {self._place} is none: {error!r}") from error

    def _write(self, text: bytes) -> None:
        """All of it or nothing, for its owner's eyes only: whoever reads it learns where stores are."""
        new = self._file.with_name(f"{self._file.name}.new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)
            os.write(fd, text)
            os.fsync(fd)  # else a power failure may leave an empty file, which remembers nothing
        finally:
            os.close(fd)
        new.replace(self._file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / "checkpoints.lock"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:  # a process that was stopped in the middle must stop nobody else
                    if time.monotonic() > deadline:
                        raise
                time.sleep(0.005)
            yield
        finally:
            os.close(fd)

    def _put_aside(self) -> None:
        try:
            with self._locked():
                self._file.replace(self._broken)
        except FileNotFoundError:  # another process was quicker
            return
        except OSError as error:
            self._tell(f"cannot be put aside: {error.strerror}")

    def _tell(self, what: str) -> None:
        if not self._told:
            self._told = True
            self._say(
                f"the file {self._file}, which remembers the audit log's last checkpoint, {what}; "
                "changes of the log since then go unseen"
            )


def _follows(before: Sighting, after: Sighting) -> bool:
    """A witness forgets nothing by itself: not another log, and not a longer one."""
    return before.log == after.log and before.checkpoint.size < after.checkpoint.size
