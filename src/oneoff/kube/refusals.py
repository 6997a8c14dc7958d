"""From an answer of the API server to one of our errors."""

from __future__ import annotations

import json
from typing import Any, Final

from oneoff.errors import (
    ClusterError,
    CredentialsRefused,
    FieldConflict,
    LogNotReady,
    NotPermitted,
    ObjectExists,
    ObjectMissing,
    VersionGone,
)

_BY_CODE: Final[dict[int, type[ClusterError]]] = {
    401: CredentialsRefused,
    403: NotPermitted,
    404: ObjectMissing,
    410: VersionGone,
}


def of(code: int, body: bytes) -> ClusterError:
    """The error that an answer means."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        return ClusterError(f"HTTP {code}: {body[:200].decode(errors='replace')}")
    return of_status(code, status)


def of_status(code: int, status: dict[str, Any]) -> ClusterError:
    """The error that a ``Status`` means."""
    said = str(status.get("message") or f"HTTP {code}")
    reason = status.get("reason")
    if reason == "AlreadyExists":
        return ObjectExists(said)
    if code == 409 and "Apply failed" in said:
        return FieldConflict(said)
    if code == 400 and "is waiting to start" in said:
        return LogNotReady(said)
    return _BY_CODE.get(code, ClusterError)(said)
