"""What a launcher hands on to the process of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from oneoff.runs.intent import SYNCED_BY, Intent, read_intent, write_intent
from oneoff.runs.slot import Slot, slot_named
from oneoff.types import RunId


def test_an_intent_comes_back_as_it_was_written() -> None:
    intent = Intent(
        kind="schedule",
        actor="cron:web-nightly",
        confirmation="--confirm",
        launch={"schedule": "web-nightly"},
        claims={SYNCED_BY: "ann"},
    )
    assert read_intent(write_intent(intent)) == intent


@pytest.mark.parametrize("claims", [["ann"], "ann", 1])
def test_claims_of_another_form_are_no_intent(claims: object) -> None:
    written = json.loads(write_intent(Intent(kind="human", actor="ann")))
    written["actor"]["claims"] = claims
    assert read_intent(json.dumps(written)) is None


def test_the_slot_of_a_schedules_run_is_in_its_id() -> None:
    """Not for a Job that a person made of the CronJob, nor for a run that is no schedule's."""
    intent = Intent(kind="schedule", actor="cron:a-b", launch={"schedule": "a-b"})
    assert intent.launch_of(RunId("a-b-29934780")) == {
        "schedule": "a-b",
        "slot": "2026-12-01T01:00:00.000000Z",
    }
    assert intent.launch_of(RunId("a-b-by-hand")) == intent.launch_of(None) == intent.launch
    assert Intent(kind="human", actor="ann").launch_of(RunId("a-b-29934780")) is None


@pytest.mark.parametrize("name", ["a-b-2993478", "a-b-c-29934780", "b-29934780", "a-b-9999999999", "a-b"])
def test_names_that_a_schedule_did_not_give(name: str) -> None:
    assert slot_named("a-b", name) is None
    assert slot_named("a-b", "a-b-29934780") == Slot("a-b", datetime(2026, 12, 1, 1, tzinfo=UTC))
