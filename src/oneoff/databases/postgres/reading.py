"""Databases that the app did not declare, for drivers that only the wire can watch: they can be read."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

from oneoff.databases.postgres.admission import opening
from oneoff.databases.postgres.parameters import Keywords, connect
from oneoff.databases.postgres.session import Row, Session, ask, notifications
from oneoff.databases.postgres.tenants import start
from oneoff.databases.postgres.wire.server import WireServer
from oneoff.databases.undeclared import Undeclared

_NOT_DECLARED = "which is not the app's declared database"
_READ_ONLY = "25006"

_opening = threading.Lock()
_open: dict[tuple[Undeclared, str | None, str | None], tuple[Reading, ExitStack]] = {}


class Reading(Session):
    """A physical connection with one transaction that can only read; all clients of a database share it."""

    def __init__(self, connection: Any, identity: Row, database: str, undeclared: Undeclared) -> None:
        super().__init__(connection, identity, database)
        self.notes = undeclared.notes

    def open(self) -> None:
        """Begin the transaction. Raises psycopg.Error."""
        self.leave_transaction()
        ask(self.pgconn, b"BEGIN READ ONLY; SAVEPOINT _oneoff_base")

    def note_notifications(self, text: str, shown: str) -> None:
        """A read-only transaction delivers them. Raises DryRunStopped."""
        for notification in notifications(text) if notifications(shown) else ():
            raise self.notes.attempt(f"{start(shown)} {notification} of {self.database}, {_NOT_DECLARED}")

    def note_failure(self, shown: str, sqlstate: str | None) -> None:
        """A write is an attempt, although the server has refused it."""
        if sqlstate == _READ_ONLY:
            self.notes.attempt(f"{start(shown)} would write to {self.database}, {_NOT_DECLARED}")


def reading(undeclared: Undeclared, identity: Row, keywords: Keywords, database: str) -> Session:
    """The session of such a database in one dry run, opened where it is not open yet.

    Raises:
        DryRunStopped: it may not be read.
        psycopg.Error: it cannot be reached.
    """
    undeclared.meet(database)
    key = undeclared, identity["identity"], identity["role"]
    with _opening:
        if key not in _open:
            with ExitStack() as undo:
                with opening():
                    connection = connect(keywords)
                session = Reading(connection, identity, database, undeclared)
                undo.callback(session.close)
                session.open()
                server = WireServer(session)
                undo.callback(server.close)
                session.address = server.address
                _open[key] = session, undo.pop_all()
        return _open[key][0]


def close(undeclared: Undeclared) -> None:
    """Leave those of one dry run."""
    for key in [key for key in _open if key[0] is undeclared]:
        _open.pop(key)[1].close()
