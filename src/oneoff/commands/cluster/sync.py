"""``kube sync``: the schedules of a release as CronJobs of its environment, shown, asked for once, applied.

Whoever applies a schedule confirms each of its runs, and their records say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from oneoff.commands.cluster.imagepolicy import under_release
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.cluster.syncplan import Item, Plan, SyncRequest, apply, plan
from oneoff.commands.confirmation import confirm
from oneoff.errors import (
    ClusterError,
    ClusterUnreachable,
    ObjectMissing,
    OneoffError,
    Refused,
    SyncIncomplete,
)
from oneoff.kube.api.cluster import CRONJOBS, JOBS, Selection
from oneoff.kube.derivation.cronjobs import schedule_of
from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import KEPT_FOR
from oneoff.kube.objects import metadata, name_of
from oneoff.kube.syncing import Stamp
from oneoff.tasks.task import Task
from oneoff.types import TaskName


def sync(remote: Remote, request: SyncRequest, show: Callable[[Plan], None]) -> Plan:
    """Show what differs, ask once, and apply it; with a dry run only show it.

    Raises:
        NotConfirmed, ReasonRequired: with the command that would work.
        Refused: others have what would be changed, and nothing said that it is to be adopted.
        SyncIncomplete: it was begun, and could not be ended.
        NotDerivable, ClusterError: see :func:`oneoff.commands.cluster.syncplan.plan`, and
            :func:`~oneoff.commands.cluster.imagepolicy.under_release`; nothing is changed.
    """
    notes: Sequence[str] = ()
    if _is_judged_there(request):
        remote, notes = under_release(remote, request.live)
    found = plan(remote, request)
    found = replace(found, notes=(*found.notes, *notes))
    show(found)
    if request.options.dry_run or not found.differs:
        return found
    _check_conflicts(remote, request, found)
    how = confirm(
        _as_task(remote, found),
        remote.environment,
        request.options,
        asker=remote.asker,
        say=remote.say,
        what=f"each run of these schedules is confirmed by this, in the name of {found.stamp.by}",
    )
    _carry_out(remote, request, found, replace(found.stamp, confirmation=how))
    return found


def _is_judged_there(request: SyncRequest) -> bool:
    """Whether a schedule's runs have oneoff in their pods, which judges them by the settings in the image."""
    bare = {task.name for task in request.bare}
    return any(task.schedule and task.name not in bare for task in request.catalogue or ())


def _check_conflicts(remote: Remote, request: SyncRequest, found: Plan) -> None:
    conflicts = found.of("conflict")
    if not conflicts:
        return
    names = ", ".join(item.name for item in conflicts)
    if request.adopt:
        raise Refused(
            f"what others have added to {names} would stay in its pods: nothing was changed",
            next_step=f"take it out, or take them away (what runs goes on): kubectl -n "
            f"{remote.cluster.namespace} delete cronjob {names.replace(',', '')} --cascade=orphan",
        )
    raise Refused(
        f"others have what would be changed of {names}: nothing was changed",
        next_step=f"settle it with them, or take it from them: {request.options.command_with(['--adopt'])}",
    )


def _as_task(remote: Remote, found: Plan) -> Task:
    """What is confirmed has the form of a task, so that an environment's policy is the same for all."""
    counts = [
        f"{len(items)} {action}"
        for action in ("created", "changed", "deleted")
        if (items := found.of(action))
    ]
    question = f"Apply this to {remote.environment.name} ({', '.join(counts)})?"
    return Task(name=TaskName("sync"), confirm=question)


def _carry_out(remote: Remote, request: SyncRequest, found: Plan, stamp: Stamp) -> None:
    """First what is to be there, then what is to go: a task that was renamed is never without a schedule."""
    todo = [*found.of("created", "changed"), *found.of("deleted")]
    # The catalogue is a help to others: no schedule waits for it.
    todo.sort(key=lambda item: item.resource is not CRONJOBS)
    for number, item in enumerate(todo):
        try:
            if item.action == "deleted":
                _remove(remote, item)
            else:
                assert item.make is not None
                apply(remote.cluster, item.resource, item.make(stamp), force=request.adopt)
        except (OneoffError, KeyboardInterrupt) as error:
            raise _incomplete(request, todo[:number], item, todo[number + 1 :], error) from error


def _remove(remote: Remote, item: Item) -> None:
    """Take a CronJob away, and leave what runs: its Jobs go days after their end, as launched ones do."""
    assert item.there is not None
    uid = str(metadata(item.there)["uid"])
    with suppress(ObjectMissing):  # somebody else was quicker
        remote.cluster.delete(CRONJOBS, item.name, uid=uid, orphan=True)
    try:
        for job in remote.cluster.list(JOBS, Selection(labels=MANAGED)).items:
            if schedule_of(job) == item.name and "ttlSecondsAfterFinished" not in job["spec"]:
                change = {"spec": {"ttlSecondsAfterFinished": int(KEPT_FOR.total_seconds())}}
                with suppress(ObjectMissing):
                    remote.cluster.patch(JOBS, name_of(job), change)
    except ClusterError as error:
        remote.say(f"note: the Jobs of {item.name} stay until somebody deletes them: {error.message}")


def _incomplete(
    request: SyncRequest,
    done: Sequence[Item],
    at: Item,
    left: Sequence[Item],
    error: OneoffError | KeyboardInterrupt,
) -> SyncIncomplete:
    unknown = isinstance(error, ClusterUnreachable | KeyboardInterrupt)
    why, step = (error.message, error.next_step) if isinstance(error, OneoffError) else ("interrupted", "")
    rows = [
        ("done", done),
        ("perhaps done" if unknown else "not done", [at]),
        ("not done", left),
    ]
    lines = [
        f"{word}: {', '.join(f'{item.name} ({item.action})' for item in items)}"
        for word, items in rows
        if items
    ]
    return SyncIncomplete(
        "\n".join([f"{at.name} could not be {at.action}: {why}", *lines]),
        next_step=f"{step + '; ' if step else ''}the same again goes on from there: "
        + request.options.command_with([]),
    )
