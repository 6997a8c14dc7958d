"""Which file a database argument means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oneoff.databases.sqlite.places import moved, named


@pytest.mark.parametrize(
    ("database", "uri", "path"),
    [
        (":memory:", False, None),
        ("", False, None),
        ("a.db", False, "a.db"),
        (b"a.db", False, "a.db"),
        (Path("a.db"), False, "a.db"),
        ("file:a.db", False, "file:a.db"),
        ("file:a%20b.db?mode=ro", True, "a b.db"),
        ("file:///data/a.db?cache=shared#x", True, "/data/a.db"),
        ("file://localhost/data/a.db", True, "/data/a.db"),
        ("file::memory:?cache=shared", True, None),
        ("file:shared?mode=memory&cache=shared", True, None),
        ("plain.db", True, "plain.db"),
    ],
)
def test_the_file_that_is_meant(database: Any, uri: bool, path: str | None) -> None:
    """Paths, bytes and URIs are read as SQLite reads them; databases in memory have no file."""
    assert named(database, uri=uri) == path


def test_a_uri_keeps_its_query() -> None:
    """The copy is opened with the rights that the task asked for."""
    assert moved("file:/a.db?mode=ro", Path("/tmp/c d.db"), uri=True) == "file:/tmp/c%20d.db?mode=ro"
    assert moved("a.db", Path("/tmp/c.db"), uri=False) == "/tmp/c.db"
