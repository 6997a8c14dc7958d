"""Where a connection of any driver leads, as libpq's keywords, so that psycopg 3 can open the same.

Passwords are among the keywords: they are for connecting, and for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import pq

from oneoff.databases.postgres.options import ours

Keywords = dict[str, str]

_SSL = re.compile(r"^ssl=(?!true$)")
"""As asyncpg calls libpq's ``sslmode``; libpq knows ``ssl=true`` itself."""


def connect(keywords: Keywords) -> Any:
    """A connection of psycopg 3 to there. Raises psycopg.Error."""
    return psycopg.connect("", **keywords)  # type: ignore[arg-type]


def of_connection(connection: Any) -> Keywords | None:
    """Where this open connection leads; None where no driver known here has made it."""
    for cls in type(connection).__mro__:
        if reader := _READERS.get((cls.__module__, cls.__qualname__)):
            return reader(connection)
    return None


def of_url(url: str) -> str:
    """A URL of SQLAlchemy or asyncpg as libpq understands it: the driver and what only it knows left out."""
    place, _, asked = url.partition("://")[2].partition("?")
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    pairs = [_SSL.sub("sslmode=", pair) for pair in asked.split("&")]
    kept = "&".join(pair for pair in pairs if pair.partition("=")[0] in {"ssl", *known})
    return f"postgresql://{place}" + (f"?{kept}" if kept else "")


def _of_psycopg(connection: Any) -> Keywords:
    return {
        option.keyword.decode(): option.val.decode()
        for option in connection.pgconn.info
        if option.val is not None
    }


def _of_psycopg2(connection: Any) -> Keywords:
    password = connection.info.password
    return dict(connection.get_dsn_parameters()) | ({"password": password} if password else {})


def _of_asyncpg(connection: Any) -> Keywords:
    """An SSLContext of Python's is nothing that libpq can read: there the certificates are libpq's own."""
    address, given = connection._addr, connection._params
    host, port = address if isinstance(address, tuple) else _of_socket(address)
    keywords = {
        "host": str(host),
        "port": str(port),
        "user": str(given.user),
        "dbname": str(given.database),
        "sslmode": given.sslmode.name.replace("_", "-"),
        "options": ours(given.server_settings or {}),
    }
    return keywords | ({"password": given.password} if isinstance(given.password, str) else {})


def _of_socket(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name.rpartition(".")[2]


_READERS: dict[tuple[str, str], Callable[[Any], Keywords]] = {
    ("psycopg", "AsyncConnection"): _of_psycopg,
    ("psycopg2.extensions", "connection"): _of_psycopg2,
    ("asyncpg.connection", "Connection"): _of_asyncpg,
}
"""By the class that a driver makes connections of."""
