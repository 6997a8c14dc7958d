"""Whether a run is the app: the digests of what makes a process what it is, of both sides."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any, Final

from oneoff.kube.objects import Object, digest

Part = Callable[[Object, Object], Any]
"""Takes the pod's spec and the container."""


def _of_container(field: str) -> Part:
    return lambda spec, container: container.get(field)


def _of_pod(*fields: str) -> Part:
    return lambda spec, container: {field: spec[field] for field in fields if field in spec}


def _volumes(spec: Object, container: Object) -> Any:
    """Those that the container mounts; what only others mount makes no difference to it."""
    mounts = [*(container.get("volumeMounts") or []), *(container.get("volumeDevices") or [])]
    mounted = {mount["name"] for mount in mounts}
    return [volume for volume in spec.get("volumes") or [] if volume.get("name") in mounted]


PARTS: Final[dict[str, Part]] = {
    "image": _of_container("image"),
    "env": _of_container("env"),
    "envFrom": _of_container("envFrom"),
    "volumes": _volumes,
    "volumeMounts": lambda spec, container: [container.get("volumeMounts"), container.get("volumeDevices")],
    "serviceAccount": _of_pod("serviceAccountName", "automountServiceAccountToken", "imagePullSecrets"),
    "podSecurityContext": _of_pod("securityContext", "hostUsers", "runtimeClassName"),
    "securityContext": _of_container("securityContext"),
    "resources": lambda spec, container: [spec.get("resources"), container.get("resources")],
    "workingDir": _of_container("workingDir"),
}
"""What is compared, by name."""


@dataclass(frozen=True)
class Identity:
    """The digests of a workload's container and of the run that was derived from it."""

    source: dict[str, str]
    result: dict[str, str]

    @property
    def differs(self) -> tuple[str, ...]:
        """The parts in which the run is not the app; empty where they are equal."""
        return tuple(part for part in PARTS if self.source[part] != self.result[part])


def identity(
    source: Object, derived: Object, container: str, *, own: Set[str], pinned: str | None = None
) -> Identity:
    """Compare two pod templates.

    Args:
        container: The name of the app's container, in both.
        own: Variables and volumes that are the run's alone; they are not compared.
        pinned: The digest by which the source's image runs, where one is known: by that it is compared.
    """
    return Identity(_digests(source, container, own, pinned), _digests(derived, container, own))


def _digests(template: Object, name: str, own: Set[str], pinned: str | None = None) -> dict[str, str]:
    spec = template["spec"]
    container = next(one for one in spec["containers"] if one.get("name") == name)
    variables = [one for one in container.get("env") or [] if one.get("name") not in own]
    mounts = [one for one in container.get("volumeMounts") or [] if one.get("name") not in own]
    # The order counts: a variable may refer to earlier ones. No list and an empty one are the same.
    seen = {**container, "env": variables or None, "volumeMounts": mounts or None}
    if pinned:
        seen["image"] = pinned
    return {part: digest(read(spec, seen) or None) for part, read in PARTS.items()}
