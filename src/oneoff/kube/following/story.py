"""Everything that was seen of one Job while it was followed, also of pods that are gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from oneoff.kube.api.cluster import JOBS, PODS, Listing
from oneoff.kube.following.verdict import Verdict, age_of, index_of, verdict
from oneoff.kube.following.watching import Seen
from oneoff.kube.objects import Object, metadata, named

_ENDED: Final = ("Succeeded", "Failed")
"""Phases of a pod in which nothing starts any more."""


class Story:
    """The last state of a Job and of each of its pods."""

    def __init__(self, job: Object, container: str) -> None:
        self.job = job
        self.container = container
        self.deleted = False
        self.pods: dict[str, Object] = {}
        """By uid, in the order in which they were made."""
        self.gone: set[str] = set()
        """Those of them that are no more."""
        self.events: list[Object] = []

    @property
    def uid(self) -> str:
        return uid_of(self.job)

    def saw(self, seen: Seen) -> None:
        """What a watch brought."""
        if seen.resource is JOBS and uid_of(seen.object) == self.uid:
            self.job = _newer(self.job, seen.object)
            self.deleted = self.deleted or seen.deleted
        elif seen.resource is PODS:
            self._add([seen.object])
            if seen.deleted:
                self.gone.add(uid_of(seen.object))

    def looked(self, job: Object | None, pods: Listing) -> None:
        """What there is now; no Job, or another one of its name: it was deleted."""
        if job is None or uid_of(job) != self.uid:
            self.deleted = True
        else:
            self.job = _newer(self.job, job)
        self._add(pods.items)
        self.gone = self.pods.keys() - {uid_of(pod) for pod in pods.items}

    def _add(self, pods: Iterable[Object]) -> None:
        for pod in sorted(pods, key=lambda pod: age_of(pod, self.container)):
            known = self.pods.get(uid_of(pod))
            self.pods[uid_of(pod)] = pod if known is None else _newer(known, pod)

    def verdict(self, *, overdue: bool = False) -> Verdict:
        found = verdict(
            self.job,
            self.pods.values(),
            self.events,
            container=self.container,
            deleted=self.deleted,
            overdue=overdue,
        )
        return replace(found, started=self.has_started, seen_to_end=self._seen_to_end)

    def lanes(self) -> dict[str, list[str]]:
        """The uids of the pods of each shard, one after another; of the one shard ``""``."""
        found: dict[str, list[str]] = {}
        for uid, pod in self.pods.items():
            found.setdefault(index_of(pod), []).append(uid)
        return found

    def speaker(self, uid: str) -> str:
        """The container whose log tells of the task: its own, or an init container that failed before it."""
        status = self.pods[uid].get("status") or {}
        if self.state(uid).keys() & {"running", "terminated"}:
            return self.container
        failed = [
            str(one["name"])
            for one in status.get("initContainerStatuses") or []
            if ((one.get("state") or {}).get("terminated") or {}).get("exitCode")
        ]
        return failed[-1] if failed else ""

    def state(self, uid: str) -> Object:
        """The state of the task's container; empty while there is none."""
        status = self.pods[uid].get("status") or {}
        return (named(status.get("containerStatuses"), self.container) or {}).get("state") or {}

    def has_ended(self, uid: str) -> bool:
        """Whether nothing more comes into its log."""
        return uid in self.gone or (bool(self.speaker(uid)) and not self.state(uid).get("running"))

    def may_go_on(self, uid: str) -> bool:
        """Whether more may happen in it, for all that is known: also in one that its Job is deleted over."""
        state = self.state(uid)
        removed = self.deleted or bool(metadata(self.job).get("deletionTimestamp"))
        return bool(state.get("running")) or (
            removed and uid not in self.gone and not state.get("terminated")
        )

    @property
    def _seen_to_end(self) -> bool:
        """Whether the node of each pod has told that the task ended there; who removes a pod cannot know."""
        return bool(self.pods) and all(
            "terminated" in (state := self.state(uid))
            or ("running" not in state and (pod.get("status") or {}).get("phase") in _ENDED)
            for uid, pod in self.pods.items()
        )

    @property
    def has_started(self) -> bool:
        """Whether the task has begun in any pod."""
        return any(self.state(uid).keys() & {"running", "terminated"} for uid in self.pods)


def uid_of(thing: Object) -> str:
    return str(metadata(thing).get("uid"))


def newest_last(events: Iterable[Object]) -> list[Object]:
    """Their times are whole seconds."""
    return sorted(
        events,
        key=lambda one: (str(one.get("lastTimestamp") or one.get("eventTime") or ""), _version(one)),
    )


def _newer(one: Object, other: Object) -> Object:
    """The later state of one object: a list and a watch may overtake each other."""
    return one if _version(one) > _version(other) else other


def _version(thing: Object) -> int:
    """Later states have greater ones; 0 where it is no number, as the API left open for a long time."""
    version = str(metadata(thing).get("resourceVersion") or "")
    return int(version) if version.isdecimal() else 0
