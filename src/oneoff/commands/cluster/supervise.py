"""Runs of bare commands, in images without oneoff: whoever launches one records it, judging from outside.

Such a run has no lease and no heartbeat: its record says that it was watched from outside. One that ended
while nobody watched is collected later: see `collecting`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from oneoff.audit import event
from oneoff.commands.attend import attend
from oneoff.commands.cluster.launch import Launched, LaunchRequest, ended, prepare, put, record_of
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.looks import with_subjects
from oneoff.errors import ClusterUnreachable, OneoffError, StoreConflict
from oneoff.execution.failure import in_words
from oneoff.kube.following.verdict import Verdict
from oneoff.kube.objects import Object, metadata, name_of
from oneoff.protocols import Services
from oneoff.runs.intent import KUBERNETES
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import Status
from oneoff.types import RunId


def launch(services: Services, remote: Remote, request: LaunchRequest) -> Launched:
    """As :func:`oneoff.commands.cluster.launch.launch`, with the intent recorded before the Job is there.

    Raises:
        StoreUnavailable: it cannot be recorded, so nothing is launched.
        LockHeld: another run of this store holds the task's lock.
    """
    attend(services)
    run = record_of(remote, request)
    run = replace(run, status=Status.REQUESTED, lock=request.task.lock, process=services.processes.current())
    run = replace(run, actor=with_subjects(run.actor, services.store))
    now = services.clock.now
    wish = services.store.create(run, event.requested(run, services.observer, now()))
    try:
        confirmed, made = prepare(remote, request, wish)
        # A Job that cannot start is refused later; what may have started is recorded as such before it can.
        begun = services.store.save(
            replace(confirmed.to(Status.RUNNING), fence=1, started_at=now(), process=None),
            event.starting(confirmed, services.observer, now()),
        )
    except OneoffError as refusal:
        outcome = Outcome(status=Status.REFUSED, error=in_words(refusal))
        refused = wish.ended(outcome, now())
        services.store.save(refused, event.refused(refused, services.observer, now()))
        raise
    try:
        return put(remote, begun, made)
    except ClusterUnreachable as lost:
        settle(
            services, begun.id, Outcome(status=Status.LOST, error=in_words(lost)), "a Job may have been made"
        )
        raise
    except OneoffError as refusal:
        settle(services, begun.id, Outcome(status=Status.REFUSED, error=in_words(refusal)), "no Job was made")
        raise


def close(services: Services, run: Run, found: Verdict, job: Object) -> Run:
    """Record how it ended, as its Job and its pods tell it."""
    now = ended(run, found, services.clock.now())
    assert now.outcome is not None
    return settle(services, run.id, now.outcome, of_job(job))


def settle(services: Services, run_id: RunId, outcome: Outcome, evidence: str) -> Run:
    """Record how a run ended that no process of its own records, unless somebody has done so."""
    while True:
        run, now = services.store.get(run_id), services.clock.now()
        if not is_open(run) or run.status is outcome.status:
            return run
        done = run.ended(outcome, now)
        back = run.status is Status.LOST
        told = event.outcome(done, services.observer, now, recovered=back, evidence=evidence)
        with suppress(StoreConflict):
            return services.store.save(done, told)


def is_open(run: Run) -> bool:
    """Whether its end is still to be recorded, by whoever learns of it from outside."""
    return run.watched or (run.launcher == KUBERNETES and run.process is None and run.status is Status.LOST)


def of_job(job: Object) -> str:
    """What an outcome rests on."""
    return f"watched from outside, without a lease: Job {name_of(job)}, uid {metadata(job).get('uid')}"
