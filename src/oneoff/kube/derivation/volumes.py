"""Which volumes a run has: those of the app that are safe to share, and what was chosen for the others."""

from __future__ import annotations

from collections.abc import Set
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final

from oneoff.errors import NotDerivable
from oneoff.kube.objects import Change, Object, metadata
from oneoff.kube.release.workload import Workload

SHARED: Final = frozenset({"ReadWriteMany", "ReadOnlyMany"})
"""Access modes of a claim that pods on several nodes may have at once."""
ONE_POD: Final = "ReadWriteOncePod"

_CHOICE: Final = (
    'choose in the environment\'s kubernetes table: volumes = "same-node" runs on a node of the app, '
    'volumes = "empty" mounts an empty volume in its place, volumes = "keep" mounts it wherever the run is'
)
_EMPTY: Final = 'choose in the environment\'s kubernetes table: volumes = "empty" mounts an empty one'


@dataclass
class Volumes:
    """The volumes of a run."""

    volumes: list[Object] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    same_node: bool = False
    """The run has to be on a node where a pod of the app is."""


def volumes_of(workload: Workload, containers: list[Object], choice: str | None) -> Volumes:
    """The volumes for a run with these containers.

    Args:
        choice: What to do with a claim that may be held by one node, of ``settings.kubernetes.VOLUMES``; None
            where nothing is chosen.

    Raises:
        NotDerivable: there is such a claim, and nothing is chosen.
    """
    found = Volumes()
    mounted = {mount["name"] for container in containers for mount in _mounts(container)}
    declared: list[Object] = workload.template["spec"].get("volumes") or []
    for volume in declared:
        path = f"spec.volumes[{volume.get('name')}]"
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim is None:
            found.volumes.append(deepcopy(volume))
        elif volume["name"] not in mounted:
            found.changes.append(Change(path, "dropped", "no container of the run mounts it"))
        else:
            _add_claim(found, workload, volume, claim, choice, path)
    for name in sorted(mounted - {volume["name"] for volume in declared}):
        if name not in workload.claim_templates:
            continue  # the API server will say so, of the app as well
        if choice != "empty":
            raise NotDerivable(
                f"the volume {name} is one that the StatefulSet makes for each of its own pods",
                next_step=_EMPTY,
            )
        found.volumes.append({"name": name, "emptyDir": {}})
        found.changes.append(
            Change(
                f"spec.volumes[{name}]", "replaced", "empty, in place of a claim of each of the app's pods"
            )
        )
    return found


def _mounts(container: Object) -> list[Object]:
    devices = [{"name": device["name"]} for device in container.get("volumeDevices") or []]
    return [*(container.get("volumeMounts") or []), *devices]


def _add_claim(
    found: Volumes, workload: Workload, volume: Object, claim: str, choice: str | None, path: str
) -> None:
    modes = workload.claims.get(claim)
    if modes and SHARED & set(modes):
        found.volumes.append(deepcopy(volume))
        return
    known = "/".join(modes) if modes else "a mode that the manifest does not tell"
    if choice == "empty":
        found.volumes.append({"name": volume["name"], "emptyDir": {}})
        found.changes.append(Change(path, "replaced", f"empty, in place of the claim {claim} of {known}"))
    elif modes and ONE_POD in modes:
        raise NotDerivable(
            f"the claim {claim} can be had by one pod alone, and the app's has it",
            next_step=_EMPTY,
        )
    elif choice in ("same-node", "keep"):
        found.volumes.append(deepcopy(volume))
        found.same_node = found.same_node or choice == "same-node"
        where = "on a node of the app" if choice == "same-node" else "wherever the run is, as was chosen"
        found.changes.append(Change(path, "kept", f"the claim {claim} of {known}, {where}"))
    else:
        raise NotDerivable(
            f"the claim {claim} of {known} may be held by the node where the app runs", next_step=_CHOICE
        )


def beside_the_app(workload: Workload) -> Object:
    """The affinity that puts a run on a node where a pod of the app is."""
    spec = workload.source.get("spec") or {}
    selector = spec.get("selector") or {"matchLabels": workload.pod_labels}
    term = {"labelSelector": deepcopy(selector), "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def lost_references(template: Object, result: Object, own: Set[str]) -> list[Change]:
    """Variables and files that say a label or an annotation which the run has not, or has otherwise.

    Args:
        own: variables of the run alone.
    """
    kept = {
        f"metadata.{kind}['{key}']": value
        for kind in ("labels", "annotations")
        for key, value in (metadata(result).get(kind) or {}).items()
    }
    before = {
        f"metadata.{kind}['{key}']": value
        for kind in ("labels", "annotations")
        for key, value in (metadata(template).get(kind) or {}).items()
    }
    return [
        Change(path, "kept", f"it reads {field}, which the run has otherwise than the app")
        for path, field in _references(result["spec"], own)
        if field in ("metadata.labels", "metadata.annotations") or before.get(field) != kept.get(field)
    ]


def _references(spec: Object, own: Set[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for variable in container.get("env") or []:
            reference = (variable.get("valueFrom") or {}).get("fieldRef") or {}
            if variable.get("name") not in own:
                path = f"spec.containers[{container.get('name')}].env[{variable.get('name')}]"
                found.append((path, str(reference.get("fieldPath") or "")))
    for volume in spec.get("volumes") or []:
        sources = [volume, *((volume.get("projected") or {}).get("sources") or [])]
        items = [item for source in sources for item in (source.get("downwardAPI") or {}).get("items") or []]
        for item in items:
            reference = item.get("fieldRef") or {}
            found.append((f"spec.volumes[{volume.get('name')}]", str(reference.get("fieldPath") or "")))
    return found
