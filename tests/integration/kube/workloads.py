"""Workloads as a cluster has them: the recorded ones, and variations."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

Object = dict[str, Any]

RECORDINGS = Path(__file__).parents[2] / "recordings"
DIGEST = f"sha256:{'4' * 64}"


def recorded(name: str) -> list[Object]:
    """The objects of ``workload-NAME``."""
    found: list[Object] = json.loads((RECORDINGS / f"workload-{name}/objects.json").read_text())["items"]
    return found


def only(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The one of this kind."""
    (one,) = [
        one for one in objects if one["kind"] == kind and (name is None or one["metadata"]["name"] == name)
    ]
    return one


def pods(objects: list[Object]) -> list[Object]:
    """The pods among them."""
    return [one for one in objects if one["kind"] == "Pod"]


def report(pod: Object, image_id: str, container: str = "web") -> None:
    """Let the node report this image for a container."""
    for status in pod["status"]["containerStatuses"]:
        if status["name"] == container:
            status["imageID"] = image_id


def stateful(objects: list[Object]) -> list[Object]:
    """The recorded Deployment and its ReplicaSets as a StatefulSet with ControllerRevisions."""
    found = deepcopy(objects)
    source = only(found, "Deployment")
    sets = {one["metadata"]["uid"]: one for one in found if one["kind"] == "ReplicaSet"}
    newest = max(sets.values(), key=lambda one: int(one["metadata"]["annotations"][_REVISION]))
    source |= {"kind": "StatefulSet"}
    status = source["status"]
    status["updateRevision"] = newest["metadata"]["name"]
    serving = next(one for one in sets.values() if one["status"].get("availableReplicas"))
    status["currentRevision"] = serving["metadata"]["name"]
    for pod in pods(found):
        owner = pod["metadata"]["ownerReferences"][0]
        pod["metadata"]["labels"].pop("pod-template-hash")
        pod["metadata"]["labels"]["controller-revision-hash"] = sets[owner["uid"]]["metadata"]["name"]
        owner |= {"kind": "StatefulSet", "name": "web", "uid": source["metadata"]["uid"]}
    for one in sets.values():
        template = one["spec"].pop("template")
        template["metadata"]["labels"].pop("pod-template-hash")
        one |= {
            "kind": "ControllerRevision",
            "revision": int(one["metadata"]["annotations"][_REVISION]),
            "data": {"spec": {"template": {"$patch": "replace", **template}}},
        }
        del one["spec"], one["status"]
    return found


_REVISION = "deployment.kubernetes.io/revision"


def argo(objects: list[Object], *, stable: str, current: str, message: str = "") -> list[Object]:
    """The recorded Deployment as a Rollout of Argo, with these hashes."""
    found = deepcopy(objects)
    source = only(found, "Deployment")
    source |= {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
    source["status"] = {
        "observedGeneration": str(source["metadata"]["generation"]),
        "stableRS": stable,
        "currentPodHash": current,
        "message": message,
    }
    for one in found:
        if one["kind"] in ("ReplicaSet", "Pod"):
            _rename(one["metadata"]["labels"])
        if one["kind"] == "ReplicaSet":
            _rename(one["spec"]["template"]["metadata"]["labels"])
            annotations = one["metadata"]["annotations"]
            annotations["rollout.argoproj.io/revision"] = annotations.pop(_REVISION)
    return found


def _rename(labels: dict[str, str]) -> None:
    labels["rollouts-pod-template-hash"] = labels.pop("pod-template-hash")


def each(objects: list[Object], kind: str, change: Callable[[Object], None]) -> list[Object]:
    """A copy in which every object of this kind is changed."""
    found = deepcopy(objects)
    for one in found:
        if one["kind"] == kind:
            change(one)
    return found
