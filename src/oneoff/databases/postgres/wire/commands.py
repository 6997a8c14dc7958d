"""The few statements that the wire carries out itself, because for real each connection has its own session.

Everything else goes to the server as it is, and so does a text of several statements: a COMMIT in there meets
the seal. Pure. Source: https://www.postgresql.org/docs/current/sql-commands.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What such a statement does."""

    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    SAVEPOINT = auto()
    RELEASE = auto()
    ROLLBACK_TO = auto()
    COPY_IN = auto()
    DEALLOCATE = auto()
    CLEAN = auto()
    """Gives up what the session holds; there are others in this one."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One statement of a client."""

    kind: Kind
    tag: str = ""
    """What the server would say when it is done."""
    name: str = ""
    """As it stands in the text: of a savepoint, or of a prepared statement."""
    tags: tuple[str, ...] = ()
    """Of each part of a text that only cleans up."""


_NAME = r'(?P<name>"(?:[^"]|"")+"|\w+)'
_BLOCK = r"(?:\s+(?:work|transaction))?"
_END = _BLOCK + r"(?:\s+and\s+no\s+chain)?"
_FORMS = [
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, tag)
    for pattern, kind, tag in (
        (rf"begin{_BLOCK}[\w\s,]*", Kind.BEGIN, "BEGIN"),
        (r"start\s+transaction\b[\w\s,]*", Kind.BEGIN, "START TRANSACTION"),
        (rf"(?:commit|end){_END}", Kind.COMMIT, "COMMIT"),
        (rf"(?:rollback|abort){_END}", Kind.ROLLBACK, "ROLLBACK"),
        (rf"rollback{_BLOCK}\s+to\s+(?:savepoint\s+)?{_NAME}", Kind.ROLLBACK_TO, "ROLLBACK"),
        (rf"release\s+(?:savepoint\s+)?{_NAME}", Kind.RELEASE, "RELEASE"),
        (rf"savepoint\s+{_NAME}", Kind.SAVEPOINT, "SAVEPOINT"),
        (r"copy\b.+\bfrom\s+stdin\b.*", Kind.COPY_IN, "COPY"),
        (rf"deallocate\s+(?:prepare\s+)?{_NAME}", Kind.DEALLOCATE, "DEALLOCATE"),
    )
]
_CLEANING = [
    (re.compile(pattern, re.IGNORECASE), tag)
    for pattern, tag in (
        (r"discard\s+all", "DISCARD ALL"),
        (r"close\s+all", "CLOSE CURSOR ALL"),
        (r"unlisten\s+\*", "UNLISTEN"),
        (r"reset\s+all", "RESET"),
        (r"select\s+pg_advisory_unlock_all\s*\(\s*\)", "SELECT 1"),
    )
]
_SPACE = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_CANDIDATE = re.compile(
    _SPACE + r"(?P<rest>(?:begin|start|commit|end|rollback|abort|release|savepoint|copy|deallocate|discard"
    r"|close|unlisten|reset|select\s+pg_advisory_unlock_all)\b.*)",
    re.IGNORECASE | re.DOTALL,
)
_QUOTED = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?P<tag>\$\w*\$).*?(?P=tag)|--[^\n]*|/\*.*?\*/", re.DOTALL
)


def command(text: str) -> Command | None:
    """What the text is, where it is one of those statements; None for any other."""
    candidate = _CANDIDATE.match(text)
    if candidate is None:
        return None
    rest = candidate["rest"].strip().rstrip("; \t\r\n")
    if cleaning := _cleaning(rest):
        return cleaning
    if ";" in _QUOTED.sub("''", rest):
        return None
    for form, kind, tag in _FORMS:
        if found := form.fullmatch(rest if kind is Kind.COPY_IN else _bare(rest)):
            return Command(kind=kind, tag=tag, name=found.groupdict().get("name") or "")
    return None


def own_name(number: int, name: str) -> str:
    """The name in the shared session of a savepoint that a tenant calls ``name``, quoted for SQL."""
    plain = name[1:-1] if name.startswith('"') else name.lower()
    return f'"_oneoff_t{number}_{plain}"'


def plain_name(name: str) -> str:
    """A name as the protocol has it, from one in SQL."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def rows(tag: str) -> int:
    """How many rows a command tag says; -1 where it says none."""
    number = tag.rpartition(" ")[2]
    return int(number) if number.isdigit() else -1


def _cleaning(text: str) -> Command | None:
    tags = []
    for part in text.split(";"):
        tag = next((tag for form, tag in _CLEANING if form.fullmatch(part.strip())), None)
        if tag is None:
            return None
        tags.append(tag)
    return Command(kind=Kind.CLEAN, tag=tags[-1], tags=tuple(tags))


def _bare(text: str) -> str:
    """Without the comment that a tool has put after a statement."""
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL).strip()
