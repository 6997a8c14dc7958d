"""The connect functions of the other drivers, which lead to the wire where they name the sealed database.

As with psycopg 3, the server itself is asked which database a connection is to. What it says is kept for the
time of the seal, because every connection of a pool would ask again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Hashable
from contextlib import closing
from importlib import import_module
from typing import Any

from psycopg.conninfo import make_conninfo

from oneoff import own
from oneoff.databases.postgres import loops, parameters, reading
from oneoff.databases.postgres.admission import check_role, first, sealed_as
from oneoff.databases.postgres.session import Row, Session, sql
from oneoff.databases.postgres.wire.greeting import HIDES_LITERALS
from oneoff.errors import DryRunUnavailable

Answer = tuple[Row, Any]
"""What a server says of itself, and where the connection leads."""
_KEPT = ("application_name", "client_encoding", "options")
"""Of a connection's own parameters; the others say where it leads."""
_known: dict[Hashable, Answer] = {}
_originals: dict[str, Any] = {}


def check() -> None:
    """Whether those that are installed can be led to the wire.

    Raises:
        DryRunUnavailable: one is built differently.
    """
    for module, names in _NEEDED.items():
        found = _installed(module)
        if found is not None and not all(hasattr(found, name) for name in names):
            driver = module.partition(".")[0]
            raise DryRunUnavailable(
                f"the installed {driver} is built differently from the versions that can be sealed",
                next_step="install asyncpg >= 0.29, psycopg2 >= 2.9, or report this version to the project",
            )


def intercept() -> None:
    """From now on those that are installed ask here where to connect."""
    for module, (name, ours) in _OURS.items():
        if found := _installed(module):
            _originals[module] = getattr(found, name)
            setattr(found, name, ours)


def let_go() -> None:
    """As it was before."""
    for module, original in _originals.items():
        setattr(sys.modules[module], _OURS[module][0], original)
    _originals.clear()
    _known.clear()
    reading.close()


def classes() -> tuple[type, ...]:
    """Those that the connections of loaded drivers are made of."""
    found = (getattr(sys.modules.get(module), name, None) for module, name in _CLASSES)
    return tuple(cls for cls in found if isinstance(cls, type))


def is_open(connection: Any) -> bool:
    """Whether a connection of one of these classes can still be used."""
    if hasattr(connection, "is_closed"):  # asyncpg's
        return not (connection.is_closed() or connection._loop.is_closed())
    return not connection.closed


def led(connection: Any) -> bool:
    """Whether this connection of psycopg was opened to the wire already."""
    return _is_ours(connection.info.host, connection.info.port)


def _is_ours(host: str | None, port: object) -> bool:
    return own.is_lent(f"{host}/.s.PGSQL.{port}")


def conninfo(session: Session, given: dict[str, str], *, hides_literals: bool = False) -> str:
    """Where a driver over libpq connects instead, with what it may choose itself."""
    kept = {name: value for name, value in given.items() if name in _KEPT}
    if hides_literals:
        kept["options"] = f"{kept.get('options') or os.environ.get('PGOPTIONS', '')} -c {HIDES_LITERALS}=on"
    return make_conninfo("", **session.address().keywords(), **kept)


def _connect_psycopg2(dsn: str, connection_factory: Any = None, **how: Any) -> Any:
    """Stands for ``psycopg2._connect``, which ``psycopg2.connect`` calls with a whole connection string."""
    original, noting = _originals.get("psycopg2"), first()
    if original is None or noting is None:  # let go in the meantime
        return sys.modules["psycopg2"]._connect(dsn, connection_factory=connection_factory, **how)
    extensions: Any = sys.modules["psycopg2.extensions"]

    def asked() -> Answer:
        with closing(original(dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(sql("identify"))
            names = [column.name for column in cursor.description]
            row = dict(zip(names, cursor.fetchone(), strict=True))
            return row, parameters.of_connection(connection)

    given = extensions.parse_dsn(dsn)
    if not _is_ours(given.get("host"), given.get("port")):
        surroundings = [value for name, value in sorted(os.environ.items()) if name.startswith("PG")]
        key = ("psycopg2", dsn, *surroundings)
        if key not in _known:
            with own.work():
                _known[key] = asked()
        session = _session(noting, *_known[key])
        dsn = conninfo(session, given, hides_literals=True)
    return original(dsn, connection_factory=connection_factory, **how)


async def _connect_asyncpg(*, loop: Any, connection_class: Any, record_class: Any, **given: Any) -> Any:
    """Stands for ``asyncpg.connect_utils._connect``, by which ``connect`` and pools go."""
    utils: Any = sys.modules["asyncpg.connect_utils"]
    original, noting = _originals.get("asyncpg.connect_utils"), first()
    how = {"loop": loop, "connection_class": connection_class, "record_class": record_class}
    if original is None or noting is None:
        return await utils._connect(**how, **given)
    addresses, asked, _ = utils._parse_connect_arguments(**given)
    if all(own.is_lent(address) for address in addresses):
        return await original(**how, **given)

    async def ask() -> Answer:
        asyncpg: Any = sys.modules["asyncpg"]
        connection = await original(
            loop=asyncio.get_running_loop(),
            connection_class=asyncpg.Connection, record_class=asyncpg.Record, **given,
        )  # fmt: skip
        try:
            row = await connection.fetchrow(sql("identify").decode())
            return dict(row), parameters.of_connection(connection)
        finally:
            await connection.close()

    key = ("asyncpg", str(addresses), asked.user, asked.database)
    if key not in _known:
        _known[key] = await asyncio.wrap_future(loops.run(ask, around=own.work))
    address = _session(noting, *_known[key]).address()
    there = {
        "dsn": None, "host": address.host, "port": address.port, "user": address.user,
        "password": address.password, "database": address.database, "ssl": False, "direct_tls": False,
        "passfile": None, "service": None, "servicefile": None, "target_session_attrs": None,
        "server_settings": asked.server_settings,
    }  # fmt: skip
    return await original(**how, **given | {name: there[name] for name in there if name in given})


def _session(noting: Session, row: Row, keywords: Any) -> Session:
    """The session of the database that a connection names. Raises DryRunUnavailable, psycopg.Error."""
    session = sealed_as(row)
    if session is None:
        where = f"postgresql {keywords['dbname']} on {keywords['host']}:{keywords['port']}"
        return reading.reading(noting, row, keywords, where)
    check_role(session, session.database, row)
    return session


def _installed(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        return None


_NEEDED = {
    "psycopg2": ("_connect",),
    "asyncpg.connect_utils": ("_connect", "_parse_connect_arguments"),
}
_CLASSES = (("psycopg2.extensions", "connection"), ("asyncpg.connection", "Connection"))
_OURS: dict[str, tuple[str, Callable[..., Any]]] = {
    "psycopg2": ("_connect", _connect_psycopg2),
    "asyncpg.connect_utils": ("_connect", _connect_asyncpg),
}
"""The one function of each driver that all of its connections go through."""
