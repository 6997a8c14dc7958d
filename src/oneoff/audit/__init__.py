"""The audit log as mathematics: events as exact bytes, the Merkle tree over them, verification. No I/O."""

from __future__ import annotations
