"""The reference of audit events names every type and every field that the code writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oneoff.audit import event
from oneoff.audit.event import Event, decode, encode
from oneoff.runs.run import Outcome
from oneoff.runs.status import FINAL, Status
from tests.records import ANN, OBSERVER, ROWS, START, make_run

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "audit-events.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"[\w.]+", " ".join(re.findall(r"`([^`]+)`", REFERENCE))))
RUN = make_run(outcome=Outcome(status=Status.FAILED, rows=ROWS))
NAMED_BY_OTHERS = {"parameters", "claims", "rows"}
"""Objects whose keys are the app's, the environment's or the database's."""


def fields(value: Any) -> Iterator[str]:
    for key, item in value.items():
        yield key
        if isinstance(item, dict) and key not in NAMED_BY_OTHERS:
            yield from fields(item)


@pytest.mark.parametrize(
    "told",
    [
        event.requested(RUN, OBSERVER, START),
        event.refused(RUN, OBSERVER, START),
        event.starting(RUN, OBSERVER, START),
        event.outcome(RUN, OBSERVER, START),
        event.cancelled(replace(RUN), OBSERVER, START, by=ANN),
    ],
    ids=lambda told: told.type,
)
def test_every_field_is_explained(told: Event) -> None:
    """Under its name, or the last part of its path."""
    explained = {part for word in WORDS for part in word.split(".")}
    assert set(fields(decode(encode(told)))) <= explained


def test_every_type_is_there() -> None:
    """All that the sources write, found by their builders."""
    sources = Path(event.__file__).parents[1].rglob("*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    types = {f"run.{name}" for name in re.findall(r'_event\(\s*"(\w+)"', text)}
    types |= {f"log.{name}" for name in re.findall(r'(?:of_log\(\s*|record_look\(services, )"(\w+)"', text)}
    types |= set(re.findall(r'about_actor\(\s*"([\w.]+)"', text))
    assert {"run.requested", "run.outcome", "log.exported", "log.anchor_failed", "log.queried"} <= types
    assert types <= WORDS
    assert {name.removeprefix("run.") for name in types} == set(event.TYPES)


def test_every_status_and_every_limit_is_there() -> None:
    """As the code has them now."""
    assert set(FINAL) <= WORDS
    for limit in (event.EVENT_LIMIT, event.VALUE_LIMIT, event.ROWS_LIMIT, event.TEXT_LIMIT):
        assert f"{limit:,}" in REFERENCE
