"""From the pod template of a workload to that of a run: the app, save that it runs the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final

from oneoff.errors import ManifestUnfit, NotDerivable, did_you_mean
from oneoff.kube.derivation import rules, volumes
from oneoff.kube.derivation.starting import start
from oneoff.kube.objects import Change, Object, annotations_of, named
from oneoff.kube.release.workload import Workload, container_of
from oneoff.settings import KubernetesSettings

MANAGED: Final = {"app.kubernetes.io/managed-by": "oneoff", "app.kubernetes.io/component": "oneoff"}
"""The labels of everything that oneoff makes."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """A volume of the run's own."""

    volume: Object
    """An entry of ``volumes``."""
    path: str
    """Where it is mounted."""
    reason: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the run's container has that the app's has not."""

    argv: tuple[str, ...]
    """The command, as its words are to arrive: see :func:`escaped`."""
    environ: Sequence[Object] = ()
    """Variables to add: entries of ``env``. One of the app of the same name is replaced."""
    departures: frozenset[str] = frozenset()
    """Those of them that are no part of how a run is started: the environment is not the app's in these."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    """In place of the app's own."""
    pinned: str | None = None
    """The digest by which the app's own image runs; to name it so is no departure."""
    rooms: Sequence[Room] = ()
    grace: int = 30
    """Seconds that it gets to stop, at least."""


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A pod template for a run, and how it differs from its source."""

    template: Object
    container: str
    """The name of the container that runs the task."""
    changes: tuple[Change, ...]
    departures: tuple[str, ...]
    """In what it is not the app: named in the record."""


def derive(workload: Workload, settings: KubernetesSettings, wish: Wish) -> Derived:
    """The pod template of a run.

    Raises:
        ManifestUnfit: a container that the settings name is not there.
        NotDerivable: it could be made in several ways, and none is chosen.
    """
    source = container_of(workload, settings.container)
    name = str(source["name"])
    _check_names(workload, settings, name)
    spec, changes = rules.apply(rules.POD, workload.template["spec"], "spec")
    container, more = _container(source, settings, wish)
    changes += more
    before, more = _before(workload, settings, name)
    changes += more
    found = volumes.volumes_of(workload, [container, *before], settings.volumes)
    changes += found.changes
    for room in wish.rooms:
        name_of_room = room.volume["name"]
        found.volumes.append(room.volume)
        mount = {
            "name": name_of_room,
            "mountPath": room.path,
            **({"readOnly": True} if room.read_only else {}),
        }
        container["volumeMounts"] = [*container.get("volumeMounts", []), mount]
        changes.append(Change(f"spec.volumes[{name_of_room}]", "added", f"{room.reason}, at {room.path}"))
    _place(spec, "volumes", found.volumes)
    _place(spec, "initContainers", before)
    spec["containers"] = [container]
    spec["restartPolicy"] = "Never"  # left out, it would be Always
    if found.same_node:
        spec["affinity"] = {**spec.get("affinity", {}), **volumes.beside_the_app(workload)}
    changes += _grace(spec, wish.grace)
    head, more = _metadata(workload, settings, wish)
    template = {"metadata": head, "spec": spec}
    changes += more + volumes.lost_references(
        workload.template, template, {str(variable["name"]) for variable in wish.environ}
    )
    return Derived(
        template=template,
        container=name,
        changes=tuple(changes),
        departures=_departures(source, wish),
    )


def escaped(words: Sequence[str]) -> tuple[str, ...]:
    """Words of a command as they have to be written, so that ``$(NAME)`` in them is no variable's value."""
    return tuple(word.replace("$", "$$") for word in words)


def _check_names(workload: Workload, settings: KubernetesSettings, name: str) -> None:
    spec = workload.template["spec"]
    others = [str(one["name"]) for one in spec["containers"] if one["name"] != name]
    first = [str(one["name"]) for one in spec.get("initContainers") or []]
    for key, wanted, there in (("sidecars", settings.sidecars, others), ("without", settings.without, first)):
        for one in wanted:
            if one not in there:
                raise ManifestUnfit(
                    f"{key}: {workload.reference} has no such container {one!r}{did_you_mean(one, there)}",
                    next_step=f"there are: {', '.join(there) or 'none'}",
                )


def _container(source: Object, settings: KubernetesSettings, wish: Wish) -> tuple[Object, list[Change]]:
    path = f"spec.containers[{source['name']}]"
    started = start(
        source,
        wish.argv,
        keep_entrypoint=settings.keep_entrypoint,
        wrapper=settings.wrapper,
        path=path,
    )
    result, changes = rules.apply(rules.CONTAINER, source, path)
    _place(result, "command", started.command)
    _place(result, "args", started.args)
    result["terminationMessagePolicy"] = "FallbackToLogsOnError"
    changes += started.changes
    changes += _name_image(result, wish, path)
    given = {variable["name"] for variable in wish.environ}
    own = [variable for variable in result.get("env") or [] if variable.get("name") not in given]
    # First: a variable of the app may refer to no later one, and so to none of ours.
    _place(result, "env", [*deepcopy(list(wish.environ)), *own])
    changes += [
        Change(f"{path}.env[{variable['name']}]", "added", _why(variable["name"], wish, source))
        for variable in wish.environ
    ]
    return result, changes


