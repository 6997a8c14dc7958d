"""How a workload stands: which of its revisions have pods, and which one it asks for.

Pure: the objects come in as the API server gave them. A *revision* is what a ReplicaSet or a
ControllerRevision keeps: one pod template of the workload, past or present.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from oneoff.kube.objects import CANNOT_START, Object, annotations_of, metadata, name_of

POD_HASH: Final = "pod-template-hash"
ROLLOUT_HASH: Final = "rollouts-pod-template-hash"
REVISION_HASH: Final = "controller-revision-hash"
_MARKS: Final = (POD_HASH, ROLLOUT_HASH, REVISION_HASH)
"""Labels by which a controller tells the pods of one revision from those of another."""
_STUCK: Final = CANNOT_START | {"CrashLoopBackOff"}


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One pod template of a workload, and how many pods it has."""

    name: str = ""
    """Of what keeps it; empty where nothing does yet."""
    number: str = ""
    template: Object
    """Without the controller's own labels."""
    pods: tuple[Object, ...] = ()
    available: int = 0

    @property
    def title(self) -> str:
        """For people: ``revision 2``."""
        return f"revision {self.number}" if self.number else "the change that is not released"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a workload stands."""

    target: Revision
    serving: tuple[Revision, ...]
    """Those that have available pods, the newest first; of a Rollout the one that it calls stable."""
    trouble: str = ""
    """Why what serves may not be what is asked for; empty where it is."""
    others: tuple[Revision, ...] = ()
    """Every revision besides the target that has pods."""


def standing(source: Object, template: Object, kept: Sequence[Object], pods: Sequence[Object]) -> Standing:
    """How this workload stands.

    Args:
        template: The pod template that it asks for.
        kept: Its own ReplicaSets, or ControllerRevisions.
        pods: The pods that its selector selects; those of others are left out.
    """
    return _KINDS[source["kind"]](source, bare(template), kept, pods)


def bare(template: Object) -> Object:
    """The pod template without what its controller added to tell its pods apart."""
    result = deepcopy(template)
    result.pop("$patch", None)
    head = result.get("metadata")
    if head:
        head.pop("creationTimestamp", None)
        labels = head.get("labels") or {}
        for mark in _MARKS:
            labels.pop(mark, None)
    return result


def problem_of(pod: Object) -> str:
    """What keeps a pod from starting, in the kubelet's or the scheduler's words."""
    status = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _STUCK:
            return f"{one['name']}: {waiting.get('message') or waiting['reason']}"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason") or "")
    return ""


def ready(pod: Object) -> bool:
    """Whether it serves: Ready, and not about to go."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return not metadata(pod).get("deletionTimestamp") and any(
        one.get("type") == "Ready" and one.get("status") == "True" for one in conditions
    )


def _owned(pods: Sequence[Object], uid: Any) -> tuple[Object, ...]:
    """Those of this owner that are not about to go, nor at their end."""
    return tuple(
        pod
        for pod in pods
        if any(owner.get("uid") == uid for owner in metadata(pod).get("ownerReferences") or [])
        and not metadata(pod).get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    )


def _of_set(one: Object, annotation: str, pods: Sequence[Object]) -> Revision:
    """What a ReplicaSet keeps."""
    return Revision(
        name=name_of(one),
        number=str(annotations_of(one).get(annotation) or ""),
        template=bare(one["spec"]["template"]),
        pods=_owned(pods, metadata(one).get("uid")),
        available=int((one.get("status") or {}).get("availableReplicas") or 0),
    )


def _newest(revisions: Sequence[Revision]) -> list[Revision]:
    return sorted(
        revisions, key=lambda one: (int(one.number) if one.number.isdecimal() else 0, one.name), reverse=True
    )


def _deployment(source: Object, template: Object, kept: Sequence[Object], pods: Sequence[Object]) -> Standing:
    revisions = _newest([_of_set(one, "deployment.kubernetes.io/revision", pods) for one in kept])
    # The controller's own rule: the ReplicaSet of a Deployment is the one whose template is the same.
    target = next((one for one in revisions if one.template == template), Revision(template=template))
    others = tuple(one for one in revisions if one is not target and (one.pods or one.available))
    return Standing(
        target=target,
        serving=tuple(one for one in revisions if one.available),
        others=others,
        trouble=_deployment_trouble(source, target, others),
    )


