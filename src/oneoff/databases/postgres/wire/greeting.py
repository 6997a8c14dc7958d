"""What a client is told when it comes in, and why it may be sent away."""

from __future__ import annotations

import re

from psycopg import errors

from oneoff.databases.postgres.session import Session, ask, sql
from oneoff.databases.postgres.wire import messages
from oneoff.databases.postgres.wire.channel import Channel

_REPORTED = (
    "server_version", "server_encoding", "client_encoding", "is_superuser", "session_authorization",
    "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings",
    "in_hot_standby", "search_path", "scram_iterations",
)  # fmt: skip
"""https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQPARAMETERSTATUS"""
HIDES_LITERALS = "oneoff.literals"
"""A setting by which :mod:`..drivers` says that a driver writes values into its statements."""
_OPTION = re.compile(r"(?:^|\s)(?:-c\s*|--)(?P<name>[\w.]+)=(?P<value>(?:\\.|[^\\\s])*)")
_NO_SETTINGS = (
    "user", "database", "options", "application_name", "client_encoding", "replication", HIDES_LITERALS,
    "default_transaction_read_only", "lock_timeout", "statement_timeout",
)  # fmt: skip
"""Parameters that are no settings, are seen to above, or are the dry run's own."""


def refusal(session: Session, asked: dict[str, str]) -> str | None:
    """Why a client cannot be a tenant of the session."""
    info = session.connection.info
    database = asked.get("database", asked.get("user", ""))
    if (asked.get("user"), database) != (info.user, info.dbname):
        return (
            f"a connection to the database {database} as {asked.get('user')} was led to the dry run of"
            f" {session.database} as {info.user}"
        )
    if asked.get("replication", "false").lower() not in ("false", "off", "no", "0"):
        return f"a replication connection to {session.database}: a sealed dry run has none"
    wanted = asked.get("client_encoding", "").strip("'")
    have = (session.pgconn.parameter_status(b"client_encoding") or b"").decode()
    if _encoding(wanted) not in ("", "AUTO", _encoding(have)):
        return f"a connection in {wanted}: the session of the dry run is in {have}, and all share it"
    return None


def greeting(session: Session, channel: Channel, asked: dict[str, str]) -> list[bytes]:
    """The messages that let a client in. To be called under the session's lock."""
    _name_other_settings(session, asked)
    values = {
        name: channel.parameters.get(name.encode(), session.pgconn.parameter_status(name.encode()))
        for name in _REPORTED
    }
    values["application_name"] = asked.get("application_name", "").encode()
    values["default_transaction_read_only"] = b"off"  # for a client that asks for a server it can write to
    return [
        messages.authentication(0),
        *(messages.parameter(name, value) for name, value in values.items() if value is not None),
    ]


def options(asked: dict[str, str]) -> dict[str, str]:
    """The settings in a client's ``options``, which libpq sends as they are."""
    return {
        found["name"]: re.sub(r"\\(.)", r"\1", found["value"])
        for found in _OPTION.finditer(asked.get("options", ""))
    }


def _name_other_settings(session: Session, asked: dict[str, str]) -> None:
    """Settings that a client starts with and the session has not: all tenants have the session's."""
    for name, value in {**asked, **options(asked)}.items():
        if name in _NO_SETTINGS or name.startswith("_pq_."):
            continue
        try:
            [row] = ask(session.pgconn, sql("setting"), name.encode(), value.encode())
        except errors.Error:  # the transaction has failed, and nothing can be asked
            return
        if row["other"] != "f":
            session.notes.gap(
                f"the setting {name}={value} of a connection: all share one session, without it"
            )


def _encoding(name: str) -> str:
    plain = name.upper().replace("-", "").replace("_", "")
    return {"UNICODE": "UTF8"}.get(plain, plain)
