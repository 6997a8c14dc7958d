"""What a task on SQLite changes besides the rows of ordinary tables is an effect too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from oneoff.databases.handles import Databases
from oneoff.dryrun.report import DatabaseReport, Report

_SCHEMA = """
CREATE VIRTUAL TABLE note USING fts5(body);
CREATE VIRTUAL TABLE note_place USING rtree(id, low, high);
CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
CREATE INDEX by_name ON item (name);
INSERT INTO note VALUES ('one'), ('two');
INSERT INTO note_place VALUES (1, 0, 1);
INSERT INTO item (name) VALUES ('a'), ('b');
"""


def _dry(path: Path, script: str) -> DatabaseReport:
    seal = Databases().seal(f"sqlite:///{path}")
    with seal, closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)
    assert seal.report().attempts == ()
    return seal.report()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_SCHEMA)
    return path


_SEQUENCE = "sqlite_sequence: changed (the next numbers of AUTOINCREMENT)"
_STATISTICS = "sqlite_stat1: changed (what ANALYZE found)"
CHANGES = {
    "INSERT INTO note VALUES ('three')": ["virtual table note: changed, its rows are not counted"],
    "DELETE FROM note": ["virtual table note: changed, its rows are not counted"],
    "UPDATE note_place SET high = 2": ["virtual table note_place: changed, its rows are not counted"],
    "DELETE FROM sqlite_sequence": [_SEQUENCE],
    "UPDATE sqlite_sequence SET seq = 1000": [_SEQUENCE],
    "INSERT INTO item (name) VALUES ('c'); DELETE FROM item WHERE name = 'c'": [_SEQUENCE],
    "ANALYZE": [_STATISTICS],
}


@pytest.mark.parametrize("script", CHANGES)
def test_a_change_beside_the_rows_of_ordinary_tables_is_named(path: Path, script: str) -> None:
    """Virtual tables and SQLite's own tables count as effects, although no row is counted."""
    report = _dry(path, script)
    assert report.tables == ()
    assert list(report.other_changes) == CHANGES[script]
    assert Report(databases=(report,)).has_effects


@pytest.mark.parametrize("script", ["VACUUM", "REINDEX", "SELECT * FROM note WHERE note MATCH 'one'"])
def test_what_changes_no_content_is_no_effect(path: Path, script: str) -> None:
    """The file's bytes may move; nothing that can be read does."""
    assert not Report(databases=(_dry(path, script),)).has_effects


def test_a_virtual_table_that_comes_or_goes_is_a_schema_change(path: Path) -> None:
    """It is named there, and not a second time."""
    report = _dry(path, "DROP TABLE note; CREATE VIRTUAL TABLE other USING fts5(body)")
    assert {"dropped table note", "created table other"} <= set(report.schema_changes)
    assert report.other_changes == ()


SETTINGS = {
    "PRAGMA user_version = 7": ["user_version: 0 -> 7"],
    "PRAGMA application_id = 9": ["application_id: 0 -> 9"],
    "PRAGMA journal_mode = WAL": ["journal_mode: delete -> wal"],
    "PRAGMA auto_vacuum = FULL; VACUUM": ["auto_vacuum: 0 -> 1"],
    "PRAGMA page_size = 8192; VACUUM": ["page_size: 4096 -> 8192"],
    "PRAGMA synchronous = OFF; PRAGMA cache_size = 10; PRAGMA journal_mode = MEMORY": [],
}


@pytest.mark.parametrize("script", SETTINGS)
def test_a_setting_that_stays_in_the_file_is_an_effect(path: Path, script: str) -> None:
    """It is named with its value before and after; one of the connection alone is none."""
    report = _dry(path, script)
    assert list(report.other_changes) == SETTINGS[script]
    assert Report(databases=(report,)).has_effects == bool(SETTINGS[script])


def test_a_database_that_leaves_the_write_ahead_log_says_so(path: Path) -> None:
    """The copy has the journal mode of the original, so that leaving it is seen."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert _dry(path, "SELECT 1").other_changes == ()
    assert _dry(path, "PRAGMA journal_mode = DELETE").other_changes == ("journal_mode: wal -> delete",)


def test_the_encoding_of_a_new_database_is_named(tmp_path: Path) -> None:
    """It can be chosen as long as the file is empty, and never again."""
    path = tmp_path / "empty.db"
    path.touch()
    report = _dry(path, "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (id)")
    assert report.schema_changes == ("created table t",)
    assert report.other_changes == ("encoding: UTF-8 -> UTF-16le",)
