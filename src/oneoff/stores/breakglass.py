"""Stands in for a store that cannot be reached, for one run: memory, and a file that every event goes to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from oneoff.audit import sublog
from oneoff.audit.event import Event
from oneoff.audit.merkle import Checkpoint, Frontier
from oneoff.errors import StoreUnavailable
from oneoff.protocols import SubLogFile
from oneoff.runs.run import Progress, Run
from oneoff.stores import failures
from oneoff.stores.memory import MemoryStore
from oneoff.types import RunId

_KIND = ".jsonl"
_PROBE_BYTES = 64 * 1024
"""Room that a place has to have to be used."""


def first_usable(places: Sequence[Path]) -> Path:
    """The first folder of these that can be written, made if need be.

    Raises:
        StoreUnavailable: there is none.
    """
    reasons = []
    for place in places:
        probe = place / f".probe-{os.getpid()}"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                _write(probe, bytes(_PROBE_BYTES), new=True)
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
        else:
            return place
    raise StoreUnavailable(
        f"there is no place to record the run without the store ({'; '.join(reasons) or 'no home folder'})",
        next_step="set XDG_STATE_HOME to a folder that this user may write",
    )


class BreakGlassStore(MemoryStore):
    """A store for one run. Each of its events is on disk, with the run as it was then, before it counts.

    There is no lease and no lock: nobody else can see the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._frontier = Frontier()

    @property
    def sub_log(self) -> Checkpoint:
        """Size and root of what is in the file."""
        return self._frontier.checkpoint

    def beat(self, run_id: RunId, fence: int, at: datetime, progress: Progress | None) -> Run | None:
        """The file's time shows that the run lives."""
        try:
            os.utime(self._path(run_id))
        except OSError as error:
            raise failures.explain(error, self._path(run_id)) from error
        return super().beat(run_id, fence, at, progress)

    def _put(self, run: Run, event: Event | None) -> Run:
        if event is not None:
            text, grown = sublog.line(self._frontier, event, run)
            try:
                _write(self._path(run.id), text, new=not self._frontier.size)
            except OSError as error:
                raise failures.explain(error, self._path(run.id)) from error
            self._frontier = grown
        return super()._put(run, event)

    def _path(self, run_id: RunId) -> Path:
        return self.folder / f"{run_id}{_KIND}"


class SubLogFiles:
    """Implements :class:`oneoff.protocols.SubLogs` over the folders where such files may be."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def pending(self) -> Iterator[SubLogFile]:
        for folder in self._folders:
            try:
                paths = sorted(folder.iterdir())
            except OSError:  # not there, or not ours
                continue
            for path in paths:
                if path.suffix == _KIND:
                    found = _read(path)
                    if found is not None:
                        yield found

    def release(self, file: SubLogFile) -> None:
        Path(file.path).unlink(missing_ok=True)


def _read(path: Path) -> SubLogFile | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # a link, somebody else's, or recorded by another process meanwhile
        return None
    with os.fdopen(fd, "rb") as stream:
        changed = datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC)
        try:
            return SubLogFile(path=str(path), content=stream.read(), changed_at=changed)
        except OSError:
            return None


def _write(path: Path, content: bytes, *, new: bool) -> None:
    """Append and wait until it is on disk; the folder, too, where the file is new."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o600)
    size = os.fstat(fd).st_size
    try:
        while content:
            content = content[os.write(fd, content) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, size)  # half a line would spoil the next one
        raise
    finally:
        os.close(fd)
    if new:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
