"""Records how runs of bare commands ended that nobody watched: from their Jobs, or because these are gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from oneoff.audit import event
from oneoff.commands.attend import attend
from oneoff.commands.cluster.launch import ended
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.cluster.supervise import close, is_open, of_job, settle
from oneoff.commands.looks import with_subjects
from oneoff.errors import RunNotFound, StoreConflict
from oneoff.kube.api.cluster import EVENTS, JOBS, PODS, Selection
from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import ENVIRONMENT, RESULT, TASK
from oneoff.kube.following.verdict import Verdict, verdict
from oneoff.kube.objects import Object, annotations_of, name_of
from oneoff.kube.record import moment, run_id_of, run_of
from oneoff.kube.syncing import stamp_of
from oneoff.protocols import RunQuery, Services
from oneoff.runs.run import Actor, Outcome, Run
from oneoff.runs.status import EXECUTING, Status
from oneoff.types import RunId

_JOB_NAME: Final = "batch.kubernetes.io/job-name"
_APPEARS_WITHIN: Final = timedelta(minutes=10)
"""How long a Job may come after its run is recorded as started: where answers get lost it is made again."""


def collect(services: Services, remote: Remote, say: Callable[[str], None]) -> list[Run]:
    """Record the runs of bare commands that have ended and whose outcome is not in this store.

    One whose Job is gone is lost: nobody saw how it ended.

    Raises:
        ClusterError: its Jobs and pods cannot be listed.
    """
    attend(services)
    jobs = {run_id_of(job): job for job in _jobs(remote)}
    found = [run for run_id, job in jobs.items() if (run := _collected(services, remote, run_id, job, say))]
    for run in services.store.find(RunQuery(statuses=EXECUTING)):
        late = services.clock.now() - (run.started_at or run.requested_at) > _APPEARS_WITHIN
        if run.id not in jobs and run.watched and late and _is_of(run, remote):
            gone = Outcome(status=Status.LOST, error="its Job is gone, and nobody saw how it ended")
            where = f"no Job of it in {remote.cluster.namespace}, context {remote.cluster.context}"
            found.append(settle(services, run.id, gone, where))
    return found


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
    settle(services, told.id, told.outcome, of_job(job))


def _jobs(remote: Remote) -> list[Object]:
    """Of bare commands, in this environment."""
    return [
        job
        for job in remote.cluster.list(JOBS, Selection(labels=MANAGED)).items
        if TASK in (about := annotations_of(job)) and RESULT not in about
        if about.get(ENVIRONMENT) == remote.environment.name
    ]


def _is_of(run: Run, remote: Remote) -> bool:
    """Whether its Job would be where this environment is now."""
    launch, cluster = run.launch or {}, remote.cluster
    place = (run.environment, launch.get("namespace"), launch.get("context"))
    return place == (remote.environment.name, cluster.namespace, cluster.context)


def _collected(
    services: Services, remote: Remote, run_id: RunId, job: Object, say: Callable[[str], None]
) -> Run | None:
    known = _known(services, run_id)
    if known is not None and not is_open(known):
        return None
    decided = _judged(remote, job)
    if not decided.ended:
        say(f"run {run_id} goes on: {decided.status}")
        return None
    if known is not None and known.status is decided.status:  # lost, as it is recorded
        return None
    return close(services, known, decided, job) if known else _adopt(services, remote, job, decided)


def _known(services: Services, run_id: RunId) -> Run | None:
    try:
        return services.store.get(run_id)
    except RunNotFound:
        return None


def _judged(remote: Remote, job: Object) -> Verdict:
    cluster, name = remote.cluster, name_of(job)
    pods = cluster.list(PODS, Selection(labels={_JOB_NAME: name})).items
    events = cluster.list(EVENTS, Selection(fields={"involvedObject.name": name})).items
    container = job["spec"]["template"]["spec"]["containers"][0]["name"]
    return verdict(job, pods, events, container=container)


def _adopt(services: Services, remote: Remote, job: Object, found: Verdict) -> Run:
    """A run that another store asked for, or none: its Job says who did, and what it was."""
    run, synced = run_of(job), stamp_of(job)
    actor = with_subjects(run.actor, services.store)
    run = replace(run, app=remote.settings.project, actor=actor, reason=synced.reason if synced else None)
    done = replace(ended(run, found, _ended_at(job) or services.clock.now()), fence=1)
    started = replace(run, started_at=moment((job.get("status") or {}).get("startTime")) or run.requested_at)
    done = replace(done, started_at=started.started_at)
    at, observer = services.clock.now(), services.observer
    told: Sequence[Any] = [
        event.requested(run, observer, at),
        event.starting(started, observer, at),
        event.outcome(done, observer, at, recovered=True, evidence=of_job(job)),
    ]
    services.store.adopt(done, told)
    return services.store.get(done.id)


def _ended_at(job: Object) -> datetime | None:
    conditions = (job.get("status") or {}).get("conditions") or []
    times = [one.get("lastTransitionTime") for one in conditions if one.get("status") == "True"]
    return moment(times[-1]) if times else None
