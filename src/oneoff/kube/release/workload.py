"""Finds the workload in a list of Kubernetes objects: the one that a run is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from oneoff.errors import ManifestUnfit, did_you_mean
from oneoff.kube.objects import Object, annotations_of, metadata, name_of, namespace_of
from oneoff.kube.shape import OBJECTS, TEMPLATE, check

KINDS = ("Deployment", "StatefulSet", "ReplicaSet", "Rollout", "PodTemplate")
"""What can be named as a workload."""

_SHORT = {
    **{kind.lower(): kind for kind in KINDS},
    **{f"{kind.lower()}s": kind for kind in KINDS},
    "deploy": "Deployment",
    "sts": "StatefulSet",
    "rs": "ReplicaSet",
    "ro": "Rollout",
}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A workload with what belongs to it."""

    source: Object
    """The object itself, as it came."""
    template: Object
    """Its pod template."""
    claims: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Access modes of the PersistentVolumeClaims that are known, by name."""
    injected: frozenset[str] = frozenset()
    """Containers that its pods have and its template has not: added as they were made, by a mesh say."""

    @property
    def kind(self) -> str:
        return str(self.source["kind"])

    @property
    def name(self) -> str:
        return name_of(self.source)

    @property
    def namespace(self) -> str | None:
        """None where the manifest leaves it to whoever applies it."""
        return namespace_of(self.source)

    @property
    def reference(self) -> str:
        """As it is named in the settings: ``deployment/web``."""
        return f"{self.kind.lower()}/{self.name}"

    @property
    def claim_templates(self) -> tuple[str, ...]:
        """The volumes that a StatefulSet makes for each of its pods."""
        spec = self.source.get("spec") or {}
        return tuple(name_of(claim) for claim in spec.get("volumeClaimTemplates") or [])

    @property
    def pod_labels(self) -> dict[str, str]:
        return dict(metadata(self.template).get("labels") or {})


def flattened(documents: Iterable[object]) -> list[Object]:
    """The objects, those of a List one by one; an empty document is none.

    Raises:
        ManifestUnfit: a document is no object of Kubernetes.
    """
    found: list[Object] = []
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            begins = (
                f", and begins with {next(iter(document))!r}"
                if document and isinstance(document, dict)
                else ""
            )
            raise ManifestUnfit(
                f"a document of the manifest is no object of Kubernetes: it has no kind{begins}"
            )
        if document["kind"].endswith("List") and isinstance(document.get("items"), list):
            found += flattened(document["items"])
        else:
            check(document, OBJECTS.get(document["kind"], {}), document["kind"])
            found.append(document)
    return found


def parsed(reference: str) -> tuple[str, str]:
    """Kind and name of ``deployment/web``. Raises ManifestUnfit for what is neither."""
    word, _, name = reference.partition("/")
    kind = _SHORT.get(word.lower())
    if kind is None or not name or "/" in name:
        raise ManifestUnfit(
            f"{reference!r} names no workload",
            next_step=f'write it as KIND/NAME, such as "deployment/web"; kinds are {", ".join(KINDS)}',
        )
    return kind, name


def find(objects: Sequence[Object], reference: str | None, namespace: str | None) -> Workload:
    """The workload of this reference; the only one there is where none is given.

    Raises:
        ManifestUnfit: there is none, or there are several.
    """
    workloads = [one for one in objects if one["kind"] in KINDS and _in(one, namespace)]
    if reference is not None:
        kind, name = parsed(reference)
        wanted = [one for one in workloads if one["kind"] == kind and name_of(one) == name]
    else:
        wanted = [one for one in workloads if not metadata(one).get("ownerReferences")]
    if len(wanted) != 1:
        raise _unfit(wanted, objects, reference, namespace)
    source = wanted[0]
    return Workload(source=source, template=_template(source, objects), claims=_claims(objects, namespace))


def _in(one: Object, namespace: str | None) -> bool:
    """A manifest without a namespace is for whichever it is applied to."""
    return namespace is None or namespace_of(one) in (None, namespace)


def _unfit(
    wanted: list[Object], objects: Sequence[Object], reference: str | None, namespace: str | None
) -> ManifestUnfit:
    names = sorted({_named(one, namespace) for one in objects if one["kind"] in KINDS})
    there = f"there are: {', '.join(names)}" if names else f"there is none of {', '.join(KINDS)}"
    where = f" in the namespace {namespace}" if namespace else ""
    if reference is None:
        what = "there are several workloads" if wanted else "there is no workload"
        return ManifestUnfit(f"{what}{where}", next_step=f'{there}; name one: workload = "KIND/NAME"')
    if wanted:
        return ManifestUnfit(
            f"{reference} is there {len(wanted)} times{where}",
            next_step="name its namespace in the environment's kubernetes table",
        )
    return ManifestUnfit(f"there is no {reference}{where}{did_you_mean(reference, names)}", next_step=there)


def _named(one: Object, namespace: str | None) -> str:
    """As it is named in the settings, with its namespace where that is another one."""
    name = f"{one['kind'].lower()}/{name_of(one)}"
    return name if _in(one, namespace) else f"{name} in {metadata(one)['namespace']}"


def _template(source: Object, objects: Sequence[Object]) -> Object:
    """The pod template: of a PodTemplate itself, of a Rollout perhaps that of the workload it refers to."""
    if source["kind"] == "PodTemplate":
        found = source.get("template")
    else:
        spec = source.get("spec") or {}
        found = spec.get("template")
        referred = spec.get("workloadRef")
        if source["kind"] == "Rollout" and not found and referred:
            return _template(_referred(source, referred, objects), objects)
    if found is None:
        raise ManifestUnfit(f"{source['kind']} {name_of(source)} has no pod template")
    check(found, TEMPLATE, f"{source['kind']} {name_of(source)}: template")
    template: Object = found
    return template


def _referred(source: Object, reference: Object, objects: Sequence[Object]) -> Object:
    kind, name = reference.get("kind"), reference.get("name")
    namespace = namespace_of(source)
    for one in objects:
        if one["kind"] == kind and name_of(one) == name and _in(one, namespace) and one is not source:
            return one
    raise ManifestUnfit(f"Rollout {name_of(source)} refers to {kind} {name}, which is not there")


def _claims(objects: Sequence[Object], namespace: str | None) -> dict[str, tuple[str, ...]]:
    return {
        name_of(one): tuple((one.get("spec") or {}).get("accessModes") or ())
        for one in objects
        if one["kind"] == "PersistentVolumeClaim" and _in(one, namespace)
    }


def container_of(workload: Workload, name: str | None) -> Object:
    """The container that a run is made of: the one named, the default of kubectl, or the only one.

    Raises:
        ManifestUnfit: there is none of that name, or none is named and there are several.
    """
    containers: list[Object] = workload.template["spec"]["containers"]
    annotations = annotations_of(workload.template)
    wanted = name or annotations.get("kubectl.kubernetes.io/default-container")
    names = [str(container.get("name")) for container in containers]
    if wanted is None and len(containers) == 1:
        return containers[0]
    if wanted is None:
        raise ManifestUnfit(
            f"{workload.reference} has several containers: {', '.join(names)}",
            next_step="name the app's own: container = \"NAME\" in the environment's kubernetes table",
        )
    if wanted not in names:
        raise ManifestUnfit(
            f"{workload.reference} has no container {wanted!r}{did_you_mean(wanted, names)}",
            next_step=f"there are: {', '.join(names)}",
        )
    return containers[names.index(wanted)]
