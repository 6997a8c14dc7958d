"""Ways to write to a SQLite file that is declared, and to files beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from tests.acceptance.leaks.way import Ends, Group, Held, Place, Way, held_by

_WRITE = "UPDATE account SET balance = balance + 1000"
_kept_connect = sqlite3.connect  # as `from sqlite3 import connect` in an app keeps it


def _write(connection: sqlite3.Connection) -> None:
    with closing(connection), connection:
        connection.execute(_WRITE)


def _engine_begin(at: Place) -> None:
    with at.engine.begin() as connection:
        connection.execute(sa.text(_WRITE))


def _session_commit(at: Place) -> None:
    with Session(at.engine) as session:
        session.execute(sa.text(_WRITE))
        session.commit()


def _own_sessionmaker(at: Place) -> None:
    with sessionmaker(at.engine).begin() as session:
        session.execute(sa.text(_WRITE))


def _second_engine(at: Place) -> None:
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(at.sqlite)))
    with engine.begin() as connection:
        connection.execute(sa.text(_WRITE))


def _connect(at: Place) -> None:
    _write(sqlite3.connect(at.sqlite))


def _autocommit(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite, isolation_level=None)) as connection:
        connection.execute(_WRITE)


def _script(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite)) as connection:
        connection.executescript(f"BEGIN; {_WRITE}; COMMIT; CREATE TABLE made (id); VACUUM;")


def _pragma(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite, isolation_level=None)) as connection:
        connection.executescript(f"{_WRITE}; PRAGMA user_version = 7; PRAGMA journal_mode = DELETE")


def _writable_schema(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite, isolation_level=None)) as connection:
        connection.executescript(
            f"{_WRITE}; PRAGMA writable_schema = ON;"
            "UPDATE sqlite_master SET sql = sql || ' ' WHERE name = 'account'"
        )


def _own_connection_class(at: Place) -> None:
    class Mine(sqlite3.Connection):
        pass

    _write(sqlite3.connect(at.sqlite, factory=Mine))


def _factory_function(at: Place) -> None:
    connect: Any = sqlite3.connect  # its stub knows classes only
    _write(connect(at.sqlite, factory=lambda *args, **kwargs: sqlite3.Connection(*args, **kwargs)))


def _thread(at: Place) -> None:
    thread = threading.Thread(target=_connect, args=[at])
    thread.start()
    thread.join()


def _attached(connection: sqlite3.Connection, at: Place) -> None:
    with closing(connection):
        connection.execute("ATTACH ? AS real", (str(at.sqlite),))
        connection.execute("UPDATE real.account SET balance = 0")
        connection.commit()


def _attach(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite)) as connection:
        connection.execute(f"ATTACH '{str(at.sqlite).replace(chr(39), chr(39) * 2)}' AS real")
        connection.execute("UPDATE real.account SET balance = 0")
        connection.commit()


def _attach_with_own_authorizer(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite)) as connection:
        connection.set_authorizer(lambda *args: sqlite3.SQLITE_OK)
        connection.execute("ATTACH ? AS real", (str(at.sqlite),))
        connection.execute("UPDATE real.account SET balance = 0")
        connection.commit()


def _attach_by_script(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite)) as connection:
        name = str(at.sqlite).replace("'", "''")
        connection.executescript(f"ATTACH '{name}' AS real; UPDATE real.account SET balance = 0")


def _vacuum_into(at: Place) -> None:
    with closing(sqlite3.connect(at.sqlite, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(at.sqlite.with_name("other.db")),))


def _backup(at: Place) -> None:
    with (
        closing(sqlite3.connect(at.sqlite)) as connection,
        closing(_kept_connect(at.sqlite)) as original,
    ):
        connection.execute("DELETE FROM account")
        connection.commit()
        connection.backup(original)


def _side_file(at: Place) -> Path:
    return at.sqlite.with_name(f"{at.sqlite.name}-journal")


def _patch_bytes(at: Place) -> None:
    with at.sqlite.open("r+b") as file:
        file.write(b"broken")


def _swallowed(at: Place) -> None:
    for attack in (_patch_bytes, lambda at: _write(_kept_connect(at.sqlite))):
        with suppress(BaseException):
            attack(at)


_COPIED = held_by(
    Held.COPY,
    Ends.UNDONE,
    Way("engine", "SQLAlchemy: the declared engine's `begin()`", _engine_begin, "account"),
    Way("session-commit", "… `Session.commit()`", _session_commit, "account"),
    Way("own-sessionmaker", "… a sessionmaker of its own", _own_sessionmaker, "account"),
    Way("second-engine", "… a second engine", _second_engine, "account"),
    Way("sqlite3", "`sqlite3.connect` and `commit()`", _connect, "account"),
    Way(
        "dbapi2",
        "… by `sqlite3.dbapi2`, the name in bytes",
        lambda at: _write(sqlite3.dbapi2.connect(os.fsencode(at.sqlite))),
        "account",
    ),
    Way(
        "relative-path",
        "… by a relative path",
        lambda at: _write(sqlite3.connect(os.path.relpath(at.sqlite))),
        "account",
    ),
    Way(
        "uri",
        "… by a URI",
        lambda at: _write(sqlite3.connect(f"file:{quote(str(at.sqlite))}?mode=rw", uri=True)),
        "account",
    ),
    Way(
        "sqlite-symlink",
        "… by a link that is there",
        lambda at: _write(sqlite3.connect(at.links / "soft.db")),
        "account",
    ),
    Way(
        "sqlite-hard-link",
        "… by a hard link that is there",
        lambda at: _write(sqlite3.connect(at.links / "hard.db")),
        "account",
    ),
    Way("autocommit", "… in autocommit", _autocommit, "account"),
    Way("executescript", "`executescript` with `COMMIT` and `VACUUM`", _script, "account"),
    Way("pragma", "`PRAGMA` that stays in the file", _pragma, "account"),
    Way("writable-schema", "`PRAGMA writable_schema`", _writable_schema, "account"),
    Way("connection-class", "a connection class of its own", _own_connection_class, "account"),
    Way("factory", "a factory function", _factory_function, "account"),
    Way("sqlite-thread", "another thread", _thread, "account"),
)
_STOPPED = held_by(
    Held.COPY,
    Ends.STOPPED,
    Way(
        "kept-connect",
        "`connect` as it was imported before",
        lambda at: _write(_kept_connect(at.sqlite)),
        "opened around the dry run",
    ),
    Way(
        "kept-connect-uri",
        "… by a URI",
        lambda at: _write(_kept_connect(at.sqlite.as_uri(), uri=True)),
        "opened around the dry run",
    ),
    Way(
        "sqlite3.Connection",
        "the connection class itself",
        lambda at: _write(sqlite3.Connection(str(at.sqlite))),
        "opened around the dry run",
    ),
    Way("attach", "`ATTACH` of the original", _attach, "ATTACH or VACUUM INTO {sqlite}"),
    Way(
        "attach-parameter",
        "… by a parameter",
        lambda at: _attached(sqlite3.connect(at.sqlite), at),
        "ATTACH or VACUUM INTO a file",
    ),
    Way(
        "attach-memory",
        "… to a database in memory",
        lambda at: _attached(sqlite3.connect(":memory:"), at),
        "ATTACH or VACUUM INTO a file",
    ),
    Way(
        "attach-memory-kept",
        "… to one that was opened around",
        lambda at: _attached(_kept_connect(":memory:"), at),
        "a database in memory was opened around the dry run",
    ),
    Way(
        "attach-other",
        "… to a database that is not declared",
        lambda at: _attached(sqlite3.connect(at.links / "other.db"), at),
        "ATTACH or VACUUM INTO a file",
    ),
    Way(
        "attach-authorizer",
        "… with an authorizer of its own",
        _attach_with_own_authorizer,
        "ATTACH or VACUUM INTO a file",
    ),
    Way("attach-script", "… in `executescript`", _attach_by_script, "ATTACH or VACUUM INTO {sqlite}"),
    Way("vacuum-into", "`VACUUM INTO` a new file", _vacuum_into, "ATTACH or VACUUM INTO …/other.db"),
    Way("backup", "`Connection.backup` into the original", _backup, "opened around the dry run"),
    Way(
        "new-database",
        "makes a database beside it",
        lambda at: _write(sqlite3.connect(at.sqlite.with_name("new.db"))),
        "create the database …/new.db",
    ),
)
_FILES = (
    Way(
        "link-beside",
        "puts a journal beside the file, by a link",
        lambda at: _side_file(at).hardlink_to(at.links / "other.db"),
        "make the link …-journal to …",
    ),
    Way("journal", "… by writing it", lambda at: _side_file(at).write_bytes(b"hot"), "write …-journal"),
    Way(
        "rename-onto",
        "puts another file in its place",
        lambda at: (at.links / "other.db").replace(at.sqlite),
        "rename … to {sqlite}",
    ),
    Way(
        "rename-away",
        "renames it",
        lambda at: at.sqlite.rename(at.sqlite.with_name("old.db")),
        "rename {sqlite} to …",
    ),
    Way(
        "rename-folder",
        "renames its folder",
        lambda at: at.sqlite.parent.rename(at.folder / "elsewhere"),
        "rename …/database to …",
    ),
    Way("overwrite", "overwrites it", lambda at: at.sqlite.write_bytes(b""), "write {sqlite}"),
    Way("patch", "… a few bytes", _patch_bytes, "write {sqlite}"),
    Way("cut-off", "cuts it off", lambda at: os.truncate(at.sqlite, 10), "truncate {sqlite}"),
    Way("remove-database", "removes it", lambda at: at.sqlite.unlink(), "remove {sqlite}"),
    Way("remove-folder", "… with its folder", lambda at: shutil.rmtree(at.sqlite.parent), "remove …"),
    Way("sqlite-swallowed", "tries two of these, and goes on", _swallowed, "write {sqlite}"),
)

_BOTH = ("wal", "delete")
"""Side files come and go in another way without a write-ahead log."""

SQLITE = Group(
    title="SQLite",
    database="sqlite",
    ways=(*_COPIED, *_STOPPED, *(replace(way, journals=_BOTH) for way in _FILES)),
)
