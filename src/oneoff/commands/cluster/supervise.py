"""Runs of bare commands, in images without oneoff: whoever launches one records it, judging from outside.

Such a run has no lease and no heartbeat: its record says that it was watched from outside. One that ended
while nobody watched is collected later, from its Job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from oneoff.audit import event
from oneoff.commands.attend import attend
from oneoff.commands.cluster.launch import Launched, LaunchRequest, ended, prepare, put, record_of
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.looks import with_subjects
from oneoff.errors import OneoffError, RunNotFound
from oneoff.execution.failure import in_words
from oneoff.kube.api.cluster import EVENTS, JOBS, PODS, Selection
from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import ENVIRONMENT, RESULT, TASK
from oneoff.kube.following.verdict import Verdict, verdict
from oneoff.kube.objects import Object, annotations_of, metadata, name_of
from oneoff.kube.record import moment, run_id_of, run_of
from oneoff.kube.syncing import stamp_of
from oneoff.protocols import Services
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import Status
from oneoff.types import RunId

_JOB_NAME: Final = "batch.kubernetes.io/job-name"


def launch(services: Services, remote: Remote, request: LaunchRequest) -> Launched:
    """As :func:`oneoff.commands.cluster.launch.launch`, with the intent recorded before the Job is there.

    Raises:
        StoreUnavailable: it cannot be recorded, so nothing is launched.
        LockHeld: another run of this store holds the task's lock.
    """
    attend(services)
    run = record_of(remote, request)
    run = replace(run, status=Status.REQUESTED, lock=request.task.lock, process=None)
    run = replace(run, actor=with_subjects(run.actor, services.store))
    now = services.clock.now
    wish = services.store.create(run, event.requested(run, services.observer, now()))
    try:
        confirmed, made = prepare(remote, request, wish)
        # A Job that cannot start is refused later; what may have started is recorded as such before it can.
        begun = services.store.save(
            replace(confirmed.to(Status.RUNNING), fence=1, started_at=now()),
            event.starting(confirmed, services.observer, now()),
        )
    except OneoffError as refusal:
        outcome = Outcome(status=Status.REFUSED, error=in_words(refusal))
        refused = wish.ended(outcome, now())
        services.store.save(refused, event.refused(refused, services.observer, now()))
        raise
    try:
        return put(remote, begun, made)
    except OneoffError as refusal:
        _close(services, begun, Outcome(status=Status.REFUSED, error=in_words(refusal)), "no Job was made")
        raise


def close(services: Services, run: Run, found: Verdict, job: Object) -> Run:
    """Record how it ended, as its Job and its pods tell it."""
    now = ended(run, found, services.clock.now())
    assert now.outcome is not None
    return _close(services, run, now.outcome, _evidence(job))


def _close(services: Services, run: Run, outcome: Outcome, evidence: str) -> Run:
    done = run.ended(outcome, services.clock.now())
    told = event.outcome(done, services.observer, services.clock.now(), evidence=evidence)
    return services.store.save(done, told)


def _evidence(job: Object) -> str:
    return f"watched from outside, without a lease: Job {name_of(job)}, uid {metadata(job).get('uid')}"


def collect(services: Services, remote: Remote, say: Callable[[str], None]) -> list[Run]:
    """Record the runs of bare commands whose Jobs have ended and whose outcome is not in this store.

    Raises:
        ClusterError: its Jobs and pods cannot be listed.
    """
    attend(services)
    found = []
    for job in remote.cluster.list(JOBS, Selection(labels=MANAGED)).items:
        annotations = annotations_of(job)
        if TASK not in annotations or RESULT in annotations:
            continue
        if annotations.get(ENVIRONMENT) != remote.environment.name:
            continue
        run_id = run_id_of(job)
        known = _known(services, run_id)
        if known is not None and not known.active:
            continue
        decided = _judged(remote, job)
        if not decided.ended:
            say(f"run {run_id} goes on: {decided.status}")
            continue
        found.append(
            close(services, known, decided, job) if known else _adopt(services, remote, job, decided)
        )
    return found


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
        event.outcome(done, observer, at, recovered=True, evidence=_evidence(job)),
    ]
    services.store.adopt(done, told)
    return services.store.get(done.id)


def _ended_at(job: Object) -> datetime | None:
    conditions = (job.get("status") or {}).get("conditions") or []
    times = [one.get("lastTransitionTime") for one in conditions if one.get("status") == "True"]
    return moment(times[-1]) if times else None
