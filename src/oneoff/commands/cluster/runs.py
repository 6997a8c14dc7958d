"""The verbs on runs that are Jobs in a cluster: find, logs, wait, cancel. No store is opened for them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from oneoff.commands.cluster.launch import ended
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.cluster.telling import Cancelling, is_bare, settled
from oneoff.commands.confirmation import confirm
from oneoff.commands.options import Options
from oneoff.commands.runs import LATEST
from oneoff.errors import ClusterError, Interrupted, ObjectMissing, RunNotFound, UsageError
from oneoff.kube.api.cluster import JOBS, Listing, Selection
from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import (
    CANCEL_REASON,
    CANCELLED_BY,
    ENVIRONMENT,
    KEPT_FOR,
    RUN_ID,
    TASK,
)
from oneoff.kube.following import follow as following
from oneoff.kube.following.verdict import Verdict
from oneoff.kube.names import label_value
from oneoff.kube.objects import Object, annotations_of, metadata, name_of
from oneoff.kube.record import created_at, run_id_of, run_of
from oneoff.kube.release.live import check_namespace
from oneoff.runs.run import Run
from oneoff.tasks.task import Task

MARGIN: Final = 5.0
"""Seconds that a run which was asked to end gets besides its pod's grace."""

Write = Callable[[bytes], None]
Ask = Callable[[Run], bool]
"""Asks a run through its store to end at its next safe point; says whether that could be done."""


@dataclass(frozen=True)
class RemoteRun:
    """A run whose Job is in the cluster."""

    job: Object
    """As it was when it was found."""
    run: Run
    """As its Job tells it: still active."""

    @property
    def bare(self) -> bool:
        """Whether it runs without oneoff, and so without a store."""
        return is_bare(self.job)

    @property
    def container(self) -> str:
        """The one that runs the task: a run's Job has no other of its own."""
        return str(self.job["spec"]["template"]["spec"]["containers"][0]["name"])


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """How a run is to be cancelled."""

    force: bool = False
    """Delete its Job as soon as its store knows who wants that, without waiting for a safe point."""
    options: Options = field(default_factory=Options)
    """How it is confirmed, and the reason."""
    ask: Ask | None = None


def find(remote: Remote, reference: str) -> RemoteRun:
    """One run by its id, the unique beginning of its id, or ``@latest``.

    Raises:
        RunNotFound: no Job of this environment is it.
        UsageError: the beginning fits several.
        ManifestUnfit, ClusterError: its Jobs cannot be listed, or there is no such namespace.
    """
    found = [job for job in _jobs(remote, reference) if _fits(run_id_of(job), reference)]
    exact = [job for job in found if run_id_of(job) == reference]
    if exact or (reference == LATEST and found):
        found = [max(exact or found, key=lambda job: (created_at(job), name_of(job)))]
    where = f"{remote.environment.name} (namespace {remote.cluster.namespace})"
    if not found:
        check_namespace(remote.cluster)
        one = "a run" if reference == LATEST else f"the run {reference!r}"
        raise RunNotFound(
            f"there is no Job of {one} in {where}",
            next_step=f"`oneoff runs --env {remote.environment.name}` lists the runs; a Job is kept for "
            f"{KEPT_FOR.days} days after its end",
        )
    if len(found) > 1:
        listed = ", ".join(sorted(run_id_of(job) for job in found)[:5])
        raise UsageError(
            f"{reference!r} fits several runs in {where}: {listed}", next_step="give more of the id"
        )
    return _remote_run(remote, found[0])


def every(remote: Remote) -> list[RemoteRun]:
    """All runs of this environment whose Jobs are there. Raises ClusterError where these cannot be listed."""
    jobs = remote.cluster.list(JOBS, Selection(labels=MANAGED)).items
    return [_remote_run(remote, job) for job in jobs if _is_run(remote, job)]


def _remote_run(remote: Remote, job: Object) -> RemoteRun:
    app, protected = remote.settings.project, remote.environment.protected
    return RemoteRun(job, replace(run_of(job), app=app, protected=protected))


def _fits(run_id: str, reference: str) -> bool:
    return reference == LATEST or run_id.startswith(reference)


def _jobs(remote: Remote, reference: str) -> list[Object]:
    """The Jobs that are runs of this environment; at best, those of one id alone."""
    selections = [Selection(labels=MANAGED)]
    if label_value(reference) == reference:
        selections.insert(0, Selection(labels={**MANAGED, RUN_ID: reference}))
    for selection in selections:
        jobs = [job for job in remote.cluster.list(JOBS, selection).items if _is_run(remote, job)]
        if jobs:
            return jobs
    return []


