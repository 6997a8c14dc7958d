"""The objects of a workload as its controllers leave them: settled, in the middle of a rollout, at zero."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

from tests.kubernetes.kinds import Object

NAMESPACE = "shop"
DIGEST = f"registry.example/shop@sha256:{'a' * 64}"
LABELS = {"app": "web"}
_NUMBER = {
    "Deployment": "deployment.kubernetes.io/revision",
    "Rollout": "rollout.argoproj.io/revision",
}
_HASH = {"Deployment": "pod-template-hash", "Rollout": "rollouts-pod-template-hash"}
_UID = "uid-of-web"


@dataclass(frozen=True)
class Revision:
    """One release of the workload, and what there is of its pods."""

    number: int
    container: Object
    image_id: str = DIGEST
    pods: int = 2
    ready: int = 2
    injected: tuple[Object, ...] = ()
    """Containers that were added to its pods as they were made."""

    @property
    def hash(self) -> str:
        return f"{self.number}abc"


def deployment(
    revisions: Sequence[Revision],
    *,
    replicas: int = 2,
    change: Object | None = None,
    paused: bool = False,
    settled: bool = False,
) -> list[Object]:
    """A Deployment of these revisions, the newest last.

    Args:
        change: The container of a template that the controller has made no ReplicaSet of.
        settled: It has been complete once, whatever there is of its pods now.
    """
    newest = revisions[-1]
    complete = newest.ready == replicas == sum(one.pods for one in revisions)
    reason = "NewReplicaSetAvailable" if settled or (complete and not change) else "ReplicaSetUpdated"
    generation = newest.number + (change is not None)
    source = _workload("apps/v1", "Deployment", newest.number, change or newest.container, replicas)
    source["metadata"]["generation"] = generation
    source["spec"] |= {"paused": True} if paused else {}
    source["status"] = {
        "observedGeneration": generation,
        "replicas": sum(one.pods for one in revisions),
        "updatedReplicas": 0 if change else newest.pods,
        **dict.fromkeys(("readyReplicas", "availableReplicas"), sum(one.ready for one in revisions)),
        "conditions": [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
            {
                "type": "Progressing",
                "status": "Unknown" if paused else "True",
                "reason": "DeploymentPaused" if paused else reason,
            },
        ],
    }
    return [source, *(thing for one in revisions for thing in _replica_set("apps/v1", "Deployment", one))]


def rollout(
    revisions: Sequence[Revision], *, stable: int, message: str = "", replicas: int = 2
) -> list[Object]:
    """A Rollout of Argo on its way to the newest, from the one that is stable."""
    newest = revisions[-1]
    source = _workload("argoproj.io/v1alpha1", "Rollout", newest.number, newest.container, replicas)
    source["status"] = {
        "observedGeneration": str(newest.number),
        "stableRS": f"{stable}abc",
        "currentPodHash": newest.hash,
        "message": message,
    }
    owned = (_replica_set("argoproj.io/v1alpha1", "Rollout", one) for one in revisions)
    return [source, *(thing for things in owned for thing in things)]


def stateful_set(revisions: Sequence[Revision], *, replicas: int = 2) -> list[Object]:
    """A StatefulSet that exchanges its pods from the highest number down."""
    newest, current = revisions[-1], next(one for one in revisions if one.pods)
    source = _workload("apps/v1", "StatefulSet", newest.number, newest.container, replicas)
    source["spec"]["serviceName"] = "web"
    source["status"] = {
        "observedGeneration": newest.number,
        "currentRevision": f"web-{current.hash}",
        "updateRevision": f"web-{newest.hash}",
        "replicas": sum(one.pods for one in revisions),
        **dict.fromkeys(("readyReplicas", "availableReplicas"), sum(one.ready for one in revisions)),
    }
    owner = _owner("apps/v1", "StatefulSet", "web", _UID)
    found, number = [source], 0
    for one in revisions:
        template = {"$patch": "replace", **_template(one.container)}
        kept = _head(f"web-{one.hash}", f"uid-{one.number}") | {"ownerReferences": [owner]}
        found.append(
            {
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": kept | {"labels": {**LABELS, "controller-revision-hash": one.hash}},
                "data": {"spec": {"template": template}},
                "revision": one.number,
            }
        )
        for each in range(one.pods):
            labels = {**LABELS, "controller-revision-hash": f"web-{one.hash}"}
            found.append(_pod(f"web-{number}", owner, labels, one, ready=each < one.ready))
            number += 1
    return found


def pod_template(container: Object) -> list[Object]:
    """A release that is published, and not live."""
    return [
        {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": _head("web", _UID),
            "template": _template(container),
        }
    ]


def _workload(api_version: str, kind: str, number: int, container: Object, replicas: int) -> Object:
    known = {_NUMBER[kind]: str(number)} if kind in _NUMBER else {}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": _head("web", _UID) | {"generation": number, "annotations": known},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "template": _template(container),
        },
    }


def _template(container: Object) -> Object:
    return {"metadata": {"labels": dict(LABELS)}, "spec": {"containers": [deepcopy(container)]}}


def _replica_set(api_version: str, kind: str, one: Revision) -> list[Object]:
    """It and its pods."""
    name, uid, labels = f"web-{one.hash}", f"uid-{one.number}", {**LABELS, _HASH[kind]: one.hash}
    template = _template(one.container)
    template["metadata"]["labels"] = labels
    head = _head(name, uid) | {"labels": labels, "annotations": {_NUMBER[kind]: str(one.number)}}
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": head | {"ownerReferences": [_owner(api_version, kind, "web", _UID)]},
        "spec": {"replicas": one.pods, "selector": {"matchLabels": labels}, "template": template},
        "status": {"observedGeneration": 1, "replicas": one.pods, "availableReplicas": one.ready},
    }
    owner = _owner("apps/v1", "ReplicaSet", name, uid)
    pods = [_pod(f"{name}-{each}", owner, labels, one, ready=each < one.ready) for each in range(one.pods)]
    return [replica_set, *pods]


def _pod(name: str, owner: Object, labels: Object, one: Revision, *, ready: bool) -> Object:
    says = "True" if ready else "False"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _head(name, name) | {"labels": labels, "ownerReferences": [owner]},
        "spec": {"nodeName": "node-1", "containers": [one.container, *one.injected]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": kind, "status": says} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [
                {
                    "name": one.container["name"],
                    "image": one.container["image"],
                    "imageID": one.image_id,
                    "ready": ready,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-11-23T00:00:00Z"}},
                }
            ],
        },
    }


def _head(name: str, uid: str) -> Object:
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid,
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-23T00:00:00Z",
        "annotations": {},
    }


def _owner(api_version: str, kind: str, name: str, uid: str) -> Object:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
