"""How the effects of a run are to be measured, and what of the changed rows may be told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oneoff.dryrun.report import RowSample, TableEffect
from oneoff.tasks.secret import SECRET_MARK
from oneoff.types import JSON

SAMPLE = 5
"""Changed rows of each table that are told, where nothing else is said."""
_LONGEST = 500
"""Characters of one value that are told."""
SCAN_LIMIT_BYTES = 1 << 30
"""A table larger than this is not read through for its exact changes. Reading a gibibyte takes seconds, while
the run's locks are held."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How much of the effects is wanted."""

    rows: bool = True
    """Net changes by key; else only what costs nothing."""
    sample: int = 0
    """At most so many changed rows of each table."""
    values: bool = False
    """Tell the rows' values, and not their keys and changed columns alone."""
    private: frozenset[str] = frozenset()
    """``TABLE.COLUMN``: columns whose values are never told, in any letter case."""
    keeps: bool = False
    """The run is a real one: what was measured is to stay."""
    holds_others: bool = True
    """Databases that the app does not declare can be read only. A real run that nothing is expected of leaves
    them alone: what it writes there is real, and not counted."""
    scan_limit: int = SCAN_LIMIT_BYTES
    """Bytes: PostgreSQL tables up to this size are read through."""

    def hidden(self, table: str, column: str) -> bool:
        """Whether a column's values must not be told."""
        return f"{table}.{column}".lower() in {name.lower() for name in self.private}


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The changes of one table, with some of the rows."""

    effect: TableEffect
    samples: tuple[RowSample, ...] = ()


Values = Mapping[str, JSON]


def sampled(
    measure: Measure, table: str, key: Sequence[str], before: Values | None, after: Values | None
) -> RowSample:
    """What may be told of one changed row; ``before`` and ``after`` are all its values, None where it is not.

    A column that only one of the two has (it was added or dropped) counts as changed.
    """
    row = after or before or {}

    def told(column: str, value: JSON) -> JSON:
        if measure.hidden(table, column) and value is not None:
            return SECRET_MARK
        return f"{value[:_LONGEST]}…" if isinstance(value, str) and len(value) > _LONGEST else value

    changed: tuple[str, ...] = ()
    if before is not None and after is not None:
        names = dict.fromkeys((*after, *before))
        changed = tuple(
            name
            for name in names
            if (name in before) != (name in after) or before.get(name) != after.get(name)
        )

    def shown(values: Values | None) -> Values | None:
        if values is None or not measure.values:
            return None
        return {name: told(name, value) for name, value in values.items() if not changed or name in changed}

    return RowSample(
        table=table,
        change="deleted" if after is None else "inserted" if before is None else "updated",
        key={column: told(column, row[column]) for column in key if column in row},
        columns=changed,
        before=shown(before),
        after=shown(after),
    )