def _is_run(remote: Remote, job: Object) -> bool:
    about = annotations_of(job)
    return TASK in about and about.get(ENVIRONMENT) == remote.environment.name


def logs(remote: Remote, found: RemoteRun, *, follow: bool, write: Write) -> Run:
    """Write what the run has printed, of all its attempts, and with ``follow`` go on until it has ended.

    Raises:
        ClusterError: it cannot be read.
        Interrupted: the cluster is away for minutes.
    """
    if follow:
        return _follow(remote, found, write=write)
    verdict = following.read(
        remote.cluster, found.job, container=found.container, write=write, say=remote.say
    )
    if verdict.attempts == 0:
        remote.say(f"run {found.run.id} has no pod: {verdict.message or 'it has not started yet'}")
    return ended(found.run, verdict, remote.clock.now())


def wait(remote: Remote, found: RemoteRun) -> Run:
    """The run once it has ended.

    Raises:
        Interrupted: the cluster is away for minutes.
    """
    return _follow(remote, found, write=None)


def cancel(remote: Remote, found: RemoteRun, wish: Cancel) -> Run:
    """End a run: ask it, if it can be asked, and delete its Job if it does not end by itself.

    Raises:
        NotConfirmed, ReasonRequired: with the command that would work.
        NotPermitted: to patch or to delete the Job; nothing was done.
        ClusterError: the cluster does not answer.
        Interrupted: it went away later.
    """
    verdict = following.read(remote.cluster, found.job, container=found.container, write=None, say=remote.say)
    if verdict.ended and not verdict.unfinished:
        remote.say(f"run {found.run.id} has ended already")
        return settled(remote, found.job, found.run, verdict)
    _confirm(remote, found, wish.options)
    since = cancelling = None
    with suppress(ObjectMissing):  # it is gone: how it ended shows below
        _note(remote, found, wish.options.reason)
        ask = None if verdict.ended else wish.ask
        asked = ask is not None and ask(found.run)
        cancelling = None if asked or verdict.ended else Cancelling(wish.options.reason)
        if asked and not wish.force:
            verdict = _watch(remote, found, seconds=_grace(found.job) + MARGIN)
        if not verdict.ended or verdict.unfinished:
            since = following.pods_of(remote.cluster, found.job)
            remote.cluster.delete(JOBS, name_of(found.job), uid=str(metadata(found.job)["uid"]))
            remote.say(f"the Job {name_of(found.job)} is being deleted; its pod has a grace to end in")
    # What was decided before its Job was deleted stays: its task had ended.
    verdict = verdict if verdict.ended else _watch(remote, found, since=since)
    return settled(remote, found.job, found.run, verdict, cancelling=cancelling)


def _confirm(remote: Remote, found: RemoteRun, options: Options) -> None:
    run = found.run
    question = f"Cancel run {run.id} of {run.task} in {run.environment}?"
    by = f", asked for by {run.actor.name}" if run.actor.name else ""
    confirm(
        Task(name=run.task, confirm=question),
        remote.environment,
        options,
        asker=remote.asker,
        say=remote.say,
        what=f"run {run.id} of {run.task}{by} at {run.requested_at:%Y-%m-%d %H:%M:%S %Z}",
    )


def _note(remote: Remote, found: RemoteRun, reason: str | None) -> None:
    """Write on the Job who cancels it, and why: the cluster's own audit log keeps it after the deletion."""
    about = {CANCELLED_BY: remote.actor, **({CANCEL_REASON: reason} if reason else {})}
    uid = metadata(found.job)["uid"]  # so that it is no other Job of the same name
    remote.cluster.patch(JOBS, name_of(found.job), {"metadata": {"uid": uid, "annotations": about}})


def _grace(job: Object) -> float:
    return float(job["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30))


def _follow(remote: Remote, found: RemoteRun, *, write: Write | None) -> Run:
    return settled(remote, found.job, found.run, _watch(remote, found, write=write))


def _watch(
    remote: Remote,
    found: RemoteRun,
    *,
    write: Write | None = None,
    seconds: float = inf,
    since: Listing | None = None,
) -> Verdict:
    try:
        if since is not None:
            return following.ending(
                remote.cluster, found.job, container=found.container, since=since, say=remote.say
            )
        return following.follow(
            remote.cluster,
            found.job,
            container=found.container,
            start_within=None,  # whoever launched it sees to that, and its Job's deadline
            write=write,
            say=remote.say,
            pace=replace(following.PACE, longest=seconds),
        )
    except ClusterError as error:  # no exit code of a run: nobody knows how it ends
        again = f"`oneoff wait {found.run.id} --env {remote.environment.name}` comes back to it"
        raise Interrupted(
            f"{error.message}: run {found.run.id} goes on unwatched", next_step=error.next_step or again
        ) from error
