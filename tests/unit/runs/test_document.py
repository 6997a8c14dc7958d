"""A run as JSON and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.runs.document import from_document, to_document
from oneoff.runs.run import Actor, Outcome, Process, Progress, Release, Run
from oneoff.runs.status import FINAL, Status
from oneoff.types import RunId, TaskName
from tests.records import make_run

text = st.text(st.characters(codec=None), max_size=20)
maybe_text = st.none() | text
numbers = st.integers(0, 2**40)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(text, values, max_size=3)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    status = draw(st.sampled_from(Status))
    ending = st.builds(
        Outcome,
        status=st.just(status),
        exit_code=st.none() | numbers,
        error=maybe_text,
        traceback=maybe_text,
        rows=st.none() | objects,
        duration_ms=st.none() | numbers,
    )
    drawn: dict[str, Any] = {
        "id": st.builds(RunId, text),
        "app": text,
        "task": st.builds(TaskName, text),
        "requested_at": moments,
        "actor": st.builds(
            Actor, kind=text, name=text, subject=text, claims=st.dictionaries(text, text, max_size=2)
        ),
        "release": st.builds(
            Release, version=maybe_text, commit=maybe_text, code=maybe_text, oneoff=maybe_text
        ),
        "parameters": objects,
        "environment": text,
        "protected": st.booleans(),
        "dry_run": st.booleans(),
        "reason": maybe_text,
        "confirmation": maybe_text,
        "command": st.none() | st.lists(text, max_size=3).map(tuple),
        "lock": maybe_text,
        "timeout_seconds": st.none() | st.floats(0, 1e6),
        "launcher": text,
        "rerun_of": st.none() | st.builds(RunId, text),
        "process": st.none() | st.builds(Process, host=text, machine=text, pid=numbers, started=text),
        "fence": numbers,
        "started_at": st.none() | moments,
        "heartbeat_at": st.none() | moments,
        "ended_at": st.none() | moments,
        "stop_requested": maybe_text,
        "progress": st.none() | st.builds(Progress, done=numbers, total=st.none() | numbers, message=text),
        "dry_run_report": st.none() | objects,
        "version": numbers,
    }
    made = {name: draw(strategy) for name, strategy in drawn.items()}
    return Run(status=status, outcome=draw(ending) if status in FINAL else None, **made)


@given(runs())
def test_round_trip(run: Run) -> None:
    """Every run comes back from its JSON as it was."""
    assert from_document(json.loads(json.dumps(to_document(run)))) == run


def test_every_field_is_in_the_document() -> None:
    """No field of a run is forgotten; those of the outcome stand beside the others."""
    run = make_run()
    expected = (set(vars(run)) - {"outcome"}) | (set(vars(Outcome(status=Status.FAILED))) - {"status"})
    assert set(to_document(run)) == expected


def test_stable_names() -> None:
    """The names that scripts read from `-o json`, and how times look."""
    ending = Outcome(status=Status.FAILED, exit_code=3, error="boom", duration_ms=12, rows={"flights": 7})
    run = make_run(status=Status.FAILED, outcome=ending, command=("npm", "run"))
    document = to_document(run)
    assert document["status"] == "failed"
    assert document["requested_at"] == "2026-03-01T12:00:00.000000Z"
    assert document["actor"] == {
        "kind": "human",
        "name": "ann",
        "subject": "5f3759df",
        "claims": {},
        "opaque_claims": {},
    }
    assert document["release"] == {"version": "1.2", "commit": None, "code": None, "oneoff": "0.1.0"}
    assert document["command"] == ["npm", "run"]
    assert (document["exit_code"], document["error"], document["duration_ms"]) == (3, "boom", 12)
    assert document["rows"] == {"flights": 7}


def test_a_newer_minor_version_can_be_read() -> None:
    """Fields that this version does not know are ignored, also inside the parts."""
    document = to_document(make_run())
    assert isinstance(document["actor"], dict)
    document["approval"] = {"by": "bob"}
    document["actor"]["team"] = "data"
    assert from_document(document) == make_run()


def test_an_older_version_can_be_read() -> None:
    """Fields that are missing have their defaults."""
    needed = ("id", "app", "task", "status", "requested_at", "actor", "release")
    document = {name: value for name, value in to_document(make_run()).items() if name in needed}
    assert from_document(document) == make_run()


@pytest.mark.parametrize(
    "change", [{"status": "dreaming"}, {"requested_at": "yesterday"}, {"requested_at": "2026-03-01T12:00:00"}]
)
def test_what_is_no_run(change: dict[str, Any]) -> None:
    """An unknown status, and a time that is none or has no zone, are errors."""
    with pytest.raises(ValueError):
        from_document(to_document(make_run()) | change)
