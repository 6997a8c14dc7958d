"""Two processes and one launched run: who takes it, and whose is the room for the outcome."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oneoff.audit import event
from oneoff.commands.attend import attend
from oneoff.commands.runs import cancel
from oneoff.errors import LockHeld, StoreConflict
from oneoff.execution.execute import claim
from oneoff.protocols import Services
from oneoff.runs.run import Run
from oneoff.runs.status import Status
from tests.acceptance.faults.project import Project
from tests.records import make_run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def launched(services: Services, run_id: str = "r1", lock: str | None = None) -> Run:
    process = services.processes.current()
    run = make_run(run_id, actor=services.actor, process=process, lock=lock)
    services.store.create(run, event.requested(run, services.observer, run.requested_at))
    return services.store.save(run.to(Status.LAUNCHED, launcher="local"))


def room(project: Project, run_id: str = "r1") -> Path:
    return project.folder / ".oneoff/store.d/outcomes" / run_id


def test_a_launcher_that_is_slow_to_note_down_the_process(project: Project) -> None:
    """It changes the record under the process that is about to claim: the run goes on."""
    services = project.services()
    seen = launched(services)
    services.store.save(replace(seen, process=services.processes.current()))
    assert claim(seen, services).status is Status.RUNNING
    assert room(project).exists()


def test_the_second_process_leaves_the_first_its_room(project: Project) -> None:
    """Whoever comes too late must not take away where the outcome goes."""
    first, second = project.services(), project.services()
    seen = launched(first)
    claim(seen, first)
    with pytest.raises(StoreConflict):
        claim(seen, second)
    first.spool.write(seen.id, b"{}")
    assert [run_id for run_id, _ in second.spool.pending()] == ["r1"]


def test_a_cancelled_run_leaves_no_room_behind(project: Project) -> None:
    """Nobody is there who would give it back."""
    services = project.services()
    seen = launched(services)
    cancel(services, seen, force=False, reason=None)
    with pytest.raises(StoreConflict):
        claim(seen, services)
    assert not room(project).exists()


def test_a_lock_that_is_held_leaves_no_room_behind(project: Project) -> None:
    """The refused run has no outcome of its own."""
    services = project.services()
    claim(launched(services, "r1", lock="door"), services)
    with pytest.raises(LockHeld):
        claim(launched(services, "r2", lock="door"), services)
    assert (room(project, "r1").exists(), room(project, "r2").exists()) == (True, False)


def test_a_run_of_this_machine_is_not_lost_by_the_clock(project: Project) -> None:
    """Its process answers, so its heartbeats do not matter."""
    services = project.services()
    run = claim(launched(services), services)
    services.store.beat(run.id, run.fence, run.requested_at.replace(year=2001), None)
    attend(services)
    assert services.store.get(run.id).status is Status.RUNNING
