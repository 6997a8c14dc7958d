"""Records how runs ended that nobody watched: as their Jobs tell it, or because these are gone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from oneoff.audit import event
from oneoff.commands.attend import attend
from oneoff.commands.cluster.launch import ended
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.cluster.runs import every
from oneoff.commands.cluster.telling import ending, of_job, tell
from oneoff.commands.endings import Ending, close, is_open, record
from oneoff.commands.looks import with_subjects
from oneoff.errors import RunNotFound, StoreConflict
from oneoff.kube.following.follow import read
from oneoff.kube.objects import Object
from oneoff.protocols import RunQuery, Services
from oneoff.runs.run import Actor, Outcome, Run
from oneoff.runs.status import EXECUTING, Status
from oneoff.types import RunId

_APPEARS_WITHIN: Final = timedelta(minutes=10)
"""How long a Job may come after its run is recorded as started: where answers get lost it is made again."""


def collect(
    local: Callable[[], Services], remote: Remote, say: Callable[[str], None], *, store_here: bool
) -> list[Run]:
    """Record the runs that have ended and whose outcome nobody has recorded; those whose record changed.

    Runs of bare commands are recorded here, the others in the environment's own store. One of a bare command
    whose Job is gone is lost: nobody saw how it ended.

    Args:
        local: Opens the store here.
        store_here: Whether there is one, so that it may have runs whose Jobs are gone.

    Raises:
        ClusterError: its Jobs and pods cannot be listed.
        ErrandFailed, NotDerivable: the environment's store cannot be told.
    """
    runs = every(remote)
    services = local() if store_here or any(one.bare for one in runs) else None
    if services is not None:
        attend(services)
    here, there = list[Ending](), list[Ending]()
    for one in runs:
        if one.bare and services is not None and not _is_wanted(services, one.run.id):
            continue
        found = read(remote.cluster, one.job, container=one.container, write=None, say=remote.say)
        if not found.ended:
            say(f"run {one.run.id} goes on: {found.status}")
        elif found.words is None:
            told = ending(one.job, ended(one.run, found, remote.clock.now()), found)
            (here if one.bare else there).append(told)
    recorded = [record(services, one) for one in here] if services is not None else []
    gone = _gone(services, remote, {one.run.id for one in runs}) if services is not None else []
    recorded += tell(remote, there)
    return [*(one.run for one in recorded if one.changed), *gone]


def is_open_here(services: Services, run_id: RunId) -> bool:
    """Whether this store has a run whose end is still to be recorded."""
    known = _known(services, run_id)
    return known is not None and is_open(known)


def record_end(services: Services, remote: Remote, told: Run, job: Object, *, reason: str | None) -> None:
    """Record the end of a run of this store that somebody saw who waited for it, or who cancelled it.

    Args:
        told: As its Job tells it.
        reason: Why it was cancelled.
    """
    known = services.store.get(told.id)
    if told.outcome is None:
        return
    if told.status is Status.CANCELLED and known.status is Status.RUNNING:
        by = with_subjects(Actor(kind=remote.actor_kind, name=remote.actor), services.store)
        stopping, now = known.to(Status.STOPPING), services.clock.now()
        asked = event.cancelled(stopping, services.observer, now, by=by, reason=reason)
        with suppress(StoreConflict):
            services.store.save(stopping, asked)
    record(services, Ending(run=told, evidence=of_job(job), started=True, seen_to_end=True))


def _is_wanted(services: Services, run_id: RunId) -> bool:
    """Whether this store has no end of it."""
    known = _known(services, run_id)
    return known is None or is_open(known)


def _known(services: Services, run_id: RunId) -> Run | None:
    try:
        return services.store.get(run_id)
    except RunNotFound:
        return None


def _gone(services: Services, remote: Remote, there: set[RunId]) -> list[Run]:
    """The runs of this store that are lost, because no Job of theirs is there."""
    found = []
    for run in services.store.find(RunQuery(statuses=EXECUTING)):
        late = services.clock.now() - (run.started_at or run.requested_at) > _APPEARS_WITHIN
        if run.id not in there and run.watched and late and _is_of(run, remote):
            lost = Outcome(status=Status.LOST, error="its Job is gone, and nobody saw how it ended")
            where = f"no Job of it in {remote.cluster.namespace}, context {remote.cluster.context}"
            found.append(close(services, run, lost, where))
    return found


def _is_of(run: Run, remote: Remote) -> bool:
    """Whether its Job would be where this environment is now."""
    launch, cluster = run.launch or {}, remote.cluster
    place = (run.environment, launch.get("namespace"), launch.get("context"))
    return place == (remote.environment.name, cluster.namespace, cluster.context)
