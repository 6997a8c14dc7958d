"""Values of the settings file: each reader returns what it is given in its place, or says what is wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from datetime import timedelta
from typing import Any, TypeVar

from oneoff.errors import InvalidSettings, did_you_mean

T = TypeVar("T")

LEVELS = ("static", "preview", "sealed", "copy")
"""How a dry run may be held, from the weakest to the strongest."""
GUARDS = ("audit-hook", "landlock")
"""What may hold a task outside of its databases, from the weaker to the stronger."""
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


def tables(table: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    entries = table.get(key, {})
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise InvalidSettings(f"[tool.oneoff.{key}] holds one table for each name")
    return entries


def only(table: dict[str, Any], known: Set[str], where: str) -> None:
    """A misspelt ``protected`` must not be a silent no."""
    for key in table:
        if key not in known:
            raise InvalidSettings(f"[{where}] has no key {key!r}{did_you_mean(key, known)}")


def get(table: dict[str, Any], key: str, read: Callable[[Any], T], where: str) -> T | None:
    if key not in table:
        return None
    try:
        return read(table[key])
    except ValueError as error:
        value = "" if isinstance(table[key], dict) else f" = {table[key]!r}"  # variables may be secrets
        raise InvalidSettings(f"[{where}] {key}{value}: {error}") from error


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text is wanted")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A text, or a list of them."""
    return tuple(map(text, value)) if isinstance(value, list) else (text(value),)


def columns(value: Any) -> tuple[str, ...]:
    names = texts(value)
    if not isinstance(value, list) or not all(all(name.rpartition(".")[::2]) for name in names):
        raise ValueError('a list of columns is wanted, such as ["customers.email"]')
    return names


def size(value: Any) -> int:
    found = re.fullmatch("([1-9][0-9]{0,5})(MB|GB|TB)", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('a size is wanted, such as "500MB" or "4GB"')
    return int(found[1]) << {"MB": 20, "GB": 30, "TB": 40}[found[2]]


def levels(value: Any) -> tuple[str, ...]:
    wanted = texts(value)
    if not set(wanted) <= {*LEVELS, *GUARDS}:
        raise ValueError(f"one or more of {', '.join((*LEVELS, *GUARDS))} are wanted")
    return wanted


def hosts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(map(_is_host, value)):
        raise ValueError('a list of hosts with their ports is wanted, such as ["redis:6379"]')
    return tuple(value)


def _is_host(value: Any) -> bool:
    return (
        isinstance(value, str)
        and bool(_HOST.fullmatch(value))
        and 0 < int(value.rpartition(":")[2]) <= 65_535
    )


def days(value: Any) -> timedelta:
    if not isinstance(value, str) or not re.fullmatch("[1-9][0-9]{0,4}d", value):
        raise ValueError('a number of days is wanted, such as "400d"')
    return timedelta(days=int(value[:-1]))


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is wanted")
    return value


def pattern(value: Any) -> str:
    try:
        re.compile(text(value))
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    return str(value)


def arguments(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError('a list of texts is wanted, such as ["npm", "run", "db:migrate"]; no shell runs it')
    return tuple(value)


def variables(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("a table of texts is wanted")
    wrong = [name for name, item in value.items() if not isinstance(item, str)]
    if wrong:
        raise ValueError(f"a table of texts is wanted, and {', '.join(wrong)} is none")
    return value


def nature(value: Any) -> str:
    if value not in ("one-shot", "migration", "resumable"):
        raise ValueError('"one-shot", "migration" or "resumable" is wanted')
    return str(value)


def seconds(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError("a number of seconds above 0 is wanted")
    try:
        return timedelta(seconds=value)
    except OverflowError:
        raise ValueError(f"it is at most {timedelta.max.total_seconds():.0f} seconds") from None
