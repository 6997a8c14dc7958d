"""The seal of one SQLite database file."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from oneoff import own
from oneoff.databases.sqlite.compare import Difference, compare, unchanged
from oneoff.databases.sqlite.connections import Redirection, is_sealed, plain
from oneoff.databases.sqlite.early import attached_files, open_connections
from oneoff.databases.sqlite.guard import FileGuard
from oneoff.databases.sqlite.original import Original
from oneoff.databases.sqlite.places import footprint, leaving_nothing, missing, same_file
from oneoff.databases.sqlite.samples import samples
from oneoff.databases.together import SealedAlready
from oneoff.databases.watching import Notes, StatementLog
from oneoff.dryrun import limits
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.report import DatabaseReport, Lock, RowSample
from oneoff.errors import DryRunUnavailable, NotCommitted
from oneoff.scratch import scratch
from oneoff.threads import Newcomers

_COUNTING = "exact net changes, by comparing the copy with the database as it was when the task began"
_NOT_COUNTED = "not measured: the copy was not compared with the database"
_ORIGINAL_CHANGED = (
    "the original changed while the dry run ran: by the application or by something the task started"
)
_MAKE_ROOM = "make room, or name a folder with more of it, where this user may write, in TMPDIR"


_LOCK = Lock(
    table="(the whole file)",
    mode="write",
    blocks="nobody here, it is a copy; without one every other writer, from the first write to the commit",
)


class SqliteSeal:
    """Real execution on a throw-away copy of the file, which :meth:`keep` brings over."""

    level = "copy"

    def __init__(
        self,
        path: Path,
        *,
        dispose: Callable[[], None],
        own: frozenset[Path] = frozenset(),
        measure: Measure | None = None,
    ) -> None:
        """``dispose`` empties the app's pool; ``own`` are databases of oneoff itself, left alone."""
        self._path = path
        self.dispose = dispose
        self._own = own
        self._measure = measure or Measure()
        self._notes = Notes()
        self._statements = StatementLog()
        self._difference: Difference | None = None
        self._samples: tuple[RowSample, ...] = ()
        self._over = self._kept = False
        self._folder, self._watch = ExitStack(), ExitStack()
        self._before = self._copy = Path()

    def costs(self) -> tuple[str, ...]:
        with contextlib.suppress(OSError):
            needed, free = _room(self._path, self._copies)
            return (f"SQLite: a copy takes {needed:,} bytes in {tempfile.gettempdir()}, {free:,} are free",)
        return ()

    def __enter__(self) -> SqliteSeal:
        """Raises DryRunUnavailable where no copy can be made, or something holds the original open, and
        SealedAlready where it has its copy by now."""
        original = self._checked()
        if is_sealed(original):
            raise SealedAlready
        self._refuse_open_connections(original)
        self._original, self._footprint = original, footprint(original)
        with ExitStack() as folder, ExitStack() as watch:
            with own.work():
                if self._measure.keeps:
                    self._kept_open = folder.enter_context(Original(original))
                self._make_copies(original, folder)
            guard = FileGuard(original, self._notes, self._own)
            watch.enter_context(guard)
            self._redirection = Redirection(original, self._copy, guard, self._statements)
            watch.enter_context(self._redirection)
            self._watch, self._folder = watch.pop_all(), folder.pop_all()
        self._newcomers = Newcomers()
        return self

    def measure(self) -> None:
        """Close what the task left open, and compare the copy with what it was."""
        self._over = True
        self._dispose_quietly()
        self._redirection.close_connections()
        if not self._measure.rows:
            return
        try:
            with own.work():
                self._difference = compare(self._before, self._copy)
                self._samples = samples(self._before, self._copy, self._difference.tables, self._measure)
        except (sqlite3.Error, OSError) as error:
            self._notes.attempt(f"the copy could not be compared: {error}")

    def keep(self) -> None:
        """Bring the copy over, unless the original has changed since. Raises NotCommitted."""
        names = ", ".join(sorted(thread.name for thread in self._newcomers.alive()))
        if names:
            raise NotCommitted(f"nothing was committed: the task left threads running ({names})")
        if not unchanged(self._before, self._copy):
            self._kept_open.replace(self._before, self._copy)
        self._kept = True

    def __exit__(self, *exc_info: object) -> None:
        with self._folder:
            if not self._over:
                self.measure()
            self._stop_watching()
            if not self._kept and footprint(self._original) != self._footprint:
                self._notes.gap(_ORIGINAL_CHANGED)

    def report(self) -> DatabaseReport:
        difference = self._difference or Difference()
        return DatabaseReport(
            database=f"sqlite {self._path}",
            level=self.level,
            measured=self._difference is not None,
            tables=difference.tables,
            samples=self._samples,
            locks=(_LOCK,) if self._wrote else (),
            schema_changes=difference.schema_changes,
            other_changes=difference.other_changes,
            statements=self._statements.statements,
            statements_left_out=self._statements.left_out,
            counting=_COUNTING if self._difference is not None else _NOT_COUNTED,
            not_covered=(*self._notes.gaps, *difference.not_compared, *limits.SQLITE),
            attempts=self._notes.attempts,
        )

    def _make_copies(self, original: Path, folder: ExitStack) -> None:
        try:
            place = folder.enter_context(scratch())
            self._copy, self._before = place / original.name, place / f"{original.name}.before"
            self._check_room(original)
            _copy(original, self._copy)
            with own.work():
                # A time that no write has, however coarse the file system's clock.
                os.utime(self._copy, (0, 0))
                if self._copies > 1:
                    shutil.copy2(self._copy, self._before)
        except OSError as error:
            raise DryRunUnavailable(
                f"{self._path} cannot be copied: {error}",
                next_step=_MAKE_ROOM,
            ) from error

    @property
    def _wrote(self) -> bool:
        difference = self._difference or Difference()
        return bool(difference.tables or difference.schema_changes or difference.other_changes)

    @property
    def _copies(self) -> int:
        """The task's, and one to compare it with."""
        return 2 if self._measure.rows else 1

    def _check_room(self, original: Path) -> None:
        needed, free = _room(original, self._copies)
        if free < needed:
            raise DryRunUnavailable(
                f"{original} is copied, which takes {needed:,} bytes,"
                f" and {tempfile.gettempdir()} has {free:,} free",
                next_step=_MAKE_ROOM,
            )

    def _checked(self) -> Path:
        try:
            if self._path.is_file():
                return self._path.resolve()
        except PermissionError as error:
            raise DryRunUnavailable(
                f"the database file {self._path} cannot be reached: {error.strerror}",
                next_step="give this user the right to enter the folders above it",
            ) from error
        raise missing(self._path)

    def _refuse_open_connections(self, original: Path) -> None:
        for connection in open_connections():
            try:
                files = attached_files(connection)
            except sqlite3.ProgrammingError as error:
                # One of another thread shows nothing of itself; any other is closed.
                if "thread" in str(error) and _is_open_here(original):
                    raise self._opened_before("a connection of another thread") from error
                continue
            if any(same_file(file, original) for file in files):
                raise self._opened_before("a connection")

    def _opened_before(self, what: str) -> DryRunUnavailable:
        return DryRunUnavailable(
            f"{what} to {self._path} was opened before the dry run began, and cannot be sent to the copy",
            next_step="open it inside the task instead of at import",
        )

    def _stop_watching(self) -> None:
        """Give the process its database back, once the threads that the task left behind are gone."""
        names = ", ".join(sorted(thread.name for thread in self._newcomers.alive()))
        if names:
            self._notes.gap(
                f"threads that the task left running ({names}): the database stays closed to them"
            )
        self._newcomers.when_gone(self._watch.close)

    def _dispose_quietly(self) -> None:
        with contextlib.suppress(Exception):  # the app's pool; the task's own error must not be hidden by it
            self.dispose()


def _is_open_here(path: Path) -> bool:
    """Whether this process has the file open, by any driver and in any thread."""
    return any(same_file(int(entry.name), path) for entry in Path("/dev/fd").iterdir())


def _room(original: Path, copies: int) -> tuple[int, int]:
    """Bytes that the copies take, and those that are free where they are made. Raises OSError."""
    wal = original.with_name(f"{original.name}-wal")
    size = original.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    return copies * size, shutil.disk_usage(tempfile.gettempdir()).free


def _copy(original: Path, copy: Path) -> None:
    """A consistent copy, also while the live application writes."""
    try:
        with closing(plain(leaving_nothing(original))) as source, closing(plain(copy.as_uri())) as target:
            source.execute("PRAGMA query_only = ON")
            source.backup(target)
    except sqlite3.Error as error:
        # Of an extended code the low byte is the kind: https://www.sqlite.org/rescode.html
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
        raise DryRunUnavailable(
            f"{original} cannot be copied: {error}",
            next_step=_MAKE_ROOM
            if full
            else "check that it is an SQLite database and that this user may read it",
        ) from error
