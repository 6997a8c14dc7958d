"""The report as a document, and as text."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from oneoff.dryrun import limits
from oneoff.dryrun.render import render
from oneoff.dryrun.report import (
    DatabaseReport,
    Lock,
    Report,
    RowSample,
    Statement,
    SuppressedEffect,
    TableEffect,
    masked,
)
from oneoff.tasks.masking import Mask

_DATABASE = DatabaseReport(
    database="sqlite data/flights.db",
    level="copy",
    tables=(
        TableEffect(table="flights", updated=12, deleted=128430),
        TableEffect(table="planes", inserted=1),
        TableEffect(table="airports"),
    ),
    schema_changes=("created table x",),
    other_changes=("user_version: 0 -> 7",),
    statements=(Statement(sql="DELETE\n  FROM flights", times=1, rows=128430, seconds=0.31),),
    statements_left_out=3,
    counting="exact",
    not_covered=("child processes",),
)
_REPORT = Report(
    databases=(_DATABASE,),
    effects=(SuppressedEffect(description="notify support", call="shop.mail.send"),),
    guard="none",
)


def _text(report: Report) -> str:
    return render(json.loads(json.dumps(report.document())))


def test_the_document_is_plain_json() -> None:
    """It has the fields of the report, survives JSON, and says whether there are effects."""
    document = json.loads(json.dumps(_REPORT.document()))
    assert document["has_effects"] is True
    assert document["databases"][0]["tables"][0] == {
        "table": "flights",
        "inserted": 0,
        "updated": 12,
        "deleted": 128430,
        "note": "",
    }
    assert document["effects"] == [{"description": "notify support", "call": "shop.mail.send"}]


def test_secrets_are_masked() -> None:
    """Every text; numbers and the words that readers tell apart stay, also for a secret of one letter."""
    found = masked(_REPORT, Mask(["a", "FROM flights", "1"]))
    (database,) = found.databases
    assert (database.level, found.guard, database.measured) == ("copy", "none", True)
    assert database.statements[0].sql == "DELETE\n  ********"
    assert database.tables[0].updated == 12
    assert "shop.m********il" in _text(found)


def test_the_text_for_people() -> None:
    """Level first, then rows aligned, schema, statements, effects, and what is not covered."""
    assert _text(_REPORT) == (
        "Dry run, level copy: executed for real on a throw-away copy.\n"
        "\n"
        "sqlite data/flights.db (copy)\n"
        "    table    inserted  updated  deleted\n"
        "    flights         0       12  128,430\n"
        "    planes          1        0        0\n"
        "  schema changes\n"
        "    created table x\n"
        "  other changes\n"
        "    user_version: 0 -> 7\n"
        "  statements\n"
        "    times     rows  seconds  sql\n"
        "        1  128,430    0.310  DELETE FROM flights\n"
        "    and 3 other statements\n"
        "  rows: exact\n"
        "\n"
        "Outside the database, recorded and not called\n"
        "  notify support (shop.mail.send)\n"
        "\n"
        "Not covered\n"
        "  child processes\n"
        "Guard against effects outside the database: none\n"
    )


def test_what_is_so_in_each_dry_run_is_one_line() -> None:
    """After what is so in this one; the document has all of it."""
    database = DatabaseReport(database="sqlite a.db", level="copy", not_covered=(*limits.SQLITE, "a gap"))
    report = Report(databases=(database,), not_covered=("redis:6379", *limits.AUDIT_HOOK))
    _, _, listed = _text(report).partition("Not covered\n")
    assert listed.splitlines()[:3] == [
        "  redis:6379",
        "  a gap",
        "  and what this level never holds or sees: see docs/reference/leaks.md, or -o json",
    ]
    assert not any(limit in listed for limit in limits.STANDING)


def test_a_task_without_effects_is_said_to_have_none_that_were_seen() -> None:
    """The empty case is a plain sentence, and says no more than what was measured."""
    report = Report(databases=(DatabaseReport(database="sqlite a.db", level="copy"),))
    assert not report.has_effects
    assert "No change was seen in the database." in _text(report)


def test_what_is_not_known_is_not_said() -> None:
    """Incomplete, stopped or unmeasured: never "nothing"; what is wrong comes out loud."""
    empty = DatabaseReport(database="sqlite a.db", level="copy")
    incomplete = _text(Report(databases=(empty,), complete=False))
    stopped = _text(Report(databases=(replace(empty, attempts=("a raw COMMIT",)),)))
    unmeasured = _text(Report(databases=(replace(empty, measured=False, counting="not measured"),)))
    assert incomplete.splitlines()[1].startswith("INCOMPLETE")
    assert "STOPPED" in stopped
    assert "a raw COMMIT" in stopped
    assert "no rows changed" not in unmeasured
    for text in (incomplete, stopped, unmeasured):
        assert "No change" not in text


def test_what_the_guard_stopped_is_told_with_what_the_seals_stopped() -> None:
    """It is an effect that a real run has, it comes out loud, and the guard says what it does."""
    empty = DatabaseReport(database="sqlite a.db", level="copy", attempts=("a raw COMMIT",))
    report = Report(databases=(empty,), guard="audit hook", attempts=("psql was started",))
    assert report.has_effects
    assert report.all_attempts == ("psql was started", "a raw COMMIT")
    assert "  psql was started\n  a raw COMMIT\n" in _text(report)
    assert "effects outside the database: audit hook: what Python tells of" in _text(report)
    assert "No change" not in _text(report)


def test_a_task_without_a_database_is_no_sealed_one() -> None:
    """Where nothing was sealed the text says so."""
    assert _text(Report(databases=())).startswith("Dry run: no database was sealed")


def test_a_command_says_itself_what_it_would_do() -> None:
    """Nothing was counted, so nothing is said to be unchanged; what ran is named."""
    report = Report(databases=(), level="preview", guard="landlock", command=("npm", "run", "plan"))
    assert _text(report).startswith("Dry run of a command, level preview: it ran for real, and the kernel")
    assert "Ran: npm run plan\n" in _text(report)
    assert "No change" not in _text(report)
    assert not report.has_effects


def test_a_schema_change_is_an_effect() -> None:
    """Also one that touches no row."""
    changed = DatabaseReport(database="d", level="sealed", schema_changes=("dropped table x",))
    assert Report(databases=(changed,)).has_effects


def test_another_change_is_an_effect() -> None:
    """A setting or a counter that would stay is never "nothing"."""
    report = Report(databases=(DatabaseReport(database="d", level="copy", other_changes=("f: changed",)),))
    assert report.has_effects
    assert "No change" not in _text(report)


def test_a_report_that_an_earlier_version_stored_can_be_shown() -> None:
    """It has no other changes, and the guard no attempts: the fields are younger."""
    document = _REPORT.document()
    del document["attempts"]
    database = asdict(_DATABASE)
    del database["other_changes"]
    text = render({**document, "databases": [database]})
    assert "created table x" in text
    assert "other changes" not in text


def test_the_rows_and_locks_are_rendered() -> None:
    """Keys, what changed, and what is not exact, in lines that can be read."""
    database = replace(
        _DATABASE,
        tables=(TableEffect(table="flights", deleted=2, note="it is too large"),),
        samples=(
            RowSample(table="flights", change="deleted", key={"id": 1}),
            RowSample(
                table="flights", change="updated", columns=("a",), before={"a": 1}, after={"a": "x" * 99}
            ),
        ),
        locks=(Lock(table="flights", mode="ShareLock", blocks="every writer"),),
    )
    text = _text(Report(databases=(database,)))
    assert "flights: not exact, it is too large" in text
    assert "flights id=1 deleted\n" in text
    assert 'flights (no primary key) updated a: 1 -> "xxx' in text
    assert "…\n" in text
    assert "flights ShareLock: every writer" in text


def test_secrets_are_masked_in_sampled_rows() -> None:
    """In keys and values; the names of columns and the kind of change stay."""
    sample = RowSample(table="t", change="deleted", key={"id": "hush"}, before={"hush": "a hush", "n": 1})
    assert masked(sample, Mask(["hush", "deleted"])) == RowSample(
        table="t", change="deleted", key={"id": "********"}, before={"hush": "a ********", "n": 1}
    )


def test_a_real_run_says_whether_it_was_committed() -> None:
    """And which report it was held against, with every way in which it went beyond it."""
    text = _text(
        replace(
            _REPORT, real=True, committed=False, expected="run x", exceeded=("t: 2 deleted", "u: 1 deleted")
        )
    )
    assert text.startswith(
        "The run goes beyond the report of run x.\n  t: 2 deleted\n  u: 1 deleted\nNOTHING WAS COMMITTED"
    )
    assert "Outside the database, not called" in text
    text = _text(replace(_REPORT, real=True, committed=True))
    assert text.startswith("Effects of the run, committed at its end.")
    assert _text(replace(_REPORT, real=True)).startswith("NOT KNOWN whether")
