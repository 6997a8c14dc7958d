"""Reads the workload of an environment from its cluster: the release that serves, and what belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from oneoff.errors import ClusterError, ManifestUnfit, NotDerivable, NotPermitted, ObjectMissing
from oneoff.kube.api.cluster import (
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    EVERYTHING,
    NAMESPACES,
    POD_TEMPLATES,
    PODS,
    REPLICASETS,
    ROLLOUTS,
    STATEFULSETS,
    Cluster,
    Resource,
    Selection,
)
from oneoff.kube.checks.asking import together
from oneoff.kube.objects import Object, metadata
from oneoff.kube.release import pinning
from oneoff.kube.release.configuration import read_configuration
from oneoff.kube.release.releases import Release, choose
from oneoff.kube.release.standing import Revision, ready, standing
from oneoff.kube.release.workload import Workload, container_of, find, flattened, parsed
from oneoff.settings import KubernetesSettings

RESOURCES: Final[dict[str, Resource]] = {
    one.kind: one for one in (DEPLOYMENTS, STATEFULSETS, REPLICASETS, ROLLOUTS, POD_TEMPLATES)
}
"""What can be named as a workload, by its kind."""
_LOOKED_AT: Final = (DEPLOYMENTS, STATEFULSETS, ROLLOUTS)
"""Where no workload is named, or the named one is not there."""


@dataclass(frozen=True, kw_only=True)
class Live:
    """A workload as it is in its cluster, with the release that was asked for."""

    workload: Workload
    """Its template is that of the revision."""
    image: str | None
    """``REPOSITORY@sha256:…`` of the run's container; None where there is none to pin."""
    revision: str
    """As people name it: the number of a Deployment's; empty where it has none."""
    config: Mapping[str, str] = field(default_factory=dict)
    """What the configuration is known by: see :class:`~oneoff.kube.release.configuration.Configuration`."""
    notes: tuple[str, ...] = ()
    """What whoever launches should know."""

    @property
    def labels(self) -> dict[str, str]:
        """Those of the app's pods."""
        return self.workload.pod_labels


def read(cluster: Cluster, settings: KubernetesSettings, *, release: Release | None = None) -> Live:
    """The workload of these settings.

    Args:
        release: None demands that what serves is what the workload asks for.

    Raises:
        ManifestUnfit: there is no such workload or container.
        NotDerivable: it is in the middle of a rollout, and nothing was chosen; or its tag has moved.
        ClusterError: the cluster does not answer, or does not permit it.
    """
    workload = _workload(cluster, settings)
    where = f"{workload.reference} in {cluster.namespace}"
    if release == "running" and workload.kind == "PodTemplate":
        raise NotDerivable(
            f"{where} is a release that is not live: nothing of it runs", next_step="--release target"
        )
    now = standing(workload.source, workload.template, *_revisions(cluster, workload))
    chosen = choose(where, now, release)
    workload = replace(workload, template=chosen.template)
    container = container_of(workload, settings.container)
    serving = [pod for pod in chosen.pods if ready(pod)]
    pinned = pinning.pin(where, str(container.get("image") or ""), str(container["name"]), serving)
    around = read_configuration(cluster, workload.template)
    notes = [*_about(workload, chosen, release, now.trouble), pinned.note, *around.notes]
    return Live(
        workload=replace(workload, claims=around.claims, injected=_injected(chosen)),
        image=pinned.image,
        revision=chosen.number,
        config=around.versions,
        notes=tuple(filter(None, notes)),
    )


def of_manifest(cluster: Cluster, settings: KubernetesSettings, documents: Iterable[Any]) -> Live:
    """A release that may not be live yet, as a manifest of it says; Helm and Kustomize print such.

    Raises:
        ManifestUnfit: it has no such workload or container.
        ClusterError: the cluster does not answer.
    """
    workload = find(flattened(documents), settings.workload, cluster.namespace)
    image = str(container_of(workload, settings.container).get("image") or "")
    pinned = image if pinning.is_pinned(image) else None
    around = read_configuration(cluster, workload.template)
    notes = [f"{workload.reference} is taken from a manifest, whatever runs", *around.notes]
    if pinned is None:
        notes.append(f"{image} is no digest: what it names may change until the run starts")
    return Live(
        workload=replace(workload, claims={**around.claims, **workload.claims}),
        image=pinned,
        revision="",
        config=around.versions,
        notes=tuple(notes),
    )