def _deployment_trouble(source: Object, target: Revision, others: Sequence[Revision]) -> str:
    """A Deployment has settled where its newest revision has all pods there are, and has once been complete.

    That pods of it are missing now (a node went, an autoscaler wants more) is no rollout.
    """
    status, paused = source.get("status") or {}, (source.get("spec") or {}).get("paused")
    progressing = _condition(source, "Progressing")
    reason = progressing.get("reason")
    if reason == "ProgressDeadlineExceeded":
        return f"is stuck in a rollout ({progressing.get('message') or reason})"
    if not target.name:
        return (
            "is paused with a change that is not released" if paused else "has a change that is not released"
        )
    if others:
        return "is paused in the middle of a rollout" if paused else _under_way(target)
    if _unseen(source):
        return _UNSEEN
    lacking = int(status.get("availableReplicas") or 0) < _wanted(source)
    return _under_way(target) if lacking and reason != "NewReplicaSetAvailable" else ""


def _under_way(target: Revision) -> str:
    stuck = not target.available and any(map(problem_of, target.pods))
    return "is stuck in a rollout" if stuck else "is in the middle of a rollout"


_UNSEEN: Final = "was changed a moment ago, and its controller has not looked at it yet"


def _unseen(source: Object) -> bool:
    """Argo writes the generation that it has observed as a text."""
    observed = str((source.get("status") or {}).get("observedGeneration") or "")
    generation = int(metadata(source).get("generation") or 0)
    return observed.isdecimal() and int(observed) < generation


def _wanted(source: Object) -> int:
    replicas = (source.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def _condition(source: Object, kind: str) -> Object:
    conditions = (source.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def _stateful_set(
    source: Object, template: Object, kept: Sequence[Object], pods: Sequence[Object]
) -> Standing:
    """Its pods say by a label which of its ControllerRevisions each is of."""
    status = source.get("status") or {}
    mine = _owned(pods, metadata(source).get("uid"))
    revisions = _newest([_of_controller_revision(one, mine) for one in kept])
    wanted = status.get("updateRevision")
    released = None if _unseen(source) else wanted
    target = next((one for one in revisions if one.name == released), Revision(template=template))
    others = tuple(one for one in revisions if one is not target and one.pods)
    trouble = ""
    if _unseen(source):
        trouble = _UNSEEN
    elif others:
        trouble = _under_way(target)
    elif not target.name:
        trouble = "has a change that is not released"
    elif status.get("currentRevision") not in (None, wanted) and target.available < _wanted(source):
        trouble = _under_way(target)
    return Standing(
        target=target,
        serving=tuple(one for one in revisions if one.available),
        others=others,
        trouble=trouble,
    )


def _of_controller_revision(one: Object, pods: Sequence[Object]) -> Revision:
    mine = tuple(
        pod for pod in pods if (metadata(pod).get("labels") or {}).get(REVISION_HASH) == name_of(one)
    )
    return Revision(
        name=name_of(one),
        number=str(one.get("revision") or ""),
        template=bare(((one.get("data") or {}).get("spec") or {}).get("template") or {}),
        pods=mine,
        available=sum(map(ready, mine)),
    )


def _rollout(source: Object, template: Object, kept: Sequence[Object], pods: Sequence[Object]) -> Standing:
    """Argo Rollouts says itself which one is stable, and which one it is on its way to."""
    status = source.get("status") or {}
    by_hash = {
        str((metadata(one).get("labels") or {}).get(ROLLOUT_HASH) or ""): _of_set(
            one, "rollout.argoproj.io/revision", pods
        )
        for one in kept
    }
    target = by_hash.get(str(status.get("currentPodHash") or ""))
    if target is None or _images(target.template) != _images(template):  # a change that it has not seen
        target = Revision(template=template)
    stable = by_hash.get(str(status.get("stableRS") or ""))
    others = tuple(one for one in by_hash.values() if one is not target and (one.pods or one.available))
    trouble = ""
    if _unseen(source):
        trouble = _UNSEEN
    elif stable is None or stable is not target:
        said = f" ({status['message']})" if status.get("message") else ""
        trouble = f"is in the middle of a rollout{said}"
    return Standing(
        target=Revision(**{**vars(target), "template": template}),
        serving=() if stable is None else (stable,),
        others=others,
        trouble=trouble,
    )


def _images(template: Object) -> dict[str, Any]:
    return {str(one.get("name")): one.get("image") for one in template["spec"]["containers"]}


def _alone(source: Object, template: Object, kept: Sequence[Object], pods: Sequence[Object]) -> Standing:
    """A ReplicaSet by itself: it is its own revision."""
    one = _of_set(source, "deployment.kubernetes.io/revision", pods)
    return Standing(target=one, serving=(one,) if one.available else ())


def _published(source: Object, template: Object, kept: Sequence[Object], pods: Sequence[Object]) -> Standing:
    """A PodTemplate: a release that is not live, so that nothing of it runs."""
    return Standing(target=Revision(name=name_of(source), template=template), serving=())


_KINDS: Final[dict[str, Callable[[Object, Object, Sequence[Object], Sequence[Object]], Standing]]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "Rollout": _rollout,
    "ReplicaSet": _alone,
    "PodTemplate": _published,
}
