"""``kube preflight``: whether a run could be launched, without launching one."""

from __future__ import annotations

from oneoff.commands.cluster.releases import Wanted, live
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.declared import command_task
from oneoff.errors import NotDerivable
from oneoff.kube.checks.check import Check
from oneoff.kube.checks.preflight import check_rights, preflight
from oneoff.kube.derivation.jobs import Launch, Made, job
from oneoff.kube.release.live import Live
from oneoff.tasks.registry import task_name
from oneoff.tasks.task import Task
from oneoff.types import new_run_id

ANY_TASK = "preflight"
"""Stands for the task where none is named: all that speaks against a launch is the same for each."""


def examine(remote: Remote, task: str | None, wanted: Wanted) -> list[Check]:
    """Every check of a launch into this environment. Nothing is created.

    Raises:
        ManifestUnfit: there is no such workload or container.
        ClusterError: the cluster does not answer, or does not permit to read the workload.
    """
    try:
        found = live(remote, wanted)
    except NotDerivable as error:
        return [_underivable("release", error), *check_rights(remote.cluster)]
    release = [_of_release(found), *(Check("release", "warning", note) for note in found.notes)]
    try:
        made = _made(remote, task, found)
    except NotDerivable as error:
        return [*release, _underivable("derivation", error), *check_rights(remote.cluster)]
    return [*release, *preflight(remote.cluster, found, made, remote.where)]


def _underivable(name: str, error: NotDerivable) -> Check:
    """Without a Job, what depends on it is not looked at; that it could not be made is said first."""
    return Check(name, "failure", error.message, error.next_step)


def _of_release(found: Live) -> Check:
    revision = f", revision {found.revision}" if found.revision else ""
    return Check(
        "release", "ok", f"{found.workload.reference}{revision}: {found.image or 'no digest is known'}"
    )


def _made(remote: Remote, wanted: str | None, found: Live) -> Made:
    name = task_name(wanted or ANY_TASK)
    declared = {task_name(key): command_task(key, one) for key, one in remote.settings.tasks.items()}
    task = declared.get(name) or Task(name=name)
    launch = Launch(
        task=task.name,
        environment=remote.environment.name,
        run_id=new_run_id(remote.clock.now()),
        actor=remote.actor,
        actor_kind=remote.actor_kind,
        command=None if task.runner else task.command,
        environ={} if task.runner else task.environ,
        timeout=task.timeout,
        pinned=found.image,
    )
    return job(found.workload, remote.where, launch)
