"""Runs of bare commands, in images without oneoff: whoever launches one records it, judging from outside.

Such a run has no lease and no heartbeat: its record says that it was watched from outside. One that ended
while nobody watched is collected later: see `collecting`.
"""

from __future__ import annotations

from dataclasses import replace

from oneoff.audit import event
from oneoff.commands import endings
from oneoff.commands.attend import attend
from oneoff.commands.cluster.launch import Launched, LaunchRequest, ended, prepare, put, record_of
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.cluster.telling import ending
from oneoff.commands.looks import with_subjects
from oneoff.errors import LaunchUnknown, OneoffError
from oneoff.execution.failure import in_words
from oneoff.kube.following.verdict import Verdict
from oneoff.kube.objects import Object
from oneoff.protocols import Services
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import Status


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
        turned_down = wish.ended(outcome, now())
        services.store.save(turned_down, event.refused(turned_down, services.observer, now()))
        raise
    try:
        return put(remote, begun, made)
    except LaunchUnknown as error:
        lost = Outcome(status=Status.LOST, error=in_words(error))
        endings.close(services, begun, lost, "a Job may have been made")
        raise
    except OneoffError as error:
        refused = Outcome(status=Status.REFUSED, error=in_words(error))
        endings.close(services, begun, refused, "no Job was made")
        raise


def close(services: Services, run: Run, found: Verdict, job: Object) -> Run:
    """Record how it ended, as its Job and its pods tell it."""
    return endings.record(services, ending(job, ended(run, found, services.clock.now()), found)).run
