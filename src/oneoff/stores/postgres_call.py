"""Calls a function of the store by libpq's own messages: psycopg's cursor costs more than the rest of a call.

While it waits, signals are handled as ever: Ctrl-C ends the wait.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from psycopg import errors, pq

Row = tuple[Any, ...]

_NAMED = re.compile(r"%\((\w+)\)s")
_TEXT, _BINARY = 0, 1
_TRUTH = 16
"""The type boolean, by its fixed number (catalogue pg_type). What else our functions give is text."""


class Calls:
    """Those by one connection, which nobody else uses meanwhile.

    Raises:
        psycopg.Error: the server refused, or the connection is lost.
    """

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        self._pgconn = pgconn
        self._prepared: dict[str, bytes] = {}
        self.prepares = False
        """Whether a statement is prepared by its first call."""

    def call(self, statement: str, values: Mapping[str, Any]) -> list[Row]:
        """One statement with ``%(name)s`` for its values: texts, bytes, numbers, None or lists of bytes."""
        command, names = _numbered(statement)
        given = [_given(values[name]) for name in names]
        formats = [_BINARY if isinstance(values[name], bytes) else _TEXT for name in names]
        if self.prepares:
            self._pgconn.send_query_prepared(self._name(statement, command), given, formats)
        else:
            self._pgconn.send_query_params(command, given, None, formats)
        return _rows(self._answer())

    def _name(self, statement: str, command: bytes) -> bytes:
        name = self._prepared.get(statement)
        if name is None:
            name = b"oneoff_%d" % len(self._prepared)
            self._pgconn.send_prepare(name, command)
            self._answer()
            self._prepared[statement] = name
        return name

    def _answer(self) -> pq.abc.PGresult:
        self._wait(self._pgconn.flush, select.POLLIN | select.POLLOUT)
        found: list[pq.abc.PGresult] = []
        while True:
            self._wait(self._pgconn.is_busy, select.POLLIN)
            result = self._pgconn.get_result()
            if result is None:
                break
            found.append(result)
        if not found:
            raise errors.OperationalError("the server gave no answer")
        if found[0].status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(found[0])
        return found[0]

    def _wait(self, unfinished: Callable[[], Any], events: int) -> None:
        if unfinished():
            server = select.poll()
            server.register(self._pgconn.socket, events)
            while True:
                for _, event in server.poll():
                    if event != select.POLLOUT:
                        self._pgconn.consume_input()
                if not unfinished():
                    return


@lru_cache
def _numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """The statement with $1 for the first of these names."""
    names = tuple(dict.fromkeys(_NAMED.findall(statement)))
    return _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", statement).encode(), names


def _given(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"{%s}" % b",".join(b'"\\\\x%s"' % item.hex().encode() for item in value)
    return str(value).encode()


def _rows(result: pq.abc.PGresult) -> list[Row]:
    read = [_truth if result.ftype(column) == _TRUTH else _text for column in range(result.nfields)]
    return [
        tuple(
            None if (value := result.get_value(row, column)) is None else read[column](value)
            for column in range(result.nfields)
        )
        for row in range(result.ntuples)
    ]


def _truth(value: bytes) -> bool:
    return value == b"t"


def _text(value: bytes) -> str:
    return value.decode()
