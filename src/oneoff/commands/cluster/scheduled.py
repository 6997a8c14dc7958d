"""The tasks of a release that have a schedule, and their CronJobs in the name of whoever applies them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oneoff.commands.cluster.launch import check_departures
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.confirmation import carried
from oneoff.commands.schedules import schedule_of
from oneoff.errors import NotDerivable
from oneoff.kube.derivation.cronjobs import cronjob
from oneoff.kube.derivation.jobs import KINDS, Launch, Made
from oneoff.kube.release.live import Live
from oneoff.kube.syncing import SYNCED, Stamp
from oneoff.runs.intent import SYNCED_AT, SYNCED_BY
from oneoff.schedules.schedule import Schedule
from oneoff.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A task that runs by itself."""

    task: Task
    schedule: Schedule
    bare: bool
    """The command itself is run, without oneoff."""


def scheduled(catalogue: Iterable[Task], bare: Sequence[Task]) -> list[Scheduled]:
    """Those that have a schedule, by name; a bare command of the settings comes before the release's task.

    Raises:
        InvalidSettings: a schedule is none.
        NotDerivable: a task needs what no schedule gives it.
    """
    alone = {task.name for task in bare}
    tasks = {task.name: task for task in [*catalogue, *bare]}
    found = []
    for name, task in sorted(tasks.items()):
        if task.schedule is not None:
            _check_parameters(task)
            found.append(Scheduled(task=task, schedule=schedule_of(task, task.schedule), bare=name in alone))
    return found


def _check_parameters(task: Task) -> None:
    needed = [parameter.option for parameter in task.parameters if parameter.required]
    if needed:
        raise NotDerivable(
            f"{task.name} has a schedule, and needs {', '.join(needed)}, which a schedule gives to no run",
            next_step="give the parameter a default, or a second task with a schedule calls this one",
        )


def made(remote: Remote, live: Live, one: Scheduled, stamp: Stamp) -> Made:
    """Its CronJob, confirmed as the stamp says.

    Raises:
        ManifestUnfit, NotDerivable: see :func:`oneoff.kube.derive.derive`.
        Refused: its runs would not be the app, and the environment does not allow that.
    """
    task, environment = one.task, remote.environment
    launch = Launch(
        task=task.name,
        environment=environment.name,
        actor=stamp.by,
        confirmation=stamp.confirmation,
        about={
            "context": stamp.context,
            "namespace": remote.cluster.namespace,
            "revision": stamp.revision,
            "pinned": live.image is not None,
        },
        claims={SYNCED_BY: stamp.by, SYNCED_AT: stamp.at},
        marks={SYNCED: stamp.text},
        arguments=() if one.bare else carried(environment, stamp.reason),
        command=task.command if one.bare else None,
        environ=task.environ if one.bare else {},
        timeout=task.timeout,
        kind=KINDS[task.nature],
        pinned=live.image,
    )
    found = cronjob(live.workload, remote.where, launch, one.schedule)
    check_departures(remote, found)
    found.object["metadata"]["namespace"] = remote.cluster.namespace
    return found
