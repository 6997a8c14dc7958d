"""The namespace that a run is launched into: what stands there that may count, hold or refuse it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from oneoff.errors import ClusterError, NotPermitted, ObjectMissing
from oneoff.kube import selectors
from oneoff.kube.api.cluster import (
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
from oneoff.kube.checks import podsecurity
from oneoff.kube.checks.asking import together
from oneoff.kube.checks.check import Check, not_looked_at
from oneoff.kube.objects import Object, metadata, name_of, namespace_of
from oneoff.kube.release.live import RESOURCES
from oneoff.kube.release.workload import Workload

_READ: Final = (SERVICES, BUDGETS, AUTOSCALERS, NETWORK_POLICIES, QUOTAS, LIMIT_RANGES)


_NOTHING: Final = {"matchExpressions": [{"key": "", "operator": "Exists"}]}
"""Selects no pod, where an empty selector selects all."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The namespace of a run, as far as the user may see it."""

    name: str
    namespace: Object | None = None
    minor: int = 0
    """Minor version of the API server; 0 where nothing depends on it."""
    listed: Mapping[Resource, Sequence[Object]] = field(default_factory=dict)
    scaled: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    """The selectors of the workloads that autoscalers scale, by kind and name."""
    hidden: Mapping[Resource, ClusterError] = field(default_factory=dict)
    """What could not be looked at, and why."""

    def of(self, resource: Resource) -> Sequence[Object]:
        return self.listed.get(resource, ())

    def unseen(self, name: str, *resources: Resource) -> list[Check]:
        """The check of this name, where some of these could not be looked at; empty where all could."""
        reasons = [self.hidden[one] for one in resources if one in self.hidden]
        return [not_looked_at(name, *reasons)] if reasons else []


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
    hidden: dict[Resource, ClusterError] = {}

    def seen(resource: Resource, ask: Callable[[], Sequence[Object]]) -> Sequence[Object]:
        try:
            return ask()
        except (NotPermitted, ObjectMissing) as error:
            hidden[resource] = error
            return ()

    around = partial(seen, NAMESPACES, lambda: [cluster.get(NAMESPACES, cluster.namespace)])
    lists = [partial(seen, one, partial(_all, cluster, one)) for one in _READ]
    namespaces, *found = together(cluster, [around, *lists])
    listed = dict(zip(_READ, found, strict=True))
    scaled = {(workload.kind, workload.name): _selector(workload.source)}
    for kind, name in {selectors.target_of(one) for one in listed[AUTOSCALERS]} - scaled.keys():
        if kind in RESOURCES:
            for source in seen(AUTOSCALERS, partial(_if_there, cluster, RESOURCES[kind], name)):
                scaled[kind, name] = _selector(source)
    labels = metadata(namespaces[0]).get("labels") or {} if namespaces else {}
    return Place(
        name=cluster.namespace,
        namespace=next(iter(namespaces), None),
        minor=cluster.version()[1] if podsecurity.ENFORCE in labels else 0,
        listed=listed,
        scaled=scaled,
        hidden=hidden,
    )


def _all(cluster: Cluster, resource: Resource) -> Sequence[Object]:
    return cluster.list(resource).items


def _if_there(cluster: Cluster, resource: Resource, name: str) -> Sequence[Object]:
    """What an autoscaler names may be gone: then it scales nothing."""
    try:
        return [cluster.get(resource, name)]
    except ObjectMissing:
        return ()


def _selector(source: Object) -> Object:
    """What it selects its pods by; where it has it from another workload, its status says so."""
    found: Object | None = (source.get("spec") or {}).get("selector")
    said = str((source.get("status") or {}).get("selector") or "")
    terms = [term.partition("=") for term in said.split(",") if "=" in term and "!" not in term]
    return found or ({"matchLabels": {key: value for key, _, value in terms}} if terms else _NOTHING)
