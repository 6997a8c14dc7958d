"""The Merkle tree of an SQLite store: with each event stand the hashes of the subtrees that it completes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from oneoff.audit.merkle import HASH_BYTES, Growth, Place, last_leaf
from oneoff.stores import queries

_SQL = queries.load("sqlite.sql")


def hashes(connection: sqlite3.Connection, places: Sequence[Place]) -> Mapping[Place, bytes]:
    """The hashes at these places; raises LookupError where one is missing."""
    wanted = {(last_leaf(place), place[0]): place for place in places}
    rows = connection.execute(_SQL["select_hashes"], {"places": json.dumps([*wanted])})
    found = {wanted[seq, level]: hash_ for seq, level, hash_ in rows}
    for place, hash_ in found.items():
        if hash_ is None or len(hash_) != HASH_BYTES:
            raise LookupError(f"the audit log lacks the hash of subtree {place}")
    return found


def prepare_upgrade(connection: sqlite3.Connection) -> None:
    """Give the connection the function by which a log that has leaf hashes alone gets the others."""
    connection.create_function("oneoff_grown", 1, Growth().add)
