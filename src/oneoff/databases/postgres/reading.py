"""Databases that the app did not declare, for drivers that only the wire can watch: they can be read."""

from __future__ import annotations

import threading
from typing import Any

from oneoff.databases.postgres.parameters import Keywords, connect
from oneoff.databases.postgres.session import Row, Session, ask, notifications
from oneoff.databases.postgres.tenants import start
from oneoff.databases.postgres.wire.server import WireServer

_NOT_DECLARED = "which is not the app's declared database"
_READ_ONLY = "25006"

_opening = threading.Lock()
_open: dict[tuple[str | None, str | None], tuple[Reading, WireServer]] = {}


class Reading(Session):
    """A physical connection with one transaction that can only read; all clients of a database share it."""

    def __init__(self, connection: Any, identity: Row, database: str, noting: Session) -> None:
        super().__init__(connection, identity, database)
        self.notes = noting.notes

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


def reading(noting: Session, identity: Row, keywords: Keywords, database: str) -> Session:
    """The session of such a database, opened where it is not open yet.

    Raises:
        DryRunUnavailable: its connections are not read-only, although the dry run asks for it.
        psycopg.Error: it cannot be reached.
    """
    key = identity["identity"], identity["role"]
    with _opening:
        if key not in _open:
            session = Reading(connect(keywords), identity, database, noting)
            session.open()
            server = WireServer(session)
            session.address = server.address
            _open[key] = session, server
        return _open[key][0]


def close() -> None:
    """Leave them all."""
    for session, server in _open.values():
        server.close()
        session.close()
    _open.clear()
