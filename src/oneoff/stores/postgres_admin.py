"""Makes and upgrades a store in PostgreSQL, with the rights of whoever administers the database.

Everything in the schema belongs to a role that cannot log in; the app's role may read, and call the functions
that are SECURITY DEFINER.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import conninfo, pq, sql

from oneoff.errors import StoreUnavailable, UsageError
from oneoff.protocols import Phase
from oneoff.stores import postgres_failures as failures
from oneoff.stores import queries
from oneoff.stores.postgres_link import parameters
from oneoff.types import without_login

Script = tuple[str, str]
"""One version's SQL: what goes before its release is deployed, and what once no older client is left."""

SCRIPTS: Sequence[Script] = ((queries.script("postgres_1_pre.sql"), queries.script("postgres_1_post.sql")),)
"""The versions of the schema, in order."""
OWNER = "oneoff_owner"
MINIMUM_SERVER = 130000
"""PostgreSQL 13: the first with gen_random_uuid, and with a time limit for each statement of a message."""

_SQL = queries.load("postgres_admin.sql")


def role_of(url: str) -> str:
    """Whom a connection to this address logs in as, as libpq finds it. Raises StoreUnavailable."""
    try:
        given = conninfo.conninfo_to_dict(url).get("user")
    except psycopg.Error as error:
        raise failures.unreachable(error, without_login(url)) from error
    defaults = {option.keyword: option.val for option in pq.Conninfo.get_defaults()}
    return str(given or (defaults.get(b"user") or b"").decode())


