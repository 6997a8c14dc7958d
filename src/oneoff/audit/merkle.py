"""The RFC 6962 Merkle tree, as far as an append-only log needs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Checkpoint:
    """Size and root of the audit log: all that has to be remembered to notice a later change."""

    size: int
    root: bytes
