"""Which statements the wire carries out itself, by their text."""

from __future__ import annotations

import pytest

from oneoff.databases.postgres.wire.commands import Kind, command, own_name, plain_name, rows

KNOWN = [
    ("BEGIN", Kind.BEGIN, "BEGIN"),
    ("begin;", Kind.BEGIN, "BEGIN"),
    ("BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE", Kind.BEGIN, "BEGIN"),
    ("/* app */ BEGIN TRANSACTION -- why\n", Kind.BEGIN, "BEGIN"),
    ("start  transaction read only", Kind.BEGIN, "START TRANSACTION"),
    ("COMMIT", Kind.COMMIT, "COMMIT"),
    ("END WORK", Kind.COMMIT, "COMMIT"),
    ("commit and no chain ;", Kind.COMMIT, "COMMIT"),
    ("ROLLBACK", Kind.ROLLBACK, "ROLLBACK"),
    ("ABORT TRANSACTION", Kind.ROLLBACK, "ROLLBACK"),
    ("ROLLBACK TO here", Kind.ROLLBACK_TO, "ROLLBACK"),
    ('ROLLBACK WORK TO SAVEPOINT "He re"', Kind.ROLLBACK_TO, "ROLLBACK"),
    ("savepoint here", Kind.SAVEPOINT, "SAVEPOINT"),
    ("RELEASE here", Kind.RELEASE, "RELEASE"),
    ("COPY t (a, b) FROM STDIN WITH (DELIMITER ';')", Kind.COPY_IN, "COPY"),
    ("copy t from stdin", Kind.COPY_IN, "COPY"),
    ("DEALLOCATE PREPARE x", Kind.DEALLOCATE, "DEALLOCATE"),
    ("DEALLOCATE ALL", Kind.DEALLOCATE, "DEALLOCATE"),
    ("DISCARD ALL", Kind.CLEAN, "DISCARD ALL"),
    ("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;", Kind.CLEAN, "RESET"),
]

OTHERS = [
    "", ";", "SELECT 1", "BEGIN; DELETE FROM t; COMMIT", "COMMIT; SELECT 1", "COMMIT AND CHAIN",
    "COMMIT PREPARED 'x'", "COPY t TO STDOUT", "COPY t FROM '/etc/passwd'", "COPY t FROM STDIN; COMMIT",
    "CLOSE ALL; COMMIT", "CLOSE c", "RESET search_path", "beginning", "START", "ROLLBACK PREPARED 'x'",
    "SELECT 'COMMIT'", "release a; release b",
    "/* COMMIT", "\0BEGIN",
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "tag"), KNOWN)
def test_known(text: str, kind: Kind, tag: str) -> None:
    """However it is written, and with the tag that a server would give."""
    found = command(text)
    assert found is not None
    assert (found.kind, found.tag) == (kind, tag)


@pytest.mark.parametrize("text", OTHERS)
def test_others_go_to_the_server(text: str) -> None:
    """Several statements, too: what is in there meets the seal."""
    assert command(text) is None


def test_names() -> None:
    """Folded and quoted as SQL does, and apart from those of other tenants."""
    assert own_name(3, "Here") == '"_oneoff_t3_here"'
    assert own_name(3, '"He ""re"') == '"_oneoff_t3_He ""re"'
    assert plain_name('"He ""re"') == 'He "re'
    assert plain_name("Here") == "here"


@pytest.mark.parametrize(
    ("tag", "number"), [("INSERT 0 5", 5), ("DELETE 0", 0), ("SELECT 12", 12), ("BEGIN", -1), ("", -1)]
)
def test_rows(tag: str, number: int) -> None:
    """From the end of a command tag."""
    assert rows(tag) == number