def _workload(cluster: Cluster, settings: KubernetesSettings) -> Workload:
    if settings.workload is None:
        there = _listed(cluster, _LOOKED_AT)
        return find([*there, *_referred(cluster, there)], None, cluster.namespace)
    kind, name = parsed(settings.workload)
    try:
        there = flattened([cluster.get(RESOURCES[kind], name)])
    except ObjectMissing:
        check_namespace(cluster)
        there = _listed(cluster, {RESOURCES[kind]: None, **dict.fromkeys(_LOOKED_AT)})  # to name what is
    return find([*there, *_referred(cluster, there)], settings.workload, cluster.namespace)


def _referred(cluster: Cluster, there: Iterable[Object]) -> list[Object]:
    """What a Rollout takes its template from, where that is another workload."""
    found: list[Object] = []
    for source in there:
        reference = (source.get("spec") or {}).get("workloadRef") or {}
        resource = RESOURCES.get(str(reference.get("kind")))
        if source["kind"] == "Rollout" and resource is not None:
            with suppress(ObjectMissing):  # `find` says so
                found += flattened([cluster.get(resource, str(reference.get("name")))])
    return found


def _listed(cluster: Cluster, resources: Iterable[Resource]) -> list[Object]:
    """What is there, as far as it may be seen; a kind that the cluster has not is none."""
    found: list[Object] = []
    for resource in resources:
        try:
            found += flattened(cluster.list(resource).items)
        except (NotPermitted, ObjectMissing):
            continue
    return found


def check_namespace(cluster: Cluster) -> None:
    """What is missing in a namespace that is not there, or goes, needs no other reason.

    Raises:
        ManifestUnfit, ClusterError: it is not there; it is being deleted.
    """
    try:
        namespace = cluster.get(NAMESPACES, cluster.namespace)
    except NotPermitted:
        return
    except ObjectMissing as error:
        raise ManifestUnfit(
            f"there is no namespace {cluster.namespace} in the cluster of the context {cluster.context}",
            next_step="see namespace and context in the environment's kubernetes table",
        ) from error
    if ends(namespace):
        raise ClusterError(
            f"the namespace {cluster.namespace} is being deleted, with all that was in it",
            next_step="wait until both are back, or see namespace in the environment's kubernetes table",
        )


def ends(namespace: Object) -> bool:
    """Whether it is being deleted: nothing new can be made in it."""
    phase = (namespace.get("status") or {}).get("phase")
    return phase == "Terminating" or bool(metadata(namespace).get("deletionTimestamp"))


def _revisions(cluster: Cluster, workload: Workload) -> tuple[list[Object], list[Object]]:
    """What keeps its revisions, and the pods that its selector selects."""
    if workload.kind == "PodTemplate":
        return [], []
    selector: Any = (workload.source.get("spec") or {}).get("selector") or {}
    chosen = Selection(labels=selector["matchLabels"]) if selector.get("matchLabels") else EVERYTHING
    wanted = [PODS]
    if workload.kind != "ReplicaSet":
        wanted.append(CONTROLLER_REVISIONS if workload.kind == "StatefulSet" else REPLICASETS)
    pods, *kept = together(cluster, [partial(cluster.list, one, chosen) for one in wanted])
    uid = metadata(workload.source).get("uid")
    return [one for listing in kept for one in listing.items if _owner(one) == uid], list(pods.items)


def _owner(one: Object) -> Any:
    owners = metadata(one).get("ownerReferences") or []
    return next((owner.get("uid") for owner in owners if owner.get("controller")), None)


def _injected(chosen: Revision) -> frozenset[str]:
    own = {str(one["name"]) for one in chosen.template["spec"]["containers"]}
    there = {str(one["name"]) for pod in chosen.pods for one in pod["spec"]["containers"]}
    return frozenset(there - own)


def _about(workload: Workload, chosen: Revision, release: Release | None, trouble: str) -> list[str]:
    """What there is to say about the revision that was chosen."""
    if workload.kind == "PodTemplate":
        return [f"{workload.reference} is a release that is not live: nothing of it runs yet"]
    if trouble:
        return [f"{workload.reference} {trouble}: the run is of {chosen.title}, its {release} release"]
    if not chosen.pods:
        return [f"{workload.reference} has no pods: the run is of {chosen.title}, its newest"]
    if chosen.available < len(chosen.pods):
        return [f"{chosen.available} of {len(chosen.pods)} pods of {workload.reference} are available"]
    return []
