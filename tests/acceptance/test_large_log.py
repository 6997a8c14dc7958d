"""A log of some size: verified as a whole, and searched by its indexes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from benchmarks.fill import fill, fill_postgres
from benchmarks.verify import filters

from oneoff.audit.verify import verify
from oneoff.protocols import RunQuery
from tests.postgres import Server


def test_what_the_benchmark_fills_is_a_whole_log(tmp_path: Path) -> None:
    """Else it would measure something else: bodies, columns, tree and runs are what runs leave."""
    store = fill(tmp_path / "store.db", 2_000)
    found = verify(store.events(), store.checkpoint, lambda _: False)
    assert (found.size, found.problems) == (6_000, ())
    assert len(store.find(RunQuery())) == 2_000


def test_no_filter_sorts_or_reads_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plans of a store without statistics, which is what every user has."""
    store = fill(tmp_path / "store.db", 200)
    plans, read = list[str](), store._read
    sorted_with = list[list[str]]()  # of each sort the steps beside it: what is sorted there

    def explained(sql: str, values: Mapping[str, Any]) -> Any:
        if "LIMIT" in sql:
            steps = store._connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            plans.extend(words for *_, words in steps)
            for _, above, _, words in steps:
                if "TEMP B-TREE" in words:
                    sorted_with.append([beside for _, parent, _, beside in steps if parent == above])
        return read(sql, values)

    monkeypatch.setattr(store, "_read", explained)
    for words, look in filters(200).items():
        plans.clear()
        sorted_with.clear()
        look(store)
        few = words in ("runs, under way", "runs, id")  # what is sorted then is little
        # So are the log's tail, of fewer than 256 events, and what a part has been limited to already.
        few_too = ("SEARCH found USING INTEGER PRIMARY KEY (rowid>?)", "SCAN (subquery")
        for steps in sorted_with:
            assert few or any(step.startswith(few_too) for step in steps), (words, plans)
        assert not any(plan in ("SCAN run", "SCAN event") for plan in plans), (words, plans)


def test_the_plans_of_postgresql(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table and a time are one range of one index: by the events' own, all of that time would be read.

    The server expects the log's tail to be short: else it starts workers for it, or compiles its plan. A page
    of the log is read from its first event on, in the index, too.
    """
    store, asked = fill_postgres(postgres, "large_log", 300), list[tuple[str, Any]]()

    def ask(statement: str, values: Any) -> list[Any]:
        asked.append((statement, values))
        return []

    try:
        found = verify(store.events(), store.checkpoint, lambda _: False)
        assert (found.size, found.problems) == (900, ())
        with monkeypatch.context() as patched:
            patched.setattr(store._link, "ask", ask)
            for words in ("log, table since", "log, table until"):
                filters(300)[words](store)
        for statement, values in asked:
            plan = [line for (line,) in store._link.ask(f"EXPLAIN {statement}", values)]
            scan = next(at for at, line in enumerate(plan) if "audit_event_table counted" in line)
            condition = " ".join(plan[scan : scan + 2])
            assert "name = " in condition and '"time" ' in condition, plan
        for words in ("log, all", "log, actor", "log, until"):
            asked.clear()
            with monkeypatch.context() as patched:
                patched.setattr(store._link, "ask", ask)
                filters(300)[words](store)
            statement, values = asked[-1]
            plan = [line for (line,) in store._link.ask(f"EXPLAIN {statement}", values)]
            [tail] = [line for line in plan if "on audit_event found" in line]
            assert int(tail.partition("rows=")[2].split()[0]) <= 900 / 100, plan
        page = store.statements["scan_events"].partition("FOR\n")[2].partition(";")[0]
        merging = "".join(f"SET LOCAL enable_{way} = off;" for way in ("hashjoin", "nestloop", "seqscan"))
        plan = [
            line for (line,) in store._link.ask(f"{merging} EXPLAIN {page}", {"start": 800, "limit": 2000})
        ]
        assert sum("Index Cond: (seq >= GREATEST('800'" in line for line in plan) == 2, plan
    finally:
        store.close()
        postgres.execute("DROP DATABASE large_log WITH (FORCE)")
