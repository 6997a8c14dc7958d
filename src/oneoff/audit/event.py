"""One entry of the audit log: a CloudEvents 1.0 envelope, kept as the exact bytes that were hashed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from oneoff.types import JSONObject, RunId


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, before the log gave it its place."""

    id: str
    type: str
    """``requested``, ``refused``, ``starting``, ``outcome`` or ``cancelled``."""
    time: datetime
    run_id: RunId | None
    data: JSONObject


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """An event in its place in the log."""

    seq: int
    """0-based and gapless."""
    body: bytes
    """The canonical bytes, never serialised again once stored."""
    leaf: bytes
    """SHA-256(0x00 || body), the leaf hash of RFC 6962 §2.1."""
    columns: JSONObject
    """The index columns beside the body; verification derives them from the body again."""
