"""The hand-written SQL beside it, as named blocks and as scripts, and what a search asks of it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from oneoff.protocols import EventQuery
from oneoff.types import rfc3339

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


def conditions(query: EventQuery) -> dict[str, Any]:
    """What a search asks for, as the statements' values; the names of an actor are the store's affair."""
    values: dict[str, Any] = {
        "table": query.table,
        "run_id": query.run_id,
        "type": query.type,
        "task": query.task,
        "environment": query.environment,
        "measured": query.measured,
        "status": None if query.status is None else query.status.value,
        "since": None if query.since is None else rfc3339(query.since),
        "until": None if query.until is None else rfc3339(query.until),
    }
    return {name: value for name, value in values.items() if value is not None}
