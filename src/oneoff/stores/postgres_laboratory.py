"""A throw-away store in a PostgreSQL database, and whoever administers that: for ``oneoff audit selftest``.

It is the schema ``oneoff`` as ``store init`` makes it, in a database that is empty otherwise. The empty
schema ``oneoff_selftest`` beside it says that it is nobody's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import conninfo, sql

from oneoff.errors import StoreUnavailable
from oneoff.stores import postgres_failures as failures
from oneoff.stores import queries
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.postgres_admin import PostgresAdmin, as_owner
from oneoff.stores.postgres_link import parameters
from oneoff.types import without_login

ROLE = "oneoff_selftest"
"""Has the rights of an app's role, cannot log in, and is there for as long as the store is."""
_SQL = {**queries.load("attacks.sql"), **queries.load("postgres_laboratory.sql")}
_PLACEHOLDER = re.compile(r":([a-z]\w*)")


@contextmanager
def laboratory(url: str) -> Iterator[PostgresLaboratory]:
    """A store in the empty database at this URL, which is empty again at the end of the block.

    Raises:
        StoreUnavailable: the database is not empty, or a right is missing; nothing was changed.
    """
    with _connected(url) as connection:
        made = PostgresLaboratory(url, connection)
        made.make()
        try:
            yield made
        finally:
            made.remove()


class PostgresLaboratory:
    """Implements :class:`oneoff.protocols.Laboratory`; ``connection`` is its administrator's."""

    name = "PostgreSQL"

    def __init__(self, url: str, connection: Any) -> None:
        self._url = url
        self._place = without_login(url)
        self._connection = connection
        self._kept: dict[str, dict[str, bytes]] = {}

    def make(self) -> None:
        """Make the store, as a user's own is made, in a database where there is nothing else."""
        self._check_empty()
        try:
            with self._connection.transaction():
                self._connection.execute(_SQL["mark"])
            PostgresAdmin(self._url, self._url).init(ROLE)
        except BaseException:
            self.remove()
            raise

    def _check_empty(self) -> None:
        if not self._one("lock")[0]:
            raise StoreUnavailable(f"another self-test is at work in {self._place}", next_step="wait for it")
        ours, store, let_in, others = self._one("look")
        if others or (store and (let_in or not ours)):
            what = "a store" if store else "tables"
            raise StoreUnavailable(
                f"the database {self._place} holds {what}, and a self-test wants an empty one",
                next_step="CREATE DATABASE selftest, and give its URL",
            )
        if ours:  # left behind by one that was killed
            self.remove()

    def remove(self) -> None:
        """Leave the database as it was. A role stays where another database needs it by now."""
        with self._connection.transaction():
            ours, store, *_ = self._one("look")
            if not ours:
                return
            roles = ["drop_role", *(["drop_owner"] if self._one("owner_is_ours")[0] else [])]
            if store:
                with as_owner(self._connection):
                    self._connection.execute(_SQL["drop_store"])
            self._connection.execute(_SQL["drop_mark"])
            for role in roles:
                with suppress(psycopg.errors.DependentObjectsStillExist), self._connection.transaction():
                    self._connection.execute(_SQL[role])

    def open(self) -> PostgresStore:
        options = conninfo.conninfo_to_dict(self._url).get("options") or ""
        with_role = quote(f"{options} -c role={ROLE}".strip(), safe="")
        return PostgresStore.open(f"{self._url}{'&' if '?' in self._url else '?'}options={with_role}")

    def keep(self, name: str) -> None:
        with self._acting():
            self._kept[name] = {table: self._copied(table) for table in self._tables()}

    def put_back(self, name: str) -> None:
        with self._acting() as connection:
            for table, rows in self._kept[name].items():
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
                into = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
                with connection.cursor().copy(into) as copy:
                    copy.write(rows)
            connection.execute(_SQL["repair"])

    def change(self, what: str, **values: int | str | bytes) -> None:
        with self._acting() as connection:
            connection.execute(_PLACEHOLDER.sub(r"%(\1)s", _SQL[what]).encode(), values or None)

    @contextmanager
    def _acting(self) -> Iterator[Any]:
        """One transaction with the rights of the store's owner, and without guards."""
        with self._connection.transaction(), as_owner(self._connection):
            self._connection.execute(_SQL["search_oneoff"])
            self._connection.execute(_SQL["guards_off"])
            yield self._connection

    def _tables(self) -> list[str]:
        return [name for (name,) in self._connection.execute(_SQL["tables"])]

    def _copied(self, table: str) -> bytes:
        out = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
        with self._connection.cursor().copy(out) as copy:
            return b"".join(bytes(part) for part in copy)

    def _one(self, name: str) -> Any:
        return self._connection.execute(_SQL[name]).fetchone()


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    place = without_login(url)
    try:
        connection = psycopg.connect(
            **parameters(url, application_name="oneoff selftest"),
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=psycopg.ClientCursor,
        )
    except psycopg.Error as error:
        raise failures.unreachable(error, place) from error
    user = connection.info.user
    try:
        with connection:
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreUnavailable(
            f"the role {user} may not do this on {place}: {failures.one_line(error)}",
            next_step="give --url a role with CREATEROLE and the right to create schemas in this database",
        ) from error
    except psycopg.Error as error:
        raise failures.explain(error, place) from error
