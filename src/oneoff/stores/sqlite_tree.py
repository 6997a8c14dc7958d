"""The Merkle tree of an SQLite store: leaves stand beside the events, all larger subtrees in a table."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from oneoff.audit.merkle import Place, growth
from oneoff.stores import queries

_SQL = queries.load("sqlite_tree.sql")
_MANY = 200
"""Places from which on they are looked up by ranges; a proof has fewer."""


def hashes(connection: sqlite3.Connection, places: Sequence[Place]) -> Mapping[Place, bytes]:
    """The hashes at these places; raises LookupError where one is missing."""
    found = (_looked_up if len(places) < _MANY else _in_ranges)(connection, places)
    for place in places:
        if place not in found:
            raise LookupError(f"the audit log lacks the hash of subtree {place}")
    return found


def _looked_up(connection: sqlite3.Connection, places: Sequence[Place]) -> dict[Place, bytes]:
    rows = connection.execute(_SQL["select_hashes"], {"places": json.dumps(places)})
    return {(level, position): hash_ for level, position, hash_ in rows}


def _in_ranges(connection: sqlite3.Connection, places: Sequence[Place]) -> dict[Place, bytes]:
    """So many places are neighbours: a range for each level is quicker than one look for each."""
    found = dict[Place, bytes]()
    for level, positions in _by_level(places).items():
        wanted = set(positions)
        if max(wanted) - min(wanted) > 2 * len(wanted):  # they are not
            found |= _looked_up(connection, [(level, position) for position in positions])
            continue
        which = "select_nodes_between" if level else "select_leaves_between"
        values = {"level": level, "first": min(wanted), "last": max(wanted)}
        for position, hash_ in connection.execute(_SQL[which], values):
            if position in wanted:
                found[level, position] = hash_
    return found


def _by_level(places: Sequence[Place]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for level, position in places:
        found.setdefault(level, []).append(position)
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
