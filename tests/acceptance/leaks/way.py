"""One way in which a task might write or reach out in a dry run, and what has to become of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any


class Held(Enum):
    """What keeps it from leaving anything behind; the words are those of the page."""

    AUDIT_HOOK = "audit hook"
    LANDLOCK = "landlock"
    COPY = "copy"
    SEALED = "sealed"
    COMMAND = "a command's preview"
    REFUSED = "refused before it starts"
    NOTHING = "**nothing**"


class Ends(Enum):
    """What becomes of the dry run."""

    STOPPED = "the dry run has failed, and the attempt is named"
    UNDONE = "the task runs to its end; its changes are in the report, and none stays"
    ERROR = "the task gets an error of the kernel or the server, and nothing stays"
    REFUSED = "there is no dry run, exit code 3"
    NAMED = "it happens; the report names it"
    LATE = "the report is out by then; it is refused, and said on standard error"


@dataclass(kw_only=True)
class Place:
    """What a way may know of the world that it must not change."""

    folder: Path
    """Nothing in it may change; it has ``data.txt`` and an empty folder ``inner``."""
    port: int
    udp_port: int
    unix: str
    """Where servers listen that nothing may come to."""
    process: int
    """The number of another process."""
    shared: str
    """The name of shared memory that does not exist."""
    database: str
    """The URL of the PostgreSQL that is declared; it has a table ``account``."""
    other: str
    """The URL of another database of that server, with a table ``t``; the app does not declare it."""
    served: Path
    """A file that does not exist, where the server itself may write."""
    psql: str
    """Where psql is."""
    links: Path
    """Other names of the SQLite database, ``soft.db`` and ``hard.db``, and a second one, ``other.db``."""
    engine: Any = None
    """SQLAlchemy's engine for the declared database."""
    earlier: Any = None
    """What the way has from before the dry run."""
    kept: list[Any] = field(default_factory=list)
    """What the task forgets to close, for whoever comes after it."""

    @property
    def file(self) -> str:
        return str(self.folder / "data.txt")

    @property
    def new(self) -> str:
        return str(self.folder / "new.txt")

    @property
    def sqlite(self) -> Path:
        """The database file that is declared, with a table ``account``."""
        return self.folder / "database" / "shöp 'n' more.db"


def from_json(text: str) -> Place:
    """The place that ``as_json`` has written, in a process of its own."""
    given: dict[str, Any] = json.loads(text)
    given |= {name: Path(given[name]) for name in ("folder", "served", "links")}
    return Place(**given)


def as_json(place: Place) -> str:
    """What a process of its own is told."""
    given = {name: value for name, value in vars(place).items() if name not in ("engine", "earlier", "kept")}
    return json.dumps(given, default=str)


def nothing(place: Place) -> AbstractContextManager[Any]:
    return nullcontext()


@dataclass(frozen=True)
class Way:
    """A row of the table."""

    name: str
    does: str
    """What it does, in words for the page."""
    code: Callable[[Place], Any]
    says: str
    """What the report says of it: ``{file}`` and the like are the place's, and ``…`` is anything."""
    _: KW_ONLY
    held: Held = Held.AUDIT_HOOK
    ends: Ends = Ends.STOPPED
    before: Callable[[Place], AbstractContextManager[Any]] = nothing
    """Makes ``place.earlier`` before the dry run."""
    journals: tuple[str, ...] = ("wal",)
    """The journal modes of the SQLite file that it is tried with."""
    process: bool = False
    """Whether it needs the installed command in a process of its own: there Landlock is."""
    require: str = ""
    """The level that is demanded, where that is what refuses it."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Group:
    """Ways of one kind."""

    title: str
    database: str = ""
    """What the app declares: nothing, ``sqlite``, ``postgres`` or ``django``."""
    ways: tuple[Way, ...]


def held_by(held: Held, ends: Ends, *ways: Way) -> tuple[Way, ...]:
    """The same end for each."""
    return tuple(replace(way, held=held, ends=ends) for way in ways)
