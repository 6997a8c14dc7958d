"""The hand-written SQL is found, whole and used."""

from __future__ import annotations

import re
from pathlib import Path

from oneoff.stores import queries, sqlite


def test_blocks() -> None:
    """A block is found by its name, without its comments."""
    blocks = queries.load("sqlite.sql")
    assert blocks["move_start"] == "UPDATE audit_head SET start = :start;"
    assert blocks["where_task"] == "task = :task"
    assert not any("--" in block for block in blocks.values())


def test_every_block_is_used() -> None:
    """No SQL is dead, and none is missing."""
    source = Path(sqlite.__file__).read_text() + Path(queries.__file__).read_text()
    named = set(
        re.findall(
            r'"((?:select|insert|update|find|scan|first|in|keep|delete|move|erase)_\w+|beat|newest_first)"',
            source,
        )
    )
    built = {
        name for name in queries.load("sqlite.sql") if re.match("where_|event_|newest_|select_events", name)
    }
    assert named | built == set(queries.load("sqlite.sql"))
    filters = {name.partition("_")[2] for name in built if re.match("where_|event_", name)}
    filters = {name.removesuffix("_of_table") for name in filters} - {"actor", "kept", "from"}
    assert all(f'"{name}":' in source for name in filters)
