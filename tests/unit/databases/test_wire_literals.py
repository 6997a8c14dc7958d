"""Values that a driver has written into a statement are taken out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import QuotedString

from oneoff.databases.postgres.wire.literals import without_literals

CASES = [
    ("SELECT 1", "SELECT %s"),
    ("UPDATE t SET a = 'it''s', b = -1.5e3", "UPDATE t SET a = %s, b = -%s"),
    ("DELETE FROM t WHERE id IN (1,2, 3)", "DELETE FROM t WHERE id IN (%s, …)"),
    ("INSERT INTO t2 (a1) VALUES (1, 'a'), (2, E'b\\\\c')", "INSERT INTO t2 (a1) VALUES (%s, …), …"),
    ('SELECT "a 1", t.c2 FROM "it\'s" t -- 5\n', 'SELECT "a 1", t.c2 FROM "it\'s" t -- 5\n'),
    ("SELECT '2020-01-01'::date, $1, $$ a 1 $$, x'ff'", "SELECT %s, $1, %s, …"),
    ("SELECT now() /* 1 */ - interval '1 day'", "SELECT now() /* 1 */ - interval %s"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), CASES)
def test_cases(text: str, shown: str) -> None:
    """Names, comments and place holders stay."""
    assert without_literals(text) == shown


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_no_value_is_left(value: str) -> None:
    """Whatever psycopg2 quotes, nothing of it is shown."""
    quoted = QuotedString(value)
    quoted.encoding = "utf-8"
    text = quoted.getquoted().decode()
    assert without_literals(f"UPDATE t SET a = {text} WHERE b = {text}") == "UPDATE t SET a = %s WHERE b = %s"
