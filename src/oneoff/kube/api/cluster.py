"""The narrow seam to a Kubernetes API server: raw JSON in and out, one namespace, one user.

Whatever stands behind it raises the errors below :class:`~oneoff.errors.ClusterError` and nothing else, so
that no caller knows a client. ``tests/contract/cluster_contract.py`` says what each method has to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from oneoff.kube.objects import Object

MANAGER: Final = "oneoff"
"""Who owns the fields that are applied."""


@dataclass(frozen=True)
class Resource:
    """A kind of object, as the API server names it."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}".lstrip("/")

    def __str__(self) -> str:
        """As RBAC names it: ``deployments.apps``."""
        return f"{self.plural}.{self.group}".rstrip(".")


JOBS: Final = Resource("batch", "v1", "Job", "jobs")
CRONJOBS: Final = Resource("batch", "v1", "CronJob", "cronjobs")
PODS: Final = Resource("", "v1", "Pod", "pods")
EVENTS: Final = Resource("", "v1", "Event", "events")
DEPLOYMENTS: Final = Resource("apps", "v1", "Deployment", "deployments")
STATEFULSETS: Final = Resource("apps", "v1", "StatefulSet", "statefulsets")
REPLICASETS: Final = Resource("apps", "v1", "ReplicaSet", "replicasets")
CONTROLLER_REVISIONS: Final = Resource("apps", "v1", "ControllerRevision", "controllerrevisions")
ROLLOUTS: Final = Resource("argoproj.io", "v1alpha1", "Rollout", "rollouts")
POD_TEMPLATES: Final = Resource("", "v1", "PodTemplate", "podtemplates")
SERVICES: Final = Resource("", "v1", "Service", "services")
BUDGETS: Final = Resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICIES: Final = Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
AUTOSCALERS: Final = Resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
LIMIT_RANGES: Final = Resource("", "v1", "LimitRange", "limitranges")
QUOTAS: Final = Resource("", "v1", "ResourceQuota", "resourcequotas")
CLAIMS: Final = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
CONFIG_MAPS: Final = Resource("", "v1", "ConfigMap", "configmaps")
NAMESPACES: Final = Resource("", "v1", "Namespace", "namespaces")
"""Cluster-wide: of it, one namespace is read."""


@dataclass(frozen=True)
class Listing:
    """What a list answered."""

    items: Sequence[Object]
    version: str
    """The ``resourceVersion`` from which a watch sees all that came later."""


@dataclass(frozen=True)
class Caller:
    """Who the API server takes us for (SelfSubjectReview, ``authentication.k8s.io/v1``)."""

    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """Which objects of a kind are wanted; both have to fit."""

    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


EVERYTHING: Final = Selection()


class Cluster(Protocol):
    """An API server, as one user sees one namespace of it.

    Every method raises :class:`~oneoff.errors.ClusterUnreachable` where no answer comes, after the client's
    own retries of what may be repeated (429, 503, a lost connection on a read);
    :class:`~oneoff.errors.CredentialsRefused` where the server does not know the user;
    :class:`~oneoff.errors.NotPermitted` where the user may not; and
    :class:`~oneoff.errors.ClusterError` for every other answer, in the server's words.
    """

    namespace: str
    context: str
    """Of the kubeconfig; ``in-cluster`` inside of a pod."""

    def get(self, resource: Resource, name: str) -> Object:
        """One object. Raises :class:`~oneoff.errors.ObjectMissing`."""

    def list(self, resource: Resource, selection: Selection = EVERYTHING) -> Listing:
        """All that fit, however many pages they come in.

        Raises :class:`~oneoff.errors.ObjectMissing` where the cluster has no such kind of object.
        """

    def create(self, resource: Resource, thing: Object, *, dry_run: bool = False) -> Object:
        """Make it, and give it as the server has it. Raises :class:`~oneoff.errors.ObjectExists`.

        Not repeated after an answer was lost: the caller looks whether it is there.
        """

    def rehearse(self, resource: Resource, thing: Object) -> Sequence[str]:
        """What the server warns of where this is made; it is not. Raises what ``create`` raises."""

    def apply(
        self, resource: Resource, thing: Object, *, dry_run: bool = False, force: bool = False
    ) -> Object:
        """Server-side apply as :data:`MANAGER`. Raises :class:`~oneoff.errors.FieldConflict`."""

    def patch(self, resource: Resource, name: str, change: Object) -> Object:
        """A JSON merge patch (RFC 7386). Raises :class:`~oneoff.errors.ObjectMissing`."""

    def delete(
        self, resource: Resource, name: str, *, uid: str, grace: int | None = None, orphan: bool = False
    ) -> None:
        """Delete this very object, and what it owns first (propagation ``Foreground``).

        Args:
            orphan: What it owns stays, and has no owner then (propagation ``Orphan``).

        Raises :class:`~oneoff.errors.ObjectMissing` where it is gone or another one has its name.
        """

    def watch(
        self, resource: Resource, selection: Selection, *, version: str, seconds: float
    ) -> Iterator[tuple[str, Object]]:
        """``ADDED``, ``MODIFIED`` and ``DELETED`` with the object, and ``BOOKMARK``, after ``version``.

        Ends after ``seconds``, or before, where the connection is lost; then it is watched again from the
        last ``resourceVersion`` that was seen. A connection that is silent past its time counts as lost.

        Raises:
            VersionGone: 410, also inside an HTTP 200, or the server cannot go on with it: list again.
        """

    def log(
        self, pod: str, container: str, *, follow: bool = False, since: str | None = None
    ) -> Iterator[bytes]:
        """Its log, a line each with its end, and the kubelet's time stamp before it (``timestamps=true``).

        Only the last line may have no end: where it was printed without, or where the connection was lost.
        A connection that is silent for a minute counts as lost: it may be half open. Of a pod without a node
        there is an empty one.

        Args:
            since: A time of RFC 3339, from which on; a line of that very time comes again.

        Raises:
            ObjectMissing: there is no such pod.
            LogNotReady: the container has not started yet.
            ClusterUnreachable: the connection was lost; what came before it has been yielded.
        """

    def hang_up(self) -> None:
        """End what other threads read or wait for at this moment: for them the connection is lost.

        What is asked for afterwards is answered as before.
        """

    def whoami(self) -> Caller: ...

    def may(self, verb: str, resource: Resource, *, subresource: str = "", name: str = "") -> bool:
        """Whether the user has this right here (SelfSubjectAccessReview): the last word on it."""

    def rules(self) -> Sequence[Object]:
        """What the user has been given here, by rules of RBAC (SelfSubjectRulesReview).

        There may be more: not every authorizer can list what it would permit.
        """

    def version(self) -> tuple[int, int]:
        """Major and minor version of the API server."""

    def close(self) -> None: ...
