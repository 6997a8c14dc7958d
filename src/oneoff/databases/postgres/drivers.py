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
from typing import Any

from psycopg.conninfo import make_conninfo

from oneoff import own
from oneoff.databases.other_drivers import CONNECTS
from oneoff.databases.postgres import loops, parameters, reading
from oneoff.databases.postgres.admission import (
    check_role,
    held,
    is_opening,
    refuse_latecomers,
    sealed_as,
    watching,
)
from oneoff.databases.postgres.session import Row, Session, sql
from oneoff.databases.postgres.wire.greeting import HIDES_LITERALS
from oneoff.errors import DryRunUnavailable

Answer = tuple[Row, Any]
"""What a server says of itself, and where the connection leads."""
_KEPT = ("application_name", "client_encoding", "options")
"""Of a connection's own parameters; the others say where it leads."""
_led: list[str] = []
_known: dict[Hashable, Answer] = {}
_originals: dict[str, Any] = {}


class Led:
    """For the time of a block inside of psycopg's own watch, the connections of one other driver are led."""

    def __init__(self, driver: str) -> None:
        """``driver``: which one, by its module, which is imported."""
        self._driver = driver

    def __enter__(self) -> None:
        """Raises DryRunUnavailable where the driver is one that we do not know."""
        module, name = _place(self._driver)
        if not all(hasattr(module, needed) for needed in (name, *_NEEDED[self._driver])):
            raise DryRunUnavailable(
                f"the installed {self._driver} is built differently from the versions that can be sealed",
                next_step="install asyncpg >= 0.29, psycopg2 >= 2.9, or report this version to the project",
            )
        if self._driver not in _led:
            _originals[self._driver] = getattr(module, name)
            setattr(module, name, _OURS[self._driver])
        _led.append(self._driver)

    def __exit__(self, *exc_info: object) -> None:
        _led.remove(self._driver)
        if self._driver not in _led:
            setattr(*_place(self._driver), _originals.pop(self._driver))
            _known.clear()


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
    refuse_latecomers()
    original = _originals.get("psycopg2")
    if original is None:  # let go in the meantime
        return sys.modules["psycopg2"]._connect(dsn, connection_factory=connection_factory, **how)
    if is_opening():
        return original(dsn, connection_factory=connection_factory, **how)
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
        if _passes(*_known[key]):
            return original(dsn, connection_factory=connection_factory, **how)
        session = _session(*_known[key])
        dsn = conninfo(session, given, hides_literals=True)
    return original(dsn, connection_factory=connection_factory, **how)


async def _connect_asyncpg(*, loop: Any, connection_class: Any, record_class: Any, **given: Any) -> Any:
    """Stands for ``asyncpg.connect_utils._connect``, by which ``connect`` and pools go."""
    utils: Any = sys.modules["asyncpg.connect_utils"]
    refuse_latecomers()
    original = _originals.get("asyncpg")
    how = {"loop": loop, "connection_class": connection_class, "record_class": record_class}
    if original is None:
        return await utils._connect(**how, **given)
    if is_opening():  # in a loop of ours
        with own.work():
            return await original(**how, **given)
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
    if _passes(*_known[key]):
        return await original(**how, **given)
    address = _session(*_known[key]).address()
    there = {
        "dsn": None, "host": address.host, "port": address.port, "user": address.user,
        "password": address.password, "database": address.database, "ssl": False, "direct_tls": False,
        "passfile": None, "service": None, "servicefile": None, "target_session_attrs": None,
        "server_settings": asked.server_settings,
    }  # fmt: skip
    return await original(**how, **given | {name: there[name] for name in there if name in given})


def _passes(row: Row, keywords: Any) -> bool:
    """Whether a connection goes where it is meant to: in a real run, to a database that is not measured."""
    if held() or sealed_as(row):
        return False
    watching[-1].meet(_where(keywords))
    return True


def _where(keywords: Any) -> str:
    return f"postgresql {keywords['dbname']} on {keywords['host']}:{keywords['port']}"


def _session(row: Row, keywords: Any) -> Session:
    """The session of the database that a connection names.

    Raises DryRunUnavailable, DryRunStopped, psycopg.Error.
    """
    session = sealed_as(row)
    if session is None:
        return reading.reading(watching[-1], row, keywords, _where(keywords))
    session.refuse_latecomers()
    check_role(session, session.database, row)
    return session


def _place(driver: str) -> tuple[Any, str]:
    module, name = CONNECTS[driver]
    return sys.modules[module], name


_NEEDED = {"psycopg2": (), "asyncpg": ("_parse_connect_arguments",)}
_OURS: dict[str, Callable[..., Any]] = {"psycopg2": _connect_psycopg2, "asyncpg": _connect_asyncpg}
"""What stands for the one function of each driver that all of its connections go through."""
