"""What ``kube sync`` would do: every CronJob of a release held against what is in its namespace.

The server itself says what would come out, by a dry run of each apply; nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

from oneoff.commands.cluster.remote import Remote
from oneoff.commands.cluster.scheduled import Scheduled, made, scheduled
from oneoff.commands.options import Options
from oneoff.errors import (
    ClusterError,
    ClusterUnreachable,
    FieldConflict,
    ManifestUnfit,
    NotDerivable,
    NotPermitted,
    ObjectMissing,
)
from oneoff.kube import syncing
from oneoff.kube.api.cluster import CONFIG_MAPS, CRONJOBS, Cluster, Resource
from oneoff.kube.catalogue import catalogue_map, key_of, published
from oneoff.kube.checks.asking import together
from oneoff.kube.checks.check import Check
from oneoff.kube.checks.judging import judge
from oneoff.kube.checks.place import look
from oneoff.kube.checks.preflight import check_rights
from oneoff.kube.checks.rights import AFTER_SYNC, PUBLISH, SYNC, Right
from oneoff.kube.derivation.jobs import Made
from oneoff.kube.names import cronjob_name
from oneoff.kube.objects import Object, name_of
from oneoff.kube.release.live import RESOURCES, Live
from oneoff.kube.release.workload import parsed
from oneoff.kube.syncing import Stamp
from oneoff.tasks.document import to_document
from oneoff.tasks.task import Task
from oneoff.types import rfc3339

Action = Literal["created", "changed", "unchanged", "deleted", "conflict", "left"]
"""``conflict``: it would take something from somebody; ``left``: it left the code, and is to be taken away by
whoever rendered and applied it."""

ATTEMPTS: Final = 3
"""How often an apply is sent whose answer was lost: a second one changes nothing."""

_RIGHTS: Final = (
    *(replace(right, needed=True) for right in SYNC),
    *AFTER_SYNC,
    Right("get", CONFIG_MAPS, PUBLISH, needed=False),
)
_NOT_NOW: Final = "quota"
"""The check that says what is so at this moment, which is not when a schedule is due."""


@dataclass(frozen=True, kw_only=True)
class SyncRequest:
    """One wish that the schedules of an environment be those of a release."""

    live: Live
    catalogue: Sequence[Task] | None
    """The tasks of the release; None where oneoff is not in its image."""
    bare: Sequence[Task] = ()
    """Commands that are run without oneoff, from the settings."""
    options: Options = field(default_factory=Options)
    adopt: bool = False
    """Take fields and objects from whoever has them."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One object, and what becomes of it."""

    resource: Resource
    name: str
    action: Action
    task: Task | None = None
    """None where it left the code, or is no schedule."""
    there: Object | None = None
    """As it is in the cluster."""
    make: Callable[[Stamp], Object] | None = None
    """What is to be applied, in the name of whoever applies it; None where nothing is."""
    difference: str = ""
    """Of a CronJob that is there and changes, as a unified difference."""
    why: str = ""
    """Whose it is, or what somebody else has set, where it is not ours to change."""

    @property
    def suspended(self) -> bool:
        """Whether somebody has stopped it for now; that stays as it is."""
        return bool(((self.there or {}).get("spec") or {}).get("suspend"))

    @property
    def last(self) -> str | None:
        """The last slot that a Job was made for, as the cluster has it (RFC 3339)."""
        return ((self.there or {}).get("status") or {}).get("lastScheduleTime")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sync would do."""

    items: Sequence[Item]
    notes: Sequence[str]
    stamp: Stamp
    """Of whoever asks; not confirmed yet."""

    def of(self, *actions: Action) -> list[Item]:
        return [item for item in self.items if item.action in actions]

    @property
    def differs(self) -> bool:
        """Whether the cluster is not as the release is."""
        return bool(self.of("created", "changed", "deleted", "conflict"))


def plan(remote: Remote, request: SyncRequest) -> Plan:
    """Hold the schedules of the release against those in its namespace.

    Raises:
        InvalidSettings: a task's schedule is none.
        NotDerivable: a schedule could not be applied, or its runs would not start; with all that is wrong.
        Refused: a run would not be the app.
        ClusterError: the cluster does not answer, or does not permit it.
    """
    live, cluster = request.live, remote.cluster
    rights = check_rights(cluster, _RIGHTS, "you may apply schedules")
    _refuse(rights)
    stamp = _stamp(remote, request)
    wanted = scheduled(request.catalogue or (), request.bare)
    objects = [made(remote, live, one, stamp) for one in wanted]
    checks = [*rights, *_judged(remote, live, objects)]
    _refuse(checks)
    there = {name_of(one): one for one in cluster.list(CRONJOBS).items}
    comparing = _Comparing(remote, request, stamp, there)
    items = together(cluster, [partial(comparing.schedule, one) for one in wanted])
    items += comparing.gone({item.name for item in items})
    notes = [*live.notes, *(check.message for check in checks if check.state == "warning")]
    if request.catalogue is not None and _may_publish(rights):
        items += comparing.catalogue(request.catalogue)
    _refuse(sorted(comparing.failures, key=lambda check: check.name))
    notes += [*(note for one in objects for note in _about(one)), *comparing.forsaken()]
    return Plan(items=items, notes=tuple(dict.fromkeys(notes)), stamp=stamp)


def apply(
    cluster: Cluster, resource: Resource, wanted: Object, *, force: bool, dry_run: bool = False
) -> Object:
    """Server-side apply, also where answers get lost. Raises FieldConflict and the other ClusterErrors."""
    for _ in range(ATTEMPTS - 1):
        with suppress(ClusterUnreachable):
            return cluster.apply(resource, wanted, dry_run=dry_run, force=force)
    return cluster.apply(resource, wanted, dry_run=dry_run, force=force)


def _stamp(remote: Remote, request: SyncRequest) -> Stamp:
    return Stamp(
        by=remote.actor,
        kind=remote.actor_kind,
        at=rfc3339(remote.clock.now()),
        confirmation=None,
        reason=request.options.reason,
        context=remote.cluster.context,
        revision=request.live.revision,
    )


def _judged(remote: Remote, live: Live, objects: Sequence[Made]) -> list[Check]:
    """What keeps runs of these from starting, or does harm; each said once, a full quota for now only."""
    place = look(remote.cluster, live.workload)
    found = {check: None for one in objects for check in judge(place, live.workload, one, remote.where)}
    return [
        replace(check, state="warning") if (check.name, check.state) == (_NOT_NOW, "failure") else check
        for check in found
    ]


def _refuse(checks: Iterable[Check]) -> None:
    failures = [check for check in checks if check.state == "failure"]
    if failures:
        steps = dict.fromkeys(check.next_step for check in failures if check.next_step)
        raise NotDerivable(
            "\n".join(f"{check.name}: {check.message}" for check in failures), next_step="; ".join(steps)
        )


def _may_publish(rights: Iterable[Check]) -> bool:
    return not any(PUBLISH in check.message for check in rights)


def _about(one: Made) -> list[str]:
    name = name_of(one.object)
    return [
        *(f"{change.path}: {change.reason}" for change in one.derived.changes if change.action == "kept"),
        *(f"{name}: not the app: {departure}" for departure in one.derived.departures),
        *(
            [f"{name}: differs from the app: {', '.join(one.identity.differs)}"]
            if one.identity.differs
            else []
        ),
    ]


class _Comparing:
    """What is wanted beside what is there."""

    def __init__(
        self, remote: Remote, request: SyncRequest, stamp: Stamp, there: Mapping[str, Object]
    ) -> None:
        self._remote = remote
        self._request = request
        self._stamp = stamp
        self._there = there
        self.failures: list[Check] = []

    def schedule(self, one: Scheduled) -> Item:
        """A CronJob that the release has."""
        live = self._request.live
        name = cronjob_name(live.workload.name, one.task.name)
        there = self._there.get(name)

        def make(stamp: Stamp) -> Object:
            return made(self._remote, live, one, stamp).object

        item = Item(resource=CRONJOBS, name=name, action="created", task=one.task, there=there, make=make)
        # Who applied it last is no difference, nor are their words for the same thing.
        same = (syncing.stamp_of(there) if there and self._ours(there) else None) or self._stamp
        return self._tried(item, make(same))

    def gone(self, known: set[str]) -> list[Item]:
        """The CronJobs of this environment's workload that the release has not."""
        return [
            self._removed(name, one)
            for name, one in sorted(self._there.items())
            if name not in known and self._ours(one)
        ]

    def forsaken(self) -> list[str]:
        """What still runs of a workload of this environment that is gone, in words."""
        others: dict[str, list[str]] = {}
        for name, one in sorted(self._there.items()):
            workload = syncing.workload_of(one, self._remote.environment.name)
            if workload not in (None, self._request.live.workload.reference) and syncing.was_synced(one):
                others.setdefault(str(workload), []).append(name)
        space = self._remote.cluster.namespace
        return [
            f"{workload} is gone, and its schedules still run: if it has another name now, "
            f"kubectl -n {space} delete cronjob {' '.join(names)}"
            for workload, names in others.items()
            if self._is_gone(workload)
        ]

    def _is_gone(self, workload: str) -> bool:
        try:
            kind, name = parsed(workload)
            self._remote.cluster.get(RESOURCES[kind], name)
        except ObjectMissing:
            return True
        except (ManifestUnfit, NotPermitted):
            return False
        return False

    def catalogue(self, tasks: Sequence[Task]) -> list[Item]:
        """The release's tasks, for whoever lacks the app; none where no digest says whose they are."""
        live, where = self._request.live, self._remote.where
        if not key_of(live, where).lasting:
            return []
        wanted = catalogue_map(live, where, [to_document(task) for task in tasks])
        name = name_of(wanted)
        try:
            there: Object | None = self._remote.cluster.get(CONFIG_MAPS, name)
        except ObjectMissing:
            there = None
        item = Item(resource=CONFIG_MAPS, name=name, action="created", there=there, make=lambda _: wanted)
        if there is not None and published(self._remote.cluster, live, where) == list(tasks):
            return [replace(item, action="unchanged")]
        return [self._tried(item, wanted)]

    def _ours(self, there: Object) -> bool:
        workload = syncing.workload_of(there, self._remote.environment.name)
        return workload == self._request.live.workload.reference

    def _removed(self, name: str, there: Object) -> Item:
        item = Item(resource=CRONJOBS, name=name, action="deleted", there=there)
        if syncing.was_synced(there) or self._request.adopt:
            return item
        return replace(item, action="left", why=f"left the code, and {syncing.made_by(there)}")

    def _tried(self, item: Item, wanted: Object) -> Item:
        """As the server would have it; not tried where it is somebody else's and stays so."""
        there, adopt = item.there, self._request.adopt
        cronjob = item.resource is CRONJOBS
        if there and cronjob and not self._ours(there) and not adopt:
            return replace(item, action="conflict", why=f"one of that name {syncing.whose(there)}")
        more = syncing.added(there, wanted) if there and cronjob else []
        if more:
            return replace(item, action="conflict", why=f"others have added {', '.join(more)}")
        try:
            then = apply(self._remote.cluster, item.resource, wanted, dry_run=True, force=adopt)
        except FieldConflict as error:
            return replace(item, action="conflict", why=error.message)
        except ClusterUnreachable:
            raise
        except ClusterError as error:
            self.failures.append(Check(item.name, "failure", error.message, error.next_step))
            return item
        if there is None:
            return item
        if syncing.same(there, then):
            return replace(item, action="unchanged")
        shown = syncing.difference(there, then) if cronjob else ""
        return replace(item, action="changed", difference=shown)
