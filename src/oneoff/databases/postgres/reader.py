"""Looks whether a role can only read, by asking the server: nothing less keeps a program from writing that
takes no start-up options from ``PGOPTIONS``."""

from __future__ import annotations

import psycopg

from oneoff.databases.postgres.interception import describe
from oneoff.databases.postgres.session import ask, one_line, sql
from oneoff.dryrun.report import DatabaseReport
from oneoff.dryrun.seams import Reader
from oneoff.errors import DryRunUnavailable
from oneoff.types import without_password

_CONNECT_SECONDS = 10
_NEXT = "give the variable the URL of a role that has SELECT alone, or of a standby"


def reader(url: str) -> Reader:
    """Raises DryRunUnavailable where the role may write, or the server cannot be asked."""
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS) as connection:
            found = ask(connection.pgconn, sql("may_write"))
            database, role = describe(connection), connection.info.user
            local = connection.info.host.startswith("/")
            port = connection.info.port
    except psycopg.Error as error:
        raise DryRunUnavailable(
            f"the database that a command may read cannot be reached: {without_password(one_line(error))}",
            next_step="check that the server runs and that the variable leads to it",
        ) from error
    if found:
        what = "; ".join(f"{row['what']} {row['example']}" for row in found)
        raise DryRunUnavailable(f"{role} can write in {database}: {what}", next_step=_NEXT)
    if local:
        raise DryRunUnavailable(
            f"{database} is reached by a unix socket, and the dry run of a command lets none through",
            next_step="give the variable a URL with a host and a port",
        )
    report = DatabaseReport(
        database=f"{database} as {role}",
        level="preview",
        measured=False,
        counting="not measured: a command reads by itself",
    )
    return Reader(port=port, report=report)
