"""Whether a real run goes beyond its dry run: counts within a tolerance, the same tables, the same schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oneoff.dryrun.expect import Expectation, expectation, tolerance
from oneoff.dryrun.report import DatabaseReport, Report, TableEffect
from oneoff.errors import UsageError


def _database(*tables: TableEffect, **fields: Any) -> DatabaseReport:
    return DatabaseReport(database="sqlite shop.db", level="copy", tables=tables, **fields)


def _expected(*databases: DatabaseReport, percent: str = "0%") -> Expectation:
    document = json.loads(json.dumps(Report(databases=databases).document()))
    return expectation("run x", document, tolerance(percent))


@pytest.mark.parametrize(
    "percent, most", [("0%", 100), ("5%", 105), ("15", 115), ("0.5%", 100), ("1.5 %", 101), ("100%", 200)]
)
def test_a_count_may_be_exceeded_up_to_the_tolerance(percent: str, most: int) -> None:
    """Exactly, without the rounding of binary fractions."""
    limit = _expected(_database(TableEffect(table="t", updated=100)), percent=percent)
    assert limit.exceeded_by([_database(TableEffect(table="t", updated=most))]) == ()
    assert limit.exceeded_by([_database(TableEffect(table="t", updated=most + 1))]) == (
        f"t: {most + 1} updated, and the dry run had 100",
    )


def test_fewer_changes_exceed_nothing() -> None:
    """The dry run is a limit, not a goal."""
    limit = _expected(_database(TableEffect(table="t", deleted=9), TableEffect(table="u", inserted=1)))
    assert limit.exceeded_by([_database()]) == ()


def test_another_table_and_another_kind_of_change_exceed_it() -> None:
    """Whatever the tolerance: a share of nothing is nothing."""
    limit = _expected(_database(TableEffect(table="t", deleted=9)), percent="100%")
    found = _database(TableEffect(table="t", inserted=1), TableEffect(table="u", updated=1234))
    assert limit.exceeded_by([found]) == (
        "t: 1 inserted, and the dry run had 0",
        "u: 1,234 updated, and the dry run had 0",
    )


def test_the_schema_has_to_change_in_the_same_way() -> None:
    """Estimates of rows, which nobody can promise, are left out."""
    limit = _expected(_database(schema_changes=("dropped table t (about 9 rows before)", "created index i")))
    assert limit.exceeded_by([_database(schema_changes=("dropped table t (about 7 rows before)",))]) == (
        "not created index i, as the dry run had",
    )
    assert limit.exceeded_by(
        [_database(schema_changes=("created index i", "created view v", "dropped table t"))]
    ) == ("created view v, and the dry run had not",)


def test_what_cannot_be_counted_is_not_within() -> None:
    """Nor are more databases than the dry run had."""
    limit = _expected(_database())
    assert limit.exceeded_by([_database(measured=False)]) == (
        "sqlite shop.db: its rows could not be counted",
    )
    assert limit.exceeded_by([_database(), _database()]) == ("databases: 2, and the dry run had 1",)


@pytest.mark.parametrize(
    "document, why",
    [
        (Report(databases=()).document(), "names no database"),
        (Report(databases=(_database(),), complete=False).document(), "is incomplete"),
        (Report(databases=(_database(),), attempts=("tried",)).document(), "of a dry run that failed"),
        (Report(databases=(_database(attempts=("tried",)),)).document(), "of a dry run that failed"),
        (Report(databases=(_database(measured=False),)).document(), "has no counts"),
        ({"dry_run_report": None}, "has no report of a dry run"),
        ({"databases": [{"tables": 1}]}, "has no report of a dry run"),
        ([], "has no report of a dry run"),
        (7, "has no report of a dry run"),
    ],
)
def test_a_report_that_limits_nothing_is_refused(document: Any, why: str) -> None:
    """Before anything runs, with what is wrong with it."""
    with pytest.raises(UsageError, match=why):
        expectation("run x", document, 0)


@pytest.mark.parametrize("text", ["", "five", "-1%", "5%%", "1e3", "0.00001%"])
def test_a_tolerance_is_a_percentage(text: str) -> None:
    """Anything else is not guessed at."""
    with pytest.raises(UsageError, match="no percentage"):
        tolerance(text)
