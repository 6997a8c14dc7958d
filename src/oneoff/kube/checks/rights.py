"""What a user has to be allowed in a namespace: one table, by what is done with it, and a Role that gives it.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/ has the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from oneoff.errors import NotPermitted, ObjectMissing
from oneoff.kube.api.cluster import (
    AUTOSCALERS,
    BUDGETS,
    CLAIMS,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    CRONJOBS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    LIMIT_RANGES,
    NAMESPACES,
    NETWORK_POLICIES,
    POD_TEMPLATES,
    PODS,
    QUOTAS,
    REPLICASETS,
    ROLLOUTS,
    SERVICES,
    STATEFULSETS,
    Cluster,
    Resource,
)
from oneoff.kube.checks.asking import together
from oneoff.kube.objects import Object, digest


@dataclass(frozen=True)
class Right:
    """One verb on one kind of object."""

    verb: str
    resource: Resource
    purpose: str
    """What cannot be done without it."""
    subresource: str = ""
    needed: bool = True
    """Without it nothing is done."""

    def __str__(self) -> str:
        """As RBAC names it: ``get pods/log``, ``create jobs.batch``."""
        return f"{self.verb} {self.what}"

    @property
    def what(self) -> str:
        """``pods/log``, ``jobs.batch``."""
        return f"{self.resource}{f'/{self.subresource}' if self.subresource else ''}"

    def is_in(self, rule: Object) -> bool:
        """Whether a rule of RBAC gives it, for objects of any name."""
        named = f"{self.resource.plural}/{self.subresource}".rstrip("/")
        fitting = {
            "verbs": {self.verb, "*"},
            "apiGroups": {self.resource.group, "*"},
            "resources": {named, "*", *([f"*/{self.subresource}"] if self.subresource else [])},
        }
        return not rule.get("resourceNames") and all(
            names & set(rule.get(part) or ()) for part, names in fitting.items()
        )

    def given(self, cluster: Cluster) -> bool:
        """Whether the user has it. Raises ClusterError."""
        return cluster.may(self.verb, self.resource, subresource=self.subresource)


PUBLISH: Final = "publish the catalogue"

LAUNCH: Final = (
    Right("create", JOBS, "launch a run"),
    Right("get", JOBS, "see how a run ends"),
)
FOLLOW: Final = (
    Right("list", PODS, "see how a run ends"),
    Right("list", JOBS, "follow a run"),
    Right("watch", JOBS, "follow a run"),
    Right("watch", PODS, "follow a run"),
    Right("get", PODS, "read a run's output", subresource="log"),
    Right("list", EVENTS, "say why a run does not start", needed=False),
)
CANCEL: Final = (
    Right("patch", JOBS, "note on its Job who cancels a run", needed=False),
    Right("delete", JOBS, "cancel a run", needed=False),
)
SYNC: Final = tuple(
    Right(verb, CRONJOBS, "keep schedules as the code has them", needed=False)
    for verb in ("get", "list", "create", "patch", "delete")
)
AFTER_SYNC: Final = (
    Right("patch", JOBS, "tidy up after a schedule that left the code", needed=False),
    *(Right(verb, CONFIG_MAPS, PUBLISH, needed=False) for verb in ("create", "patch")),
)
PREFLIGHT: Final = (
    Right("get", NAMESPACES, "see whether the namespace takes a run", needed=False),
    *(
        Right("list", resource, "see what would count, hold or refuse a run", needed=False)
        for resource in (SERVICES, BUDGETS, AUTOSCALERS, NETWORK_POLICIES, QUOTAS, LIMIT_RANGES, CLAIMS)
    ),
    Right("get", CONFIG_MAPS, "say which configuration a run has", needed=False),
)
RUNS: Final = (*LAUNCH, *FOLLOW, *CANCEL)
"""Of whoever launches runs."""

_WORKLOADS: Final = {
    "Deployment": (DEPLOYMENTS, REPLICASETS),
    "StatefulSet": (STATEFULSETS, CONTROLLER_REVISIONS),
    "Rollout": (ROLLOUTS, REPLICASETS),
    "ReplicaSet": (REPLICASETS, None),
    "PodTemplate": (POD_TEMPLATES, None),
}
"""By its kind: what a workload is, and where its revisions are."""


def not_given(cluster: Cluster, rights: Sequence[Right]) -> list[Right]:
    """Those of them that the user has not, in their order. Raises ClusterError.

    One question tells what RBAC grants; what it does not tell is asked for right by right.
    """
    rules = _listed(cluster)
    open_ones = [right for right in rights if not any(right.is_in(rule) for rule in rules)]
    granted = together(cluster, [partial(right.given, cluster) for right in open_ones])
    return [right for right, has in zip(open_ones, granted, strict=True) if not has]


def _listed(cluster: Cluster) -> Sequence[Object]:
    try:
        return cluster.rules()
    except (NotPermitted, ObjectMissing):
        return ()


def by_verb(kind: str | None) -> dict[str, tuple[Right, ...]]:
    """All of it, by what is done with it.

    Args:
        kind: Of the workload; None where the only one there is has to be found.
    """
    return {
        "launch": (*LAUNCH, *_reading(kind)),
        "follow": FOLLOW,
        "cancel": CANCEL,
        "sync": (*SYNC, *AFTER_SYNC),
        "preflight": PREFLIGHT,
    }


def role(namespace: str, user: str, wanted: Iterable[Right]) -> Object:
    """A Role with these rights, bound to the user: one ``List`` for ``kubectl apply -f -``.

    Its name is that of its content, so that it takes the place of no other Role.
    """
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in wanted:
        what = f"{right.resource.plural}/{right.subresource}".rstrip("/")
        verbs.setdefault((right.resource.group, what), []).append(right.verb)
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, what), those in verbs.items():
        merged.setdefault((group, tuple(dict.fromkeys(those))), []).append(what)
    rules = [
        {"apiGroups": [group], "resources": resources, "verbs": list(those)}
        for (group, those), resources in merged.items()
    ]
    name = f"oneoff-{digest([user, rules]).rpartition(':')[2][:8]}"
    head = {"name": name, "namespace": namespace}
    api = "rbac.authorization.k8s.io"
    given = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": head, "rules": rules}
    bound = {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": head,
        "subjects": [_subject(user)],
        "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [given, bound]}


def _reading(kind: str | None) -> tuple[Right, ...]:
    purpose = "read the release that serves"
    if kind is None:
        resources = (DEPLOYMENTS, STATEFULSETS, REPLICASETS)
        return tuple(Right("list", resource, purpose) for resource in resources)
    workload, revisions = _WORKLOADS[kind]
    return (
        Right("get", workload, purpose),
        *((Right("list", revisions, purpose),) if revisions else ()),
    )


def _subject(user: str) -> Object:
    match user.split(":"):
        case ["system", "serviceaccount", namespace, name]:
            return {"kind": "ServiceAccount", "namespace": namespace, "name": name}
        case _:
            return {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
