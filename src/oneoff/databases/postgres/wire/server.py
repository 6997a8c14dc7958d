"""The server: where clients of one sealed session knock, and a thread for each."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from oneoff import own
from oneoff.databases.postgres.session import Session
from oneoff.databases.postgres.wire.channel import Channel
from oneoff.databases.postgres.wire.client import Client, House
from oneoff.threads import Ours

_PORT = 5432
"""A part of the socket's name, by which clients know it."""
_PATIENCE_SECONDS = 2.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Address:
    """How a client gets there."""

    host: str
    """A folder with a unix socket in it, or an address of this machine."""
    port: int
    user: str
    password: str
    database: str

    def keywords(self) -> dict[str, str]:
        """As libpq has them."""
        return {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": self.database,
            "sslmode": "disable",
            "gssencmode": "disable",
        }

    def url(self, scheme: str = "postgresql") -> str:
        """For a client that takes a URL; ``scheme`` as the app's own URL has it."""
        user, password, database = (
            quote(part, safe="") for part in (self.user, self.password, self.database)
        )
        if self.host.startswith("/"):
            where, query = "", {"host": self.host, "port": str(self.port)}
        else:
            where, query = f"{self.host}:{self.port}", {}
        return f"{scheme}://{user}:{password}@{where}/{database}" + (f"?{urlencode(query)}" if query else "")

    def environment(self) -> dict[str, str]:
        """The variables that lead every client over libpq there, ``psql`` among them.

        Source: https://www.postgresql.org/docs/current/libpq-envars.html
        """
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGSSLMODE": "disable",
            "PGGSSENCMODE": "disable",
        }


class WireServer:
    """Listens from the first :meth:`address` to ``close``; a client that comes after the dry run is refused.

    Args:
        session: the sealed one, whose tenants the clients become.
        loopback: listen on an address of this machine, for processes that know no unix sockets.
    """

    def __init__(self, session: Session, *, loopback: bool = False) -> None:
        self._session = session
        self._loopback = loopback
        self._password = secrets.token_hex(16)
        self._clients: dict[int, tuple[int, Client, socket.socket]] = {}
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._numbers = iter(range(1, 1 << 31))
        self._closing = ExitStack()
        self._listener: socket.socket | None = None

    def address(self) -> Address:
        """Where it listens, with the password of this dry run; from the first call on it does.

        Raises DryRunUnavailable where the session's connection cannot be shared, and OSError.
        """
        with self._opening:
            listener = self._listener or own.unheld(self._open)
        where = listener.getsockname()
        info = self._session.connection.info
        host, port = (str(Path(where).parent), _PORT) if isinstance(where, str) else where
        return Address(host=host, port=port, user=info.user, password=self._password, database=info.dbname)

    def settle(self) -> None:
        """Give clients that have left the time to be seen off."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline and any(map(_has_sent, self._connections())):
            time.sleep(0.001)

    def close(self) -> None:
        """Send everybody away. Does nothing where it was never opened."""
        own.unheld(self._closing.close)

    def _open(self) -> socket.socket:
        with ExitStack() as undo:
            with self._session.lock:
                channel = Channel(self._session.pgconn)
            folder = Path(tempfile.mkdtemp(prefix="oneoff-wire-"))  # only its owner may enter
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            undo.enter_context(own.lent_folder(folder))
            listener = undo.enter_context(self._listening(folder))
            undo.enter_context(own.lent_socket(listener.getsockname()))
            self._house = House(
                session=self._session,
                channel=channel,
                folder=folder,
                password=self._password,
                cancel=self._cancel,
                hides_literals=self._loopback,
            )
            self._listener = listener
            undo.callback(self._dismiss, listener)
            Ours(target=self._accept, args=[listener], name="oneoff-wire", daemon=True).start()
            self._closing = undo.pop_all()
        return listener

    def _listening(self, folder: Path) -> socket.socket:
        if self._loopback:
            return socket.create_server((_LOOPBACK, 0))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / f".s.PGSQL.{_PORT}"))
        listener.listen()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with own.work(), contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = listener.accept()
                Ours(target=self._serve, args=[connection], name="oneoff-wire", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with own.work(), connection:
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secret = secrets.randbelow(1 << 31)
            with self._lock:
                number = next(self._numbers)
                client = Client(connection, self._house, number, secret)
                self._clients[number] = secret, client, connection
            try:
                client.serve()
            finally:
                with self._lock:
                    del self._clients[number]

    def _cancel(self, number: int, secret: int) -> None:
        """A CancelRequest: only the statement of that very client, and only while it runs."""
        with self._lock:
            known, client, _ = self._clients.get(number, (None, None, None))
        if client is not None and known == secret and client.seat.running:
            self._session.pgconn.get_cancel().cancel()

    def _dismiss(self, listener: socket.socket) -> None:
        for connection in (listener, *self._connections()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _connections(self) -> list[socket.socket]:
        with self._lock:
            return [connection for _, _, connection in self._clients.values()]


def _has_sent(connection: socket.socket) -> bool:
    """Whether there is something to read, be it the end."""
    try:
        connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:  # closed meanwhile
        return False
    return True
