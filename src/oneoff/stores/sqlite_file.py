"""The file of an SQLite store: made whole or not at all, recognised, upgraded, opened, checked."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oneoff import own
from oneoff.audit.merkle import Growth
from oneoff.errors import OneoffError, StoreUnavailable, StoreVersionMismatch
from oneoff.protocols import Finding
from oneoff.stores import failures, queries

SCHEMA = ("sqlite_schema_1.sql", "sqlite_schema_2.sql")
"""One file for each version of the schema, in order; a store's ``user_version`` counts those it has."""
APPLICATION_ID = 0x6F6E656F
"""``oneo``: tells a store from another program's database (PRAGMA application_id)."""
MINIMUM_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""
LOW_SPACE = 64 * 1024 * 1024
"""Bytes free below which `check` complains; a store grows by some 2 KiB with each event."""


def prepare(path: Path) -> sqlite3.Connection:
    """A connection to the store at ``path``, which is made or upgraded if need be.

    Raises:
        StoreUnavailable: with the reason, or one of the classes below it.
    """
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        raise _too_old()
    try:
        if not exists(path):
            _make(path)
        connection = connect(path)
    except (sqlite3.Error, OSError) as error:
        raise failures.explain(error, path) from error
    try:
        if version(connection, path) < len(SCHEMA):
            _upgrade(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise failures.explain(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """A connection that never makes the file, waits for others, and is durable at each commit."""
    if not os.access(path, os.W_OK):
        # SQLite would open it to read, and leave files beside it that nobody may write later.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with own.work():
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=failures.BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # the store has a lock of its own
        )
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path, *, log: bool) -> sqlite3.Connection:
    """A connection that reads and makes no file; ``log`` says whether there are commits in the -wal file."""
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    mode = "readonly_shm=1" if log else "immutable=1"
    with own.work():
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&{mode}",
            uri=True,
            timeout=failures.BUSY_SECONDS,
            isolation_level=None,
        )


def identity(path: Path) -> tuple[int, int] | None:
    """Which file this is; None where there is none any more."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; takes the write lock at once, so that nothing that was read can be overtaken."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check_current(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreUnavailable where this is no store, or one that had to be upgraded first."""
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        raise _too_old()
    exists(path)
    if (found := version(connection, path)) < len(SCHEMA):
        raise failures.older(path, f"it has version {found}, and this oneoff reads {len(SCHEMA)}")


def check(path: Path) -> list[Finding]:
    """What `oneoff doctor` says of the store at ``path``; changes nothing and raises nothing."""
    findings = [_check_sqlite()]
    try:
        if not exists(path):
            return [*findings, Finding(name="store", ok=True, message=f"{path} is made by the first run")]
        findings += [_check_private(path), _check_space(path)]
        connection = connect(path)
    except (sqlite3.Error, OSError) as error:
        return [*findings, _failed("store", failures.explain(error, path))]
    except OneoffError as error:
        return [*findings, _failed("store", error)]
    try:
        findings.append(_check_version(connection, path))
        findings.append(_check_pages(connection, path))
        findings.append(_check_writable(connection, path))
    except sqlite3.Error as error:
        findings.append(_failed("store", failures.explain(error, path)))
    except OneoffError as error:
        findings.append(_failed("store", error))
    finally:
        connection.close()
    return findings


