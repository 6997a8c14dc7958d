"""A client's prepared statements and portals, which have other names in the shared session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from oneoff.databases.postgres.tenants import only_reads
from oneoff.databases.postgres.wire.commands import Command, Kind, command, plain_name
from oneoff.databases.postgres.wire.literals import Said, said
from oneoff.databases.postgres.wire.messages import CLOSE, PARSE, frame, split_text

_numbers = count(1)

_CURSOR_COMMAND = re.compile(
    r'\s*(?:fetch|move|close)\b.*?(?P<name>"[^"]+"|\w+)[\s;]*', re.IGNORECASE | re.DOTALL
)

STATEMENT, PORTAL = b"S", b"P"


@dataclass
class Statement:
    """One prepared statement."""

    name: bytes
    """In the session; empty where the server never sees it."""
    parse: bytes
    """The message that prepares it."""
    said: Said
    reads: bool
    command: Command | None
    """Set where the wire carries it out itself."""
    forgotten: int | None = None
    """How often the session had given up all statements when this was prepared; None before."""


@dataclass
class Portal:
    """One statement that is bound."""

    name: bytes
    statement: Statement


class Names:
    """What a client's own names stand for. The names in the session are never used twice."""

    def __init__(self) -> None:
        self._statements: dict[bytes, Statement] = {}
        self._portals: dict[bytes, Portal] = {}
        self._given_up: list[bytes] = []

    def prepare(self, body: bytes) -> Statement:
        """The statement of a Parse message. Raises Malformed."""
        own, rest = split_text(body)
        text = split_text(rest)[0].decode("utf-8", "replace")
        known = command(text)
        if known is not None and known.kind is Kind.CLEAN and len(known.tags) > 1:
            known = None  # the server refuses to prepare several statements
        self.forget_statement(own)
        name = b"" if known else b"_oneoff_s%d" % next(_numbers)
        parse = frame(PARSE, name + b"\0" + rest)
        statement = Statement(name, parse, said(text, hides=False), only_reads(text), known)
        self._statements[own] = statement
        return statement

    def bind(self, own: bytes, statement: Statement) -> Portal:
        """A portal for a statement."""
        self.forget_portal(own)
        portal = Portal(b"" if statement.command else b"_oneoff_p%d" % next(_numbers), statement)
        self._portals[own] = portal
        return portal

    def statement(self, own: bytes) -> Statement | None:
        return self._statements.get(own)

    def portal(self, own: bytes) -> Portal | None:
        return self._portals.get(own)

    def in_cursor_command(self, text: str) -> str:
        """``FETCH``, ``MOVE`` and ``CLOSE`` call portals by their names, too: the text with the session's."""
        found = _CURSOR_COMMAND.fullmatch(text)
        portal = self._portals.get(plain_name(found["name"]).encode()) if found else None
        if found is None or portal is None or not portal.name:
            return text
        return f"{text[: found.start('name')]}{portal.name.decode()}"

    def forget_statement(self, own: bytes) -> bool:
        """Give it up; whether there was one."""
        statement = self._statements.pop(own, None)
        if statement is not None and statement.name:
            self._given_up.append(frame(CLOSE, STATEMENT + statement.name + b"\0"))
        return statement is not None

    def forget_portal(self, own: bytes) -> None:
        portal = self._portals.pop(own, None)
        if portal is not None and portal.name:
            self._given_up.append(frame(CLOSE, PORTAL + portal.name + b"\0"))

    def forget_portals(self) -> None:
        """All of them, as the end of a transaction does."""
        for own in list(self._portals):
            self.forget_portal(own)

    def forget_all(self) -> None:
        self.forget_portals()
        for own in list(self._statements):
            self.forget_statement(own)

    def closings(self) -> Iterator[bytes]:
        """The messages that tell the server what was given up, each once."""
        given_up, self._given_up = self._given_up, []
        yield from given_up