class PostgresAdmin:
    """Implements :class:`oneoff.protocols.StoreAdmin`."""

    def __init__(self, owner_url: str, store_url: str, scripts: Sequence[Script] = SCRIPTS) -> None:
        """``owner_url`` logs in as one who may create roles and schemas, ``store_url`` as the app does."""
        self._url = owner_url
        self._store_url = store_url
        self._place = without_login(owner_url)
        self._scripts = scripts

    def init(self, role: str | None, retention_days: int | None = None) -> list[str]:
        """Make schema, owner, functions and grants in one transaction; twice changes nothing.

        Args:
            retention_days: see :meth:`oneoff.protocols.StoreAdmin.init`; a new store has 400.

        Raises:
            StoreUnavailable: a right is missing, or something else stands in the store's place.
        """
        role = role or role_of(self._store_url)
        with self._connected() as connection, connection.transaction():
            connection.execute(_SQL["begin"])
            self._check_server(connection)
            self._check_role(connection, role)
            done = self._make_owner(connection)
            with as_owner(connection):
                if not _has_store(connection):
                    for number in range(1, len(self._scripts) + 1):
                        self._apply(connection, number, "pre")
                        self._apply(connection, number, "post")
                    done.append(f"made the store, version {len(self._scripts)}")
                else:
                    done.append(f"the store is there, version {_version(connection)[0]}")
                if retention_days is not None:
                    connection.execute(_SQL["set_retention"], {"days": retention_days})
                    done.append(f"no event is pruned within {retention_days} days")
                _grant(connection, {role: True})
            done.append(self._check_granted(connection, role))
        return done

    def upgrade(self, phase: Phase) -> list[str]:
        """Apply the next version's SQL; each file in a transaction of its own.

        ``pre`` before a release is deployed, ``post`` once no process of an older one is left, ``all`` both,
        for every version.

        Raises:
            UsageError: an earlier version's ``post`` has to come first.
            StoreUnavailable: a right is missing, there is no store, or a lock was not to be had.
        """
        done: list[str] = []
        with self._connected() as connection:
            while True:
                with self._upgrading(connection):
                    step = self._step(connection, phase)
                    if step is None:
                        break
                    roles = connection.execute(_SQL["roles"]).fetchall()  # dropping a function forgets some
                    self._apply(connection, *step)
                    _grant(connection, dict(roles))
                done.append(f"applied version {step[0]}, {step[1]}")
                if phase != "all":
                    break
            with self._upgrading(connection):
                version, oldest = _version(connection)
        return [*done, f"the store has version {version}, for clients from version {oldest} on"]

    def _step(self, connection: Any, phase: Phase) -> tuple[int, Phase] | None:
        """What is to be done next; None where nothing is."""
        version, oldest = _version(connection)
        if oldest < version and version <= len(self._scripts):
            if phase == "pre" and version < len(self._scripts):
                raise UsageError(
                    f"version {version} has to be finished before version {version + 1} begins",
                    next_step="`--phase post` once no process of an older oneoff is left, or `--phase all`"
                    " at a standstill",
                )
            return None if phase == "pre" else (version, "post")
        if version < len(self._scripts) and phase != "post":
            return version + 1, "pre"
        return None

    @contextmanager
    def _upgrading(self, connection: Any) -> Iterator[None]:
        with connection.transaction():
            connection.execute(_SQL["begin"])
            if not _has_store(connection):
                raise failures.no_schema(self._place, "there is no schema oneoff")
            with as_owner(connection):
                yield

    def _apply(self, connection: Any, number: int, phase: Phase) -> None:
        pre, post = self._scripts[number - 1]
        connection.execute(pre if phase == "pre" else post)
        connection.execute(_SQL[f"after_{phase}"], {"version": number})

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        try:
            connection = psycopg.connect(
                **parameters(self._url, application_name="oneoff store"),
                autocommit=True,
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            raise failures.unreachable(error, self._place) from error
        user = connection.info.user
        try:
            with connection:
                yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreUnavailable(
                f"the role {user} may not do this on {self._place}: {failures.one_line(error)}",
                next_step="give --owner-url a role with CREATEROLE and the right to create schemas in this"
                " database (or a superuser); the app's own role stays as it is",
            ) from error
        except psycopg.errors.LockNotAvailable as error:
            raise StoreUnavailable(
                f"the store {self._place} is locked by other transactions, and they are not held up for long",
                next_step="try again when fewer runs are under way; this step changed nothing",
            ) from error
        except psycopg.Error as error:
            raise failures.explain(error, self._place) from error

    def _check_server(self, connection: Any) -> None:
        if connection.info.server_version < MINIMUM_SERVER:
            raise StoreUnavailable(
                f"the server of {self._place} is PostgreSQL {connection.info.server_version // 10000},"
                f" and the store needs {MINIMUM_SERVER // 10000} or newer",
                next_step="use a newer server",
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise failures.no_utf8(self._place, str(encoding))

    def _check_role(self, connection: Any, role: str) -> None:
        if not connection.execute(_SQL["role"], {"role": role}).fetchone():
            raise StoreUnavailable(
                f"there is no role {role} on {self._place}, which the app is to log in as",
                next_step=f'CREATE ROLE "{role}" LOGIN, or name another with --role',
            )
        if role == OWNER:
            raise UsageError(f"the app cannot be {OWNER}, which owns its records")

    def _make_owner(self, connection: Any) -> list[str]:
        """The role and the schema, where they are not there."""
        done = []
        owner = connection.execute(_SQL["role"], {"role": OWNER}).fetchone()
        if owner is None:
            connection.execute(_SQL["create_owner"])
            done.append(f"made the role {OWNER}, which cannot log in")
        elif owner[0]:
            raise StoreUnavailable(
                f"the role {OWNER} may log in, and must not", next_step=f"ALTER ROLE {OWNER} NOLOGIN"
            )
        schema = connection.execute(_SQL["schema_owner"]).fetchone()
        if schema is None:
            with _membership(connection):
                connection.execute(_SQL["create_schema"])
        elif schema[0] != OWNER:
            raise StoreUnavailable(
                f"there is a schema oneoff on {self._place} already, and it belongs to {schema[0]}",
                next_step="use another database for the store, or move that schema out of the way",
            )
        return done

    def _check_granted(self, connection: Any, role: str) -> str:
        superuser, member = connection.execute(_SQL["power"], {"role": role, "owner": OWNER}).fetchone()
        if superuser:
            return (
                f"the role {role} may read, and call the functions; as a superuser it may do all else too,"
                " so the database does not protect the log from it"
            )
        if member:
            raise StoreUnavailable(
                f"the role {role} is a member of {OWNER}, and could change what is recorded",
                next_step=f"name another role with --role, or REVOKE {OWNER} FROM {role}; whoever created"
                f" {OWNER} is a member of it since PostgreSQL 16",
            )
        return f"the role {role} may read, and call the functions"


def _has_store(connection: Any) -> bool:
    return bool(connection.execute(_SQL["has_store"]).fetchone()[0])


def _version(connection: Any) -> tuple[int, int]:
    """The schema's version and that of its oldest client."""
    version, oldest = connection.execute(_SQL["version"]).fetchone()
    return version, oldest


@contextmanager
def _membership(connection: Any) -> Iterator[None]:
    """For the time of a block the administrator acts for the owner; a superuser need not ask."""
    superuser, _ = connection.execute(_SQL["power"], {"role": None, "owner": OWNER}).fetchone()
    given = not superuser and not connection.execute(_SQL["direct_member"], {"owner": OWNER}).fetchone()
    if given:
        connection.execute(_SQL["join_owner"])
    yield
    if given:
        connection.execute(_SQL["leave_owner"])


@contextmanager
def as_owner(connection: Any) -> Iterator[None]:
    """In a transaction, which undoes it all on failure: what is made in the block belongs to the owner."""
    with _membership(connection):
        connection.execute(_SQL["become_owner"])
        yield
        connection.execute(_SQL["be_oneself"])


def _grant(connection: Any, roles: Mapping[str, bool]) -> None:
    """Let these roles in: each to read, and where it is true, to call the functions."""
    connection.execute(_SQL["revoke_from_public"])
    functions = [text for (text,) in connection.execute(_SQL["functions"])]
    for role, writes in roles.items():
        name = sql.Identifier(role)
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA oneoff TO {}").format(name))
        connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA oneoff TO {}").format(name))
        for function in functions if writes else ():
            connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), name))
