"""The verbs on the audit log, over a log that the verbs have written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oneoff.commands.audit import log, verify
from oneoff.commands.run import run
from oneoff.errors import NotConfirmed
from oneoff.protocols import EventQuery
from oneoff.runs.status import Status
from tests.fakes import OTHER, World
from tests.records import begin, finish, make_run, note


def test_the_log_of_all_and_of_one(world: World) -> None:
    """Oldest first; a run's own events where one is named."""
    first = run(world.services, world.wish("greet"))
    run(world.services, world.wish("greet"))
    assert [event.seq for event in log(world.services, EventQuery()).events] == [0, 1, 2, 3, 4, 5]
    assert [event.seq for event in log(world.services, EventQuery(run_id=first.id)).events] == [0, 1, 2]


def test_what_the_verbs_write_fits(world: World) -> None:
    """Runs that succeeded, failed, were refused, lost or are at work are all accounted for."""
    run(world.services, world.wish("greet"))
    run(world.services, world.wish("fail"))
    with pytest.raises(NotConfirmed):
        run(world.services, world.wish("purge", {"days": 1}))
    lost = make_run("lost", status=Status.RUNNING, process=OTHER)
    world.store.create(lost, note(lost))
    world.processes.dead.append(OTHER)
    begin(world.store, make_run("at-work"))
    found = verify(world.services)
    assert found.problems == ()
    assert found.size == world.store.checkpoint().size


def test_a_start_without_an_outcome(world: World) -> None:
    """An ended run whose outcome is not in the log is a gap."""
    begun = begin(world.store, make_run())
    ended = replace(begun, status=Status.SUCCEEDED)
    world.store.save(ended)
    found = verify(world.services)
    assert not found.ok
    assert "r1" in found.problems[0]


def test_an_end_while_the_log_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends between the two looks is no gap."""
    begun = begin(world.store, make_run())
    events = world.store.events

    def then_finish(**about: Any) -> Any:
        found = list(events(**about))
        if not about:
            finish(world.store, begun)
        return iter(found)

    monkeypatch.setattr(world.store, "events", then_finish)
    checkpoint = world.store.checkpoint()
    monkeypatch.setattr(world.store, "checkpoint", lambda: checkpoint)
    assert verify(world.services).ok


def test_a_start_whose_record_is_gone(world: World) -> None:
    """Nothing accounts for it: a gap, and no error of the verb."""
    begin(world.store, make_run())
    world.store._runs.clear()
    found = verify(world.services)
    assert found.problems == ("run r1 started with event 1 and has no outcome",)
