"""Values that a driver has written into a statement. Pure.

psycopg2 fills in its parameters itself, so that what reaches the server is one text with the values in it.
The report shows statements without the values that the driver was given apart, so here they are taken out.
Source: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<kept>"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|[A-Za-z_][\w$]*(?!['\w$])|\$\d+)"""
    r"""|(?:\b[EeBbXx]|\b[Uu]&)?'(?:[^']|'')*'(?:::\w+)?"""
    r"""|(?P<tag>\$\w*\$).*?(?P=tag)"""
    r"""|\b\d+(?:\.\d*)?(?:[eE][+-]?\d+)?\b""",
    re.DOTALL,
)
_REPEATED = re.compile(r"%s(?:\s*,\s*%s)+")
_ROWS = re.compile(r"(\((?:%s|, |…)+\))(?:\s*,\s*\((?:%s|, |…)+\))+")


class Said(NamedTuple):
    """A statement of a client."""

    text: str
    """As it was sent."""
    shown: str
    """As the report and messages have it."""


def said(text: str, *, hides: bool) -> Said:
    """``hides``: the client writes values into its statements."""
    return Said(text, without_literals(text) if hides else text)


def without_literals(text: str) -> str:
    """The statement with ``%s`` for each string and number, several in a row and rows of them shortened."""
    bare = _TOKEN.sub(lambda found: found["kept"] or "%s", text)
    return _ROWS.sub(r"\1, …", _REPEATED.sub("%s, …", bare))
