"""The kinds that the server knows, and the words for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

Object = dict[str, Any]
"""A Kubernetes object, as JSON gives it."""

_EMPTY_TEMPLATE = {"metadata": {}, "spec": {"containers": None}}


class Key(NamedTuple):
    """Where an object is stored; cluster-wide kinds have no namespace."""

    group: str
    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Kind:
    """One kind in one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    zero: Object = field(default_factory=lambda: {"metadata": {}, "spec": {}, "status": {}}, compare=False)
    """The object with nothing set, as bookmarks carry it: nobody owns what it holds."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages name the resource: ``jobs.batch``, ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """As messages about invalid objects name it: ``Job.batch``, ``Pod``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def custom(self) -> bool:
        """True for kinds that a real server has from a custom resource definition."""
        return "." in self.group and not self.group.endswith(".k8s.io")

    def key(self, namespace: str, name: str) -> Key:
        return Key(self.group, self.plural, namespace if self.namespaced else "", name)


_STATUS = ("status",)
_PLAIN: Object = {"metadata": {}}
_EVENT: Object = {
    "metadata": {},
    "involvedObject": {},
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}
_JOB: Object = {"metadata": {}, "spec": {"template": _EMPTY_TEMPLATE}, "status": {}}
_CRONJOB: Object = {
    "metadata": {},
    "spec": {"schedule": "", "jobTemplate": {"metadata": {}, "spec": {"template": _EMPTY_TEMPLATE}}},
    "status": {},
}
_POD: Object = {"metadata": {}, "spec": {"containers": None}, "status": {}}
_WORKLOAD: Object = {"metadata": {}, "spec": {"selector": None, "template": _EMPTY_TEMPLATE}, "status": {}}

BUILT_IN = (
    Kind("", "v1", "namespaces", "Namespace", False, _STATUS, ("ns",)),
    Kind("", "v1", "nodes", "Node", False, _STATUS, ("no",)),
    Kind("", "v1", "pods", "Pod", True, ("status", "log", "eviction"), ("po",), _POD),
    Kind("", "v1", "podtemplates", "PodTemplate", zero={"metadata": {}, "template": _EMPTY_TEMPLATE}),
    Kind("", "v1", "services", "Service", True, _STATUS, ("svc",)),
    Kind("", "v1", "configmaps", "ConfigMap", short=("cm",), zero=_PLAIN),
    Kind("", "v1", "secrets", "Secret", zero=_PLAIN),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", True, ("token",), ("sa",), _PLAIN),
    Kind("", "v1", "resourcequotas", "ResourceQuota", True, _STATUS, ("quota",)),
    Kind("", "v1", "limitranges", "LimitRange", short=("limits",)),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, _STATUS, ("pvc",)),
    Kind("", "v1", "events", "Event", short=("ev",), zero=_EVENT),
    Kind("apps", "v1", "deployments", "Deployment", True, _STATUS, ("deploy",), _WORKLOAD),
    Kind("apps", "v1", "replicasets", "ReplicaSet", True, _STATUS, ("rs",), _WORKLOAD),
    Kind("apps", "v1", "statefulsets", "StatefulSet", True, _STATUS, ("sts",), _WORKLOAD),
    Kind("apps", "v1", "controllerrevisions", "ControllerRevision", zero={"metadata": {}, "revision": 0}),
    Kind("batch", "v1", "jobs", "Job", True, _STATUS, zero=_JOB),
    Kind("batch", "v1", "cronjobs", "CronJob", True, _STATUS, ("cj",), _CRONJOB),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, _STATUS, ("pdb",)),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short=("netpol",)),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, _STATUS, ("hpa",)),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", zero=_PLAIN),
    Kind("rbac.authorization.k8s.io", "v1", "roles", "Role", zero=_PLAIN),
    Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", zero=_PLAIN),
    Kind("argoproj.io", "v1alpha1", "rollouts", "Rollout", True, _STATUS),
)


class Kinds:
    """The kinds of one server; a test may add a custom one."""

    def __init__(self) -> None:
        self.known: list[Kind] = list(BUILT_IN)

    def add(self, kind: Kind) -> None:
        self.known.append(kind)

    def by_plural(self, group: str, version: str, plural: str) -> Kind | None:
        wanted = (group, version, plural)
        return next((kind for kind in self.known if (kind.group, kind.version, kind.plural) == wanted), None)

    def named(self, name: str) -> Kind:
        """The kind of this name, ``Job``, or plural, ``jobs``; KeyError for none."""
        for kind in self.known:
            if name in (kind.kind, kind.plural):
                return kind
        raise KeyError(name)

    def of(self, obj: Object) -> Kind:
        """The kind of an object; KeyError where the server does not know it."""
        for kind in self.known:
            if kind.api_version == obj["apiVersion"] and kind.kind == obj["kind"]:
                return kind
        raise KeyError(f"{obj['apiVersion']} {obj['kind']}")

    def stored(self, key: Key) -> Kind:
        return next(kind for kind in self.known if (kind.group, kind.plural) == (key.group, key.plural))