def _name_image(container: Object, wish: Wish, path: str) -> list[Change]:
    named_so, wanted = container.get("image"), wish.image or wish.pinned
    if wanted in (None, named_so):
        return []
    container["image"] = wanted
    reason = (
        f"{wanted} was asked for" if wish.image else "it is what runs; the tag may move until the run starts"
    )
    changes = [Change(f"{path}.image", "replaced", reason)]
    if not wish.image and container.get("imagePullPolicy") == "Always":
        container["imagePullPolicy"] = "IfNotPresent"
        changes.append(Change(f"{path}.imagePullPolicy", "replaced", "what a digest names never changes"))
    return changes


def _why(name: str, wish: Wish, source: Object) -> str:
    if named(source.get("env"), name):
        return "in place of the app's own"
    return "the task's own" if name in wish.departures else "by it the run knows what it is"


def _before(workload: Workload, settings: KubernetesSettings, name: str) -> tuple[list[Object], list[Change]]:
    """What starts before the run: named sidecars, then the app's init containers."""
    spec = workload.template["spec"]
    sidecars, first, changes = list[Object](), list[Object](), list[Change]()
    for container in spec["containers"]:
        path = f"spec.containers[{container['name']}]"
        if container["name"] == name:
            continue
        if container["name"] not in settings.sidecars:
            changes.append(Change(path, "dropped", "it would run for ever, and the Job would never end"))
            continue
        sidecar, more = rules.without_host_ports(container, path)
        sidecars.append({**sidecar, "restartPolicy": "Always"})
        changes += [*more, Change(path, "moved", "a native sidecar ends with the run (Kubernetes 1.29)")]
    for container in spec.get("initContainers") or []:
        path = f"spec.initContainers[{container['name']}]"
        if container["name"] in settings.without:
            changes.append(Change(path, "dropped", "the settings say so"))
            continue
        kept, more = rules.without_host_ports(container, path)
        first.append(kept)
        changes += more
        if "migrat" in f"{container['name']} {container.get('command')} {container.get('args')}":
            changes.append(
                Change(path, "kept", "it looks like a migration, which each run would repeat: see without")
            )
    return [*sidecars, *first], changes


def _grace(spec: Object, least: int) -> list[Change]:
    given = spec.get("terminationGracePeriodSeconds")
    if given is not None and given >= least:
        return []
    spec["terminationGracePeriodSeconds"] = least
    reason = "the task gets that long to stop"
    return [
        Change("spec.terminationGracePeriodSeconds", "replaced" if given is not None else "added", reason)
    ]


def _metadata(workload: Workload, settings: KubernetesSettings, wish: Wish) -> tuple[Object, list[Change]]:
    labels, annotations = workload.pod_labels, dict(annotations_of(workload.template))
    changes: list[Change] = []
    missing = [key for key in settings.network_labels if key not in labels]
    if missing:
        raise NotDerivable(
            f"network_labels: the pods of {workload.reference} have no label {missing[0]}",
            next_step=f"they have: {', '.join(sorted(labels)) or 'none'}",
        )
    kept = {
        key: value
        for key, value in labels.items()
        if key in settings.network_labels or rules.matches(key, rules.KEPT_LABELS)
    }
    for key in labels.keys() - kept.keys():
        reason = "a Service, a budget or an autoscaler would count the run as the app"
        changes.append(Change(f"metadata.labels[{key}]", "dropped", reason))
    remaining = {}
    for key, value in annotations.items():
        pattern = rules.matches(key, tuple(rules.DROPPED_ANNOTATIONS))
        if pattern is None:
            remaining[key] = value
        else:
            reason = rules.DROPPED_ANNOTATIONS[pattern]
            changes.append(Change(f"metadata.annotations[{key}]", "dropped", reason))
    for proxy, ((key, value), (ours, setting)) in rules.NATIVE_SIDECARS.items():
        asked = proxy in workload.injected or value in (labels.get(key), annotations.get(key))
        if asked and ours not in remaining:
            remaining[ours] = setting
            changes.append(
                Change(f"metadata.annotations[{ours}]", "added", "the mesh's proxy ends with the run")
            )
    head = {"labels": {**kept, **MANAGED, **wish.labels}, "annotations": {**remaining, **wish.annotations}}
    return head, sorted(changes, key=lambda change: change.path)


def _departures(source: Object, wish: Wish) -> tuple[str, ...]:
    found = [f"env {name}" for name in sorted(wish.departures)]
    if wish.image is not None and wish.image != source.get("image"):
        found.insert(0, f"image {wish.image} in place of {source.get('image')}")
    replaced = {variable["name"] for variable in wish.environ} - wish.departures
    found += [f"env {name}" for name in sorted(replaced) if named(source.get("env"), name)]
    return tuple(found)


def _place(thing: Object, key: str, value: object) -> None:
    """Set it, or leave it out where there is nothing."""
    if value:
        thing[key] = value
    else:
        thing.pop(key, None)
