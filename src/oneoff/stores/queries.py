"""Reads the hand-written SQL beside it: named blocks, and scripts of several statements."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)


@cache
def load(file: str) -> dict[str, str]:
    """The blocks of a file by the names in their ``-- name:`` lines."""
    return blocks(script(file))


def blocks(text: str) -> dict[str, str]:
    """The same of a text."""
    _, *parts = _NAME.split(text)
    return {
        name: _COMMENT.sub("", block).strip() for name, block in zip(parts[::2], parts[1::2], strict=True)
    }


def script(file: str) -> str:
    """The whole text of a file."""
    return (_FOLDER / file).read_text("utf-8")
