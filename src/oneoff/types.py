"""Names for plain data that every layer shares."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import NewType, TypeAlias

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None
JSONObject: TypeAlias = dict[str, JSON]

RunId = NewType("RunId", str)
TaskName = NewType("TaskName", str)

LONGEST_RUN_ID = 40
RUN_ID = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,{LONGEST_RUN_ID - 2}}}[a-z0-9])?")
"""A run's id names a Kubernetes Job later, so it is a DNS label (RFC 1123), short enough for a prefix."""

_URL_PASSWORD = re.compile(r"(://[^:/@\s]*):\S*@")  # to the last @: a password may hold one
_KEYWORD_PASSWORD = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)

_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that reads like another


def new_run_id(now: datetime) -> RunId:
    """An id that sorts by time and can be read out over the phone: ``20261123-034253-k7f2q9``."""
    tail = "".join(_ID_LETTERS[byte % 32] for byte in os.urandom(6))  # as `secrets` does, 5 ms sooner
    return RunId(f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{tail}")


def rfc3339(moment: datetime) -> str:
    """A time as every record and every JSON document shows it (RFC 3339, UTC, microseconds)."""
    # Not strftime: the C library writes the year 999 in three digits.
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> datetime:
    """The inverse of :func:`rfc3339`."""
    return datetime.fromisoformat(text)


def without_login(url: str) -> str:
    """Which server and database a URL leads to; a password may hold any character, so all before the last
    ``@`` is left out, and the options too."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def without_password(text: str) -> str:
    """The text with the password of every URL and every ``password=`` in it masked."""
    return _KEYWORD_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", text))
