"""Whether a manifest has the form that its readers count on: objects, lists and texts where they have to be.

Only what is read here is checked; all else is the API server's to judge. ``null`` is the same as nothing.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from oneoff.errors import ManifestUnfit
from oneoff.kube.objects import Object

Shape: TypeAlias = "type[str] | type[int] | list[Any] | dict[str, Any]"
"""``str`` or ``int``; a list with its items' shape; an object with that of some fields, or of all (``*``)."""

_WORDS: Final[dict[Any, str]] = {str: "a text", int: "a whole number"}
_TEXTS: Final[Shape] = {"*": str}
_FIELD: Final[Shape] = {"fieldRef": {"fieldPath": str}}
_MOUNT: Final[Shape] = {"!name": str}
_ITEMS: Final[Shape] = {"items": [_FIELD]}
_CONTAINER: Final[Shape] = {
    "!name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "env": [{"!name": str, "value": str, "valueFrom": _FIELD}],
    "envFrom": [{}],
    "ports": [{}],
    "volumeMounts": [_MOUNT],
    "volumeDevices": [_MOUNT],
}
_VOLUME: Final[Shape] = {
    "!name": str,
    "persistentVolumeClaim": {"claimName": str},
    "downwardAPI": _ITEMS,
    "projected": {"sources": [{"downwardAPI": _ITEMS}]},
}
_HEAD: Final[Shape] = {
    "name": str,
    "namespace": str,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "ownerReferences": [{}],
}
TEMPLATE: Final[Shape] = {
    "metadata": _HEAD,
    "!spec": {
        "!containers": [_CONTAINER],
        "initContainers": [_CONTAINER],
        "volumes": [_VOLUME],
        "affinity": {},
        "terminationGracePeriodSeconds": int,
    },
}
"""A pod template; ``!`` before a field says that it has to be there."""
_SELECTOR: Final[Shape] = {
    "matchLabels": _TEXTS,
    "matchExpressions": [{"key": str, "operator": str, "values": [str]}],
}
_PEERS: Final[Shape] = [{"podSelector": _SELECTOR, "namespaceSelector": _SELECTOR}]
_POLICY: Final[Shape] = {
    "podSelector": _SELECTOR,
    "policyTypes": [str],
    "egress": [{"ports": [{}]}],
    "ingress": [{"from": _PEERS}],
}
_SPEC: Final[dict[str, Any]] = {"selector": _SELECTOR, "workloadRef": {"kind": str}}
_CLAIMS: Final[Shape] = [{"metadata": _HEAD}]
_STATUS: Final[Shape] = {"selector": str}
_WORKLOAD: Final[Shape] = {"metadata": _HEAD, "spec": _SPEC, "status": _STATUS}
OBJECTS: Final[dict[str, Shape]] = {
    "Deployment": _WORKLOAD,
    "ReplicaSet": _WORKLOAD,
    "Rollout": _WORKLOAD,
    "StatefulSet": {
        "metadata": _HEAD,
        "spec": {**_SPEC, "volumeClaimTemplates": _CLAIMS},
        "status": _STATUS,
    },
    "PodTemplate": {"metadata": _HEAD},
    "Service": {"metadata": _HEAD, "spec": {"selector": _TEXTS}},
    "PodDisruptionBudget": {"metadata": _HEAD, "spec": {"selector": _SELECTOR}},
    "NetworkPolicy": {"metadata": _HEAD, "spec": _POLICY},
    "HorizontalPodAutoscaler": {"metadata": _HEAD, "spec": {"scaleTargetRef": {"kind": str, "name": str}}},
    "PersistentVolumeClaim": {"metadata": _HEAD, "spec": {"accessModes": [str]}},
}
"""The kinds that are read; all others pass."""


def check(value: Any, shape: Shape, path: str) -> None:
    """Raises ManifestUnfit with the place of the first thing that is something else."""
    if value is None:
        return
    if shape is str or shape is int:
        _demand(isinstance(value, shape), path, _WORDS[shape])
    elif isinstance(shape, list):
        _demand(isinstance(value, list), path, "a list")
        for place, item in enumerate(value):
            _demand(item is not None, f"{path}[{place}]", "something")
            check(item, shape[0], f"{path}[{place}]")
    elif isinstance(shape, dict):
        _demand(isinstance(value, dict), path, "an object")
        _check_fields(value, shape, path)


def _check_fields(value: Object, shape: dict[str, Any], path: str) -> None:
    for field, inner in shape.items():
        name = field.lstrip("!")
        if field == "*":
            for key, item in value.items():
                _demand(item is not None, f"{path}.{key}", "a text")
                check(item, inner, f"{path}.{key}")
        else:
            _demand(name == field or value.get(name) not in (None, []), f"{path}.{name}", "something")
            check(value.get(name), inner, f"{path}.{name}")


def _demand(holds: bool, path: str, wanted: str) -> None:
    if not holds:
        raise ManifestUnfit(f"{path} is not {wanted}, as Kubernetes wants it")
