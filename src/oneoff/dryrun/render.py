"""The report of a run's effects as text, from its JSON document: the store keeps that, and no more of it.

Reports that an earlier version stored have not all of the fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from oneoff.dryrun import limits

_LEVELS = {
    "static": "nothing was executed",
    "preview": "read-only, up to the first write",
    "sealed": "executed for real in a transaction that the database refuses to commit",
    "copy": "executed for real on a throw-away copy",
}
_GUARDS = {
    "audit hook": "audit hook: what Python tells of (files, network, processes, signals) is refused",
    "landlock": "landlock: the kernel refuses it, whoever tries",
}
_COMMAND = (
    "it ran for real, and the kernel let it change nothing that stays. What it would do, it says itself."
)
_OUTSIDE: dict[bool | None, str] = {
    None: "Outside the database, recorded and not called",
    True: "Outside the database, called after the commit",
    False: "Outside the database, not called",
}
_COMMITTED: dict[bool | None, str] = {
    None: "NOT KNOWN whether this was committed, or not in every database: see the error.",
    True: "Effects of the run, committed at its end.",
    False: "NOTHING WAS COMMITTED: these are the effects that the run would have had.",
}
_SQL_WIDTH = 100
_VALUE_WIDTH = 60


def render(document: Mapping[str, Any]) -> str:
    """The text for people of what :meth:`~oneoff.dryrun.report.Report.document` gives."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    databases: Sequence[Mapping[str, Any]] = document["databases"]
    yield from _head(document)
    if not document["complete"]:
        yield "INCOMPLETE: the task ended early. The counts are what was seen until there, not all of it."
    for database in databases:
        yield ""
        yield f"{database['database']} ({database['level']})"
        yield from _database(database)
    if document["effects"]:
        yield ""
        yield from _list(
            _OUTSIDE[document.get("committed")],
            (f"{effect['description']} ({effect['call']})" for effect in document["effects"]),
        )
    if databases and not document["has_effects"] and _seen(document):
        yield ""
        yield "No change was seen in the database."
    yield from _stopped(document)
    yield from _not_covered(document)


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("real"):
        yield from _real(document)
        return
    databases: Sequence[Mapping[str, Any]] = document["databases"]
    levels = list(dict.fromkeys(database["level"] for database in databases))
    command = document.get("command")  # younger than the first reports
    if command:
        yield f"Dry run of a command, level {document['level']}: {_COMMAND}"
        yield f"Ran: {_one_line(' '.join(command))}"
        return
    if not levels:
        yield "Dry run: no database was sealed, because the app declares none."
    for level in levels:
        yield f"Dry run, level {level}: {_LEVELS[level]}."


def _real(document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("expected"):
        within = "goes beyond" if document["exceeded"] else "was held against"
        yield f"The run {within} the report of {document['expected']}."
        yield from (f"  {problem}" for problem in document["exceeded"])
    yield _COMMITTED[document["committed"]]


def _database(database: Mapping[str, Any]) -> Iterator[str]:
    changed = [table for table in database["tables"] if any(_rows(table))]
    if changed:
        yield from _table(
            ("table", "inserted", "updated", "deleted"),
            ((table["table"], *(f"{rows:,}" for rows in _rows(table))) for table in changed),
            names_first=True,
        )
        notes = (f"{table['table']}: not exact, {table['note']}" for table in changed if table.get("note"))
        yield from (f"    {note}" for note in notes)
        yield from _list("  some of the rows", map(_sample, database.get("samples", ())), indent="    ")
    elif database["measured"]:
        yield "  no rows changed"
    yield from _list("  schema changes", database["schema_changes"], indent="    ")
    yield from _list("  other changes", database.get("other_changes", ()), indent="    ")
    locks = (f"{lock['table']} {lock['mode']}: {lock['blocks']}" for lock in database.get("locks", ()))
    yield from _list("  locks at the end, and whom they keep waiting", locks, indent="    ")
    if database["statements"]:
        yield "  statements"
        yield from _table(
            ("times", "rows", "seconds", "sql"),
            (
                (f"{one['times']:,}", f"{one['rows']:,}", f"{one['seconds']:.3f}", _one_line(one["sql"]))
                for one in database["statements"]
            ),
            names_first=False,
        )
    if database["statements_left_out"]:
        yield f"    and {database['statements_left_out']:,} other statements"
    if database["counting"]:
        yield f"  rows: {database['counting']}"


def _sample(sample: Mapping[str, Any]) -> str:
    key = ", ".join(f"{name}={_value(value)}" for name, value in sample["key"].items())
    words = [sample["table"], key or "(no primary key)", sample["change"]]
    before, after = sample["before"], sample["after"]
    if before is None and after is None:
        words.append(", ".join(sample["columns"]))
    elif before is not None and after is not None:
        words += [
            f"{name}: {_value(before.get(name))} -> {_value(after.get(name))}" for name in sample["columns"]
        ]
    else:
        words += [f"{name}={_value(value)}" for name, value in (after or before or {}).items()]
    return " ".join(filter(None, words))


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_WIDTH else text[: _VALUE_WIDTH - 1] + "…"


def _seen(document: Mapping[str, Any]) -> bool:
    """Whether the databases were looked at, and would have shown a change."""
    return document["complete"] and not document.get("command") and all(map(_is_sure, document["databases"]))


def _is_sure(database: Mapping[str, Any]) -> bool:
    return bool(database["measured"]) and not database["attempts"]


def _stopped(document: Mapping[str, Any]) -> Iterator[str]:
    attempts = list(document.get("attempts", ()))  # younger than the first reports
    attempts += [attempt for database in document["databases"] for attempt in database["attempts"]]
    if attempts:
        yield ""
        yield from _list("STOPPED: what the task tried and a dry run does not allow", attempts)


def _not_covered(document: Mapping[str, Any]) -> Iterator[str]:
    """What is so in this dry run; what is so in each of its kind is counted."""
    parts = (document, *document["databases"])
    gaps = dict.fromkeys(gap for part in parts for gap in part["not_covered"])
    special = [gap for gap in gaps if gap not in limits.STANDING]
    if len(special) < len(gaps):
        special.append(f"and what this level never holds or sees: see {limits.PAGE}, or -o json")
    yield ""
    yield from _list("Not covered", special)
    guard = document["guard"]
    yield f"Guard against effects outside the database: {_GUARDS.get(guard, guard)}"


def _rows(table: Mapping[str, Any]) -> tuple[int, int, int]:
    return table["inserted"], table["updated"], table["deleted"]


def _list(title: str, entries: Iterable[str], indent: str = "  ") -> Iterator[str]:
    found = list(entries)
    if found:
        yield title
        yield from (f"{indent}{entry}" for entry in found)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, names_first: bool) -> Iterator[str]:
    """Aligned columns: numbers to the right; names to the left, in the first column or the last."""
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    name = 0 if names_first else len(header) - 1
    for row in table:
        cells = (
            cell.ljust(width) if column == name else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield ("    " + "  ".join(cells)).rstrip()


def _one_line(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= _SQL_WIDTH else line[: _SQL_WIDTH - 1] + "…"
