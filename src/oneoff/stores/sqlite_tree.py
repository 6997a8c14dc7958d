"""The Merkle tree of an SQLite store: leaves stand beside the events, all larger subtrees in a table."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from oneoff.audit.merkle import Place, growth
from oneoff.stores import queries

_SQL = queries.load("sqlite_tree.sql")


def hashes(connection: sqlite3.Connection, places: Sequence[Place]) -> Mapping[Place, bytes]:
    """The hashes at these places; raises LookupError where one is missing."""
    rows = connection.execute(_SQL["select_hashes"], {"places": json.dumps(places)})
    found = {(level, position): hash_ for level, position, hash_ in rows}
    for place in places:
        if place not in found:
            raise LookupError(f"the audit log lacks the hash of subtree {place}")
    return found


def grow(connection: sqlite3.Connection, index: int, leaf: bytes) -> None:
    """Keep the subtrees that the leaf at ``index`` completes."""
    made = growth(index, leaf, lambda places: hashes(connection, places))
    for (level, position), hash_ in made.items():
        connection.execute(_SQL["insert_node"], {"level": level, "position": position, "hash": hash_})


def fill(connection: sqlite3.Connection) -> None:
    """Build the table for a log that has none yet."""
    for index, leaf in connection.execute(_SQL["select_leaves"]).fetchall():
        grow(connection, index, leaf)
