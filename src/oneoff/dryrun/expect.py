"""Whether a real run goes beyond what its dry run found. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oneoff.dryrun.report import DatabaseReport
from oneoff.errors import UsageError

_CHANGES = ("inserted", "updated", "deleted")
_MILLION = 1_000_000
_ESTIMATE = re.compile(r" \(about [^)]*\)$")
_PERCENT = re.compile(r"(?P<whole>[0-9]{1,6})(?:\.(?P<part>[0-9]{1,4}))?\s*%?")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The report of an earlier dry run, as a limit."""

    name: str
    """Which report it is, for people."""
    databases: Sequence[Mapping[str, Any]]
    """As in the report's document."""
    tolerance: int = 0
    """By how much each count may be exceeded, in millionths of it."""

    def exceeded_by(self, databases: Sequence[DatabaseReport]) -> tuple[str, ...]:
        """What goes beyond the limit, in words; the databases of both are in the app's order."""
        if len(databases) != len(self.databases):
            return (f"databases: {len(databases)}, and the dry run had {len(self.databases)}",)
        return tuple(
            problem
            for expected, found in zip(self.databases, databases, strict=True)
            for problem in self._of_database(expected, found)
        )

    def _of_database(self, expected: Mapping[str, Any], found: DatabaseReport) -> Iterator[str]:
        if not found.measured:
            yield f"{found.database}: its rows could not be counted"
        limits = {table["table"]: table for table in expected["tables"]}
        for table in found.tables:
            for change in _CHANGES:
                count, was = getattr(table, change), limits.get(table.table, {}).get(change, 0)
                if (count - was) * _MILLION > was * self.tolerance:
                    yield f"{table.table}: {count:,} {change}, and the dry run had {was:,}"
        then, now = (
            dict.fromkeys(_ESTIMATE.sub("", change) for change in changes)
            for changes in (expected["schema_changes"], found.schema_changes)
        )
        yield from (f"{change}, and the dry run had not" for change in now if change not in then)
        yield from (f"not {change}, as the dry run had" for change in then if change not in now)


def expectation(name: str, document: Any, tolerance: int) -> Expectation:
    """The expectation that a report's document is, or the document of a run that has one.

    Raises:
        UsageError: it is no such document, or a report that limits nothing.
    """
    report = document.get("dry_run_report", document) if isinstance(document, Mapping) else None
    databases = report.get("databases") if isinstance(report, Mapping) else None
    if report is None or not isinstance(databases, list) or not all(map(_is_database, databases)):
        raise UsageError(f"{name} has no report of a dry run", next_step="name a run with --dry-run")
    attempts = [*report.get("attempts", ()), *(tried for one in databases for tried in one["attempts"])]
    for problem, there in (
        ("is incomplete: its task ended early", not report.get("complete", False)),
        ("is of a dry run that failed", bool(attempts)),
        ("has no counts", not all(one["measured"] for one in databases)),
        ("names no database", not databases),
    ):
        if there:
            raise UsageError(f"the report of {name} {problem}", next_step="make a new dry run")
    return Expectation(name=name, databases=databases, tolerance=tolerance)


def _is_database(entry: Any) -> bool:
    needed = {"tables": list, "schema_changes": list, "attempts": list, "measured": bool}
    return isinstance(entry, Mapping) and all(
        isinstance(entry.get(name), kind) for name, kind in needed.items()
    )


def tolerance(text: str) -> int:
    """``5%`` in millionths. Raises UsageError."""
    found = _PERCENT.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no percentage, such as 5%")
    return int(found["whole"]) * 10_000 + int((found["part"] or "").ljust(4, "0"))
