"""Calls by libpq's own messages carry what psycopg's cursor would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from oneoff.stores.postgres_call import Calls

SENT: list[Any] = [
    ("text", "gr\u00fc\u00df\n'\\%s"),
    ("text", None),
    ("bigint", 2**62),
    ("boolean", True),
    ("bytea", bytes(range(256))),
    ("bytea[]", [b"", b'"\\x00', bytes(range(256))]),
    ("jsonb", '{"a": [1, null]}'),
]
BIG = 8 * 2**20
"""More than the buffers between two processes hold."""


@pytest.fixture(params=[False, True], ids=["at once", "prepared"])
def calls(request: pytest.FixtureRequest, database_url: str) -> Iterator[Calls]:
    with psycopg.connect(database_url, autocommit=True, options="", client_encoding="utf8") as connection:
        made = Calls(connection.pgconn)
        made.prepares = request.param
        yield made


@pytest.mark.parametrize(("kind", "value"), SENT)
def test_a_value_arrives_as_it_is(kind: str, value: Any, calls: Calls, database_url: str) -> None:
    """The server has what psycopg would have sent; what it gives comes as text, or as a truth."""
    with psycopg.connect(database_url, options="") as other:
        [(expected,)] = other.execute(f"SELECT %s::{kind}::text".encode(), [value]).fetchall()
    for _ in range(2):
        assert calls.call(f"SELECT (%(it)s::{kind})::text, %(more)s::text", {"more": "x", "it": value}) == [
            (expected, "x")
        ]


def test_rows(calls: Calls) -> None:
    """Any number of them, of any width; a value may stand in a statement twice."""
    twice = "SELECT %(a)s::text || %(a)s::text, NULL::text, %(a)s::text = 'x' FROM generate_series(1, 3)"
    assert calls.call(twice, {"a": "x"}) == [("xx", None, True)] * 3
    assert calls.call("SELECT 'x' WHERE false", {}) == []


def test_much(calls: Calls) -> None:
    """Sent and received by the piece."""
    big = "x" * BIG
    [(found,)] = calls.call("SELECT %(big)s::text", {"big": big})
    assert found == big


def test_a_refusal(calls: Calls) -> None:
    """It has its code and its details, and the next call works."""
    for _ in range(2):
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="no number") as caught:
            calls.call("SELECT %(it)s::bigint", {"it": "no number"})
        assert caught.value.sqlstate == "22P02"
        assert caught.value.diag.severity == "ERROR"
    assert calls.call("SELECT 'still here'", {}) == [("still here",)]


def test_a_connection_that_is_gone(calls: Calls) -> None:
    """It is an error of psycopg's, as from a cursor."""
    with pytest.raises(psycopg.OperationalError):
        calls.call("SELECT pg_terminate_backend(pg_backend_pid())::text", {})
    with pytest.raises(psycopg.OperationalError):
        calls.call("SELECT 'lost'", {})
