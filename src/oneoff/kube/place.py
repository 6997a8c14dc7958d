"""The namespace that a run is launched into: what stands there that may count, hold or refuse it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from oneoff.errors import NotPermitted, ObjectMissing
from oneoff.kube import selectors
from oneoff.kube.cluster import (
    AUTOSCALERS,
    BUDGETS,
    LIMIT_RANGES,
    NAMESPACES,
    NETWORK_POLICIES,
    QUOTAS,
    SERVICES,
    Cluster,
    Resource,
)
from oneoff.kube.live import RESOURCES
from oneoff.kube.objects import Object, name_of, namespace_of
from oneoff.kube.workload import Workload

_READ: Final = (SERVICES, BUDGETS, AUTOSCALERS, NETWORK_POLICIES, QUOTAS, LIMIT_RANGES)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The namespace of a run, as far as the user may see it."""

    name: str
    namespace: Object | None = None
    minor: int = 0
    """Minor version of the API server."""
    listed: Mapping[Resource, Sequence[Object]] = field(default_factory=dict)
    scaled: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    """The selectors of the workloads that autoscalers scale, by kind and name."""
    hidden: Mapping[str, str] = field(default_factory=dict)
    """What could not be looked at, and why."""

    def of(self, resource: Resource) -> Sequence[Object]:
        return self.listed.get(resource, ())

    def why_not(self, *resources: Resource) -> str:
        """Why some of these could not be looked at; empty where all could."""
        return "; ".join(self.hidden[str(one)] for one in resources if str(one) in self.hidden)


def of_objects(objects: Sequence[Object], namespace: str | None) -> Place:
    """What a manifest holds besides its workload, as far as it is for the same namespace."""
    there = [one for one in objects if namespace is None or namespace_of(one) in (None, namespace)]
    return Place(
        name=namespace or "",
        listed={
            resource: [one for one in there if one["kind"] == resource.kind]
            for resource in (SERVICES, BUDGETS, AUTOSCALERS, NETWORK_POLICIES)
        },
        scaled={(one["kind"], name_of(one)): _selector(one) for one in there if one["kind"] in RESOURCES},
    )


def look(cluster: Cluster, workload: Workload) -> Place:
    """Read the namespace. What the user may not see is noted, and raises nothing."""
    listed: dict[Resource, Sequence[Object]] = {}
    hidden: dict[str, str] = {}
    for resource in _READ:
        try:
            listed[resource] = cluster.list(resource).items
        except (NotPermitted, ObjectMissing) as error:
            hidden[str(resource)] = error.message
    namespace: Object | None = None
    try:
        namespace = cluster.get(NAMESPACES, cluster.namespace)
    except (NotPermitted, ObjectMissing) as error:
        hidden[str(NAMESPACES)] = error.message
    scaled = {(workload.kind, workload.name): _selector(workload.source)}
    for target in {selectors.target_of(one) for one in listed.get(AUTOSCALERS, ())} - scaled.keys():
        kind, name = target
        if kind not in RESOURCES:
            continue
        try:
            scaled[target] = _selector(cluster.get(RESOURCES[kind], name))
        except ObjectMissing:
            continue  # it scales nothing
        except NotPermitted as error:
            hidden[str(AUTOSCALERS)] = error.message
    return Place(
        name=cluster.namespace,
        namespace=namespace,
        minor=cluster.version()[1],
        listed=listed,
        scaled=scaled,
        hidden=hidden,
    )


def _selector(source: Object) -> Object:
    """Nothing is selected by what has none."""
    found: Object | None = (source.get("spec") or {}).get("selector")
    return found or {"matchExpressions": [{"key": "", "operator": "Exists"}]}
