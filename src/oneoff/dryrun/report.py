"""The report of a dry run: the level that was in force, what would change, and what was not covered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from oneoff.tasks.masking import Mask
from oneoff.types import JSON, JSONObject

_Part = TypeVar("_Part")
_OUR_WORDS = frozenset({"level", "guard", "change", "mode"})
"""Fields whose values readers tell apart; no text of the task is in them."""


@dataclass(frozen=True, kw_only=True)
class TableEffect:
    """Rows of one table that a real run would change."""

    table: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    note: str = ""
    """Why the counts are not the exact net changes by key; empty where they are."""

    @property
    def changed(self) -> bool:
        return bool(self.inserted or self.updated or self.deleted)


@dataclass(frozen=True, kw_only=True)
class RowSample:
    """One of the changed rows."""

    table: str
    change: str
    """``inserted``, ``updated`` or ``deleted``."""
    key: Mapping[str, JSON] = field(default_factory=dict)
    """The values of its primary key; empty where the table has none."""
    columns: tuple[str, ...] = ()
    """Of an update: the columns that have another value."""
    before: Mapping[str, JSON] | None = None
    """Its values, where they were asked for: those of the changed columns of an update, else all."""
    after: Mapping[str, JSON] | None = None


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The strongest lock that was held on a table at the end."""

    table: str
    mode: str
    """In the database's own word."""
    blocks: str
    """Whom it keeps waiting, in words."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement as the task sent it, without values given apart; equal ones are counted together."""

    sql: str
    times: int
    rows: int
    """Rows that the driver reported, summed; -1s (unknown) left out."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DatabaseReport:
    """What one sealed database saw."""

    database: str
    """What and where, without a password: ``sqlite data/flights.db``, ``postgresql shop on db:5432``."""
    level: str
    """``static``, ``preview``, ``sealed`` or ``copy``, from the weakest to the strongest."""
    measured: bool = True
    """False where rows could not be counted: that no table is listed then says nothing."""
    tables: tuple[TableEffect, ...] = ()
    samples: tuple[RowSample, ...] = ()
    locks: tuple[Lock, ...] = ()
    schema_changes: tuple[str, ...] = ()
    """``created table x`` and the like."""
    other_changes: tuple[str, ...] = ()
    """What else would stay: counters, statistics, settings in the file, tables whose rows are not counted."""
    statements: tuple[Statement, ...] = ()
    statements_left_out: int = 0
    """How many different statements there were beyond those listed."""
    counting: str = ""
    """How the rows were counted, for the reader who wants to know how exact they are."""
    not_covered: tuple[str, ...] = ()
    """What this seal does not hold or does not see."""
    attempts: tuple[str, ...] = ()
    """What makes the dry run fail: what the task tried and the seal stopped (a raw COMMIT, the original
    file), and what a real run's commit would have met (a deferred constraint)."""


@dataclass(frozen=True, kw_only=True)
class SuppressedEffect:
    """A ``ctx.effect``, or a hook of a commit, that was recorded and not called."""

    description: str
    call: str
    """The function's qualified name; its arguments are not shown, they may hold personal data."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole report of one dry run."""

    databases: tuple[DatabaseReport, ...]
    """One for each that was sealed, as they are declared."""
    level: str = ""
    """The weakest of what held it; of a command ``preview``."""
    command: tuple[str, ...] | None = None
    """What ran, where the task is a command: its own, or the one that is declared for its dry run."""
    effects: tuple[SuppressedEffect, ...] = ()
    guard: str = "none"
    """What stops effects outside the database: none, audit hook, landlock."""
    real: bool = False
    """Of a real run whose effects were measured."""
    committed: bool | None = None
    """Of a real run: whether its effects stayed; None where that is not known, or true of some databases."""
    expected: str | None = None
    """Of a real run: the report that it was held against."""
    exceeded: tuple[str, ...] = ()
    """How it exceeds that report; it was not committed then."""
    complete: bool = True
    """False where the task ended early: the counts are then what was seen until there."""
    not_covered: tuple[str, ...] = ()
    """What neither the guard nor the watch over other databases holds."""
    attempts: tuple[str, ...] = ()
    """What the task tried outside of the declared databases and was stopped; each makes the dry run fail."""

    @property
    def has_effects(self) -> bool:
        """Whether a real run would change, send or start anything that was seen."""
        return bool(self.effects or self.attempts) or any(
            database.schema_changes
            or database.other_changes
            or any(table.changed for table in database.tables)
            for database in self.databases
        )

    @property
    def all_attempts(self) -> tuple[str, ...]:
        """Everything that makes the dry run fail, outside of the databases and in them."""
        return (*self.attempts, *(tried for database in self.databases for tried in database.attempts))

    def document(self) -> JSONObject:
        """The report as one JSON object, as ``-o json`` shows it and the store keeps it.

        Its fields are those of the classes here, and ``has_effects``.
        """
        return {**_plain(asdict(self)), "has_effects": self.has_effects}


def masked(part: _Part, mask: Mask) -> _Part:
    """A report, or a part of one, without the secrets that the mask knows; numbers stay."""
    found: Any = part
    if isinstance(part, str):
        found = mask(part)
    elif isinstance(part, Mapping):
        found = {name: masked(value, mask) for name, value in part.items()}
    elif isinstance(part, tuple):
        found = tuple(masked(one, mask) for one in part)
    elif is_dataclass(part) and not isinstance(part, type):
        names = [field.name for field in fields(part) if field.name not in _OUR_WORDS]
        found = replace(part, **{name: masked(getattr(part, name), mask) for name in names})
    return cast("_Part", found)


def _plain(values: Mapping[str, Any]) -> JSONObject:
    return {name: _json(value) for name, value in values.items()}


def _json(value: Any) -> JSON:
    if isinstance(value, Mapping):
        return _plain(value)
    if isinstance(value, tuple):
        return [_json(one) for one in value]
    return round(value, 6) if isinstance(value, float) else cast("JSON", value)
