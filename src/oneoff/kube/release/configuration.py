"""What a pod refers to, as far as it may be looked at: ConfigMaps by their versions, claims by their modes.

References are read when a pod starts, so pods that are older may have other values. Secrets are never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from oneoff.errors import NotPermitted, ObjectMissing
from oneoff.kube.api.cluster import CLAIMS, CONFIG_MAPS, Cluster
from oneoff.kube.checks.asking import together
from oneoff.kube.objects import Object, annotations_of, metadata, name_of

ABSENT = "absent"
"""In place of the version of a ConfigMap that is not there."""


@dataclass
class Configuration:
    """What is known of what a pod refers to."""

    versions: dict[str, str] = field(default_factory=dict)
    """``checksum/…`` annotations of the pod, and ``configmap/NAME`` with its ``resourceVersion``."""
    claims: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Access modes of PersistentVolumeClaims, by name."""
    notes: list[str] = field(default_factory=list)
    """What could not be looked at, or is not there."""


def read_configuration(cluster: Cluster, template: Object) -> Configuration:
    """What this pod template refers to. Raises ClusterError where the cluster does not answer."""
    annotations = annotations_of(template)
    found = Configuration()
    wanted = config_maps(template)
    questions = [partial(_read_version, cluster, found, name, wanted[name]) for name in wanted]
    if any(volume.get("persistentVolumeClaim") for volume in template["spec"].get("volumes") or []):
        questions.append(partial(_read_claims, cluster, found))
    together(cluster, questions)
    found.versions |= {key: str(value) for key, value in annotations.items() if key.startswith("checksum/")}
    found.versions = dict(sorted(found.versions.items()))
    found.notes.sort()
    return found


def _read_version(cluster: Cluster, found: Configuration, name: str, required: bool) -> None:
    try:
        version = str(metadata(cluster.get(CONFIG_MAPS, name))["resourceVersion"])
    except NotPermitted as error:
        found.notes.append(f"the version of the ConfigMap {name} is not known: {error}")
    except ObjectMissing:
        found.versions[f"configmap/{name}"] = ABSENT
        if required:
            found.notes.append(f"there is no ConfigMap {name}: a pod that refers to it does not start")
    else:
        found.versions[f"configmap/{name}"] = version


def _read_claims(cluster: Cluster, found: Configuration) -> None:
    try:
        for one in cluster.list(CLAIMS).items:
            found.claims[name_of(one)] = tuple((one.get("spec") or {}).get("accessModes") or ())
    except NotPermitted as error:
        found.notes.append(f"whether its volumes may be shared is not known: {error}")


def config_maps(template: Object) -> Mapping[str, bool]:
    """The ConfigMaps that a pod refers to, by name, with whether it does not start without."""
    found: dict[str, bool] = {}
    for reference in _references(template["spec"]):
        if reference.get("name"):
            name = str(reference["name"])
            found[name] = found.get(name, False) or not reference.get("optional")
    return found


def _references(spec: Object) -> Iterator[Object]:
    """In variables, in whole maps of them, in volumes."""
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for variable in container.get("env") or []:
            yield (variable.get("valueFrom") or {}).get("configMapKeyRef") or {}
        for source in container.get("envFrom") or []:
            yield source.get("configMapRef") or {}
    for volume in spec.get("volumes") or []:
        for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
            yield source.get("configMap") or {}
