"""What PostgreSQL says when a store cannot be used, in words a person can act on."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from oneoff.errors import StoreCorrupted, StoreUnavailable, StoreVersionMismatch
from oneoff.types import without_password

LOCK_SECONDS = 30
"""How long a statement waits for another process's transaction."""
STATEMENT_SECONDS = 60
"""How long a statement may take in all."""


class ConnectionLost(StoreUnavailable):
    """The connection broke while something was asked; a change may be recorded or not."""


class _Reason(NamedTuple):
    kind: type[StoreUnavailable]
    message: str
    next_step: str


_UNREACHABLE = _Reason(
    StoreUnavailable,
    "the server of the store {place} cannot be reached: {error}",
    "check that the server runs and that host and port in the store's URL lead to it",
)
_LOGIN = _Reason(
    StoreUnavailable,
    "the server of the store {place} does not let this user in: {error}",
    "check user, password and database in the store's URL, and the server's pg_hba.conf",
)
_NO_DATABASE = _Reason(
    StoreUnavailable,
    "there is no such database for the store {place}: {error}",
    "create the database, then `oneoff store init --owner-url URL`; or correct the store's URL",
)
_STARTING = _Reason(
    StoreUnavailable,
    "the server of the store {place} takes no work now: {error}",
    "wait until it has started, then try again",
)
_TOO_MANY = _Reason(
    StoreUnavailable,
    "the server of the store {place} has no connection left: {error}",
    "try again, raise max_connections, or put a pooler in between; every run keeps one connection",
)
_LOST = _Reason(
    ConnectionLost,
    "the connection to the store {place} was lost: {error}",
    "check that the server runs, then try again; `oneoff runs` shows what is recorded",
)
_BUSY = _Reason(
    StoreUnavailable,
    f"another transaction has kept the store {{place}} locked for {LOCK_SECONDS} s",
    "try again; if it stays so, pg_stat_activity names the session that holds the lock",
)
_SLOW = _Reason(
    StoreUnavailable,
    "the server of the store {place} gave a statement up: {error}",
    "look at the load of the server (pg_stat_activity), then try again",
)
_NO_SCHEMA = _Reason(
    StoreUnavailable,
    "the database of the store {place} has no store of oneoff: {error}",
    "`oneoff store init --owner-url URL` makes it, with a role that may create roles and schemas",
)
_DENIED = _Reason(
    StoreUnavailable,
    "the role of the store {place} may not do this: {error}",
    "`oneoff store init --owner-url URL` grants what it needs; `oneoff doctor` says what is missing",
)
_READ_ONLY = _Reason(
    StoreUnavailable,
    "the store {place} can only be read: its server is a replica, or was made read-only ({error})",
    "set ONEOFF_STORE to the primary server",
)
_FULL = _Reason(
    StoreUnavailable,
    "the server of the store {place} has no room left: {error}",
    "make room on the server's disk, then try again; nothing recorded is lost",
)
_DAMAGED = _Reason(
    StoreCorrupted,
    "the store {place} is damaged: {error}",
    "change nothing in it, keep a dump, and restore a backup",
)
_NO_EVENT = _Reason(
    StoreUnavailable,
    "the store {place} refuses the event: {error}",
    "report this with what was run: nothing was recorded and nothing changed",
)
_OTHER = _Reason(
    StoreUnavailable,
    "the store {place} cannot be used: {error}",
    "`oneoff doctor` says what is wrong with it",
)
_NEWER = _Reason(
    StoreVersionMismatch,
    "the store {place} {error}",
    "use the newer oneoff that it was upgraded for: upgrade the package oneoff in this environment",
)
_OLDER = _Reason(
    StoreVersionMismatch,
    "the store {place} {error}",
    "`oneoff store upgrade --owner-url URL --phase pre` brings it up to date, before the deploy",
)
_NOT_A_URL = _Reason(
    StoreUnavailable,
    "the store's URL is no address of a PostgreSQL database that psycopg can read ({place})",
    "write it as postgresql://USER@HOST:PORT/DATABASE; special characters in a part are %-escaped",
)
_NO_UTF8 = _Reason(
    StoreUnavailable,
    "the database of the store {place} is encoded in {error}, and the store needs UTF8",
    "create a database with ENCODING 'UTF8' for it",
)

# By the whole of PostgreSQL's code, or by its class:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_STATES = {
    "53100": _FULL,
    "53300": _TOO_MANY,
    "53": _FULL,
    "55P03": _BUSY,
    "57014": _SLOW,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _STARTING,
    "57P05": _LOST,
    "08": _LOST,
    "42501": _DENIED,
    "3F000": _NO_SCHEMA,
    "42P01": _NO_SCHEMA,
    "42883": _NO_SCHEMA,
    "25006": _READ_ONLY,
    "0A000": _READ_ONLY,  # SET TRANSACTION READ WRITE on a replica; no other statement here can give it
    "28": _LOGIN,
    "3D000": _NO_DATABASE,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "OO005": _NO_EVENT,
    "OO009": _DAMAGED,
}
# A failed connection has no code in psycopg, only the server's words.
_WORDS = (
    ("too many clients", _TOO_MANY),
    ("remaining connection slots", _TOO_MANY),
    ("too many connections", _TOO_MANY),
    ("starting up", _STARTING),
    ("shutting down", _STARTING),
    ("authentication failed", _LOGIN),
    ("pg_hba.conf", _LOGIN),
    ("role", _LOGIN),
    ("database", _NO_DATABASE),
)


def explain(error: psycopg.Error, place: str, *, lost: bool = False) -> StoreUnavailable:
    """The error to raise ``from`` this one; ``lost`` where the connection is gone."""
    state = error.sqlstate or ""
    reason = _LOST if lost else _STATES.get(state) or _STATES.get(state[:2]) or _OTHER
    return _explained(reason, place, one_line(error))


def unreachable(error: psycopg.Error, place: str) -> StoreUnavailable:
    """The same for a connection that could not be made."""
    if isinstance(error, psycopg.ProgrammingError):
        return _explained(_NOT_A_URL, place, "")  # its words may hold a part of the password
    text = one_line(error)
    refused = text.partition("FATAL:")[2]
    reason = next((reason for words, reason in _WORDS if words in refused), _UNREACHABLE)
    if "no password supplied" in text:  # libpq's own words
        reason = _LOGIN
    return _explained(reason, place, refused.strip() or text)


def no_schema(place: str, why: str) -> StoreUnavailable:
    return _explained(_NO_SCHEMA, place, why)


def denied(place: str, why: str) -> StoreUnavailable:
    return _explained(_DENIED, place, why)


def only_to_read(place: str, why: str) -> StoreUnavailable:
    return _explained(_READ_ONLY, place, why)


def damaged(place: str, why: str) -> StoreUnavailable:
    return _explained(_DAMAGED, place, why)


def busy(place: str) -> StoreUnavailable:
    return _explained(_BUSY, place, "")


def newer(place: str, why: str) -> StoreUnavailable:
    return _explained(_NEWER, place, why)


def older(place: str, why: str) -> StoreUnavailable:
    return _explained(_OLDER, place, why)


def no_utf8(place: str, encoding: str) -> StoreUnavailable:
    return _explained(_NO_UTF8, place, encoding)


def one_line(error: BaseException) -> str:
    """The first line of a driver's message, without a password: the lines after it hold values."""
    return without_password(str(error).strip().partition("\n")[0])


def _explained(reason: _Reason, place: str, error: str) -> StoreUnavailable:
    words: dict[str, Any] = {"place": place, "error": error}
    return reason.kind(reason.message.format(**words), next_step=reason.next_step)