def exists(path: Path) -> bool:
    """Whether there is a store; raises StoreUnavailable where something else stands in its place."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(status.st_mode):
        raise failures.is_folder(path)
    if status.st_size == 0:
        # SQLite takes an empty file for a new database; here it is a log that was cut to nothing.
        raise failures.no_store(path, "it is empty")
    return True


def absent(path: Path) -> bool:
    """Whether nothing is there yet; where that cannot be seen it is False, and opening the store says why."""
    for file in (path, f"{path}-wal"):
        try:
            os.lstat(file)
        except FileNotFoundError:
            continue
        except OSError:
            pass
        return False
    return True


def _make(path: Path) -> None:
    """Build the store beside its place and move it there, so that a kill leaves no half of one."""
    folder = path.parent
    if not folder.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # two first runs at once: one builds, the other finds it
        if not path.exists():
            if Path(f"{path}-wal").exists():
                # SQLite would play the lost store's last commits into the new one.
                raise failures.half_gone(path)
            _build(path.with_name(f"{path.name}.new"))
            path.with_name(f"{path.name}.new").rename(path)
            os.fsync(fd)
    finally:
        os.close(fd)


def _build(path: Path) -> None:
    for leftover in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _upgrade(connection, path)
    finally:
        connection.close()


def version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the store's schema; raises StoreVersionMismatch where it is newer than ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise failures.foreign(path)
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(SCHEMA):
        raise StoreVersionMismatch(
            f"the store {path} has version {found}, and this oneoff knows versions up to {len(SCHEMA)}",
            next_step="use the newer oneoff that wrote it: upgrade the package oneoff in this environment",
        )
    return int(found)


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the store to the newest version in one transaction."""
    connection.create_function("oneoff_grown", 1, Growth().add)  # for version 2: SQL has no SHA-256
    with transaction(connection):
        for number in range(version(connection, path), len(SCHEMA)):
            for statement in _statements(queries.script(SCHEMA[number])):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")


def _statements(script: str) -> Iterator[str]:
    """``executescript`` would commit first; a trigger's body has semicolons of its own."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _too_old() -> StoreUnavailable:
    minimum = ".".join(map(str, MINIMUM_SQLITE))
    return StoreUnavailable(
        f"this Python has SQLite {sqlite3.sqlite_version}, and the store needs {minimum} or newer",
        next_step="use a Python that is built with a newer SQLite",
    )


def _check_sqlite() -> Finding:
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        return _failed("sqlite", _too_old())
    return Finding(name="sqlite", ok=True, message=f"SQLite {sqlite3.sqlite_version}")


def _check_private(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o027:  # its group may read: it may be that of the auditors
        return Finding(
            name="store permissions",
            ok=False,
            message=f"other users may read or write {path} (mode {mode:04o})",
            next_step=f"chmod 600 {path}, or 640 where its group may read the records",
        )
    return Finding(name="store permissions", ok=True, message=f"no stranger may open {path}")


def _check_space(path: Path) -> Finding:
    room = os.statvfs(path.parent)
    free = room.f_bavail * room.f_frsize
    return Finding(
        name="store space",
        ok=free >= LOW_SPACE,
        message=f"{free // 2**20} MiB free for {path}",
        next_step="" if free >= LOW_SPACE else f"make room on the disk of {path.parent}",
    )


def _check_version(connection: sqlite3.Connection, path: Path) -> Finding:
    found = version(connection, path)
    if found < len(SCHEMA):
        message = f"{path} has version {found}; the next run upgrades it to {len(SCHEMA)}"
    else:
        message = f"{path} has version {found}"
    return Finding(name="store version", ok=True, message=message)


_SEARCHED = ("run", "audit_index", "audit_event_table")
"""Tables that are searched by indexes: SQLite holds those against the rows, which verification does not."""


def _check_pages(connection: sqlite3.Connection, path: Path) -> Finding:
    problems = _problems(connection, "quick_check(5)")
    if not problems:
        there = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for table in _SEARCHED:
            if (table,) in there:
                problems += _problems(connection, f"integrity_check({table})")
    if not problems:
        return Finding(name="store pages", ok=True, message="SQLite finds no damage")
    return _failed("store pages", failures.damaged(path, "; ".join(problems[:5])))


def _problems(connection: sqlite3.Connection, check: str) -> list[str]:
    return [text for (text,) in connection.execute(f"PRAGMA {check}") if text != "ok"]


def _check_writable(connection: sqlite3.Connection, path: Path) -> Finding:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")
    return Finding(name="store writable", ok=True, message=f"{path} can be written")


def _failed(name: str, error: OneoffError) -> Finding:
    return Finding(name=name, ok=False, message=error.message, next_step=error.next_step)
