"""What speaks against launching a run into a namespace, decided over what was read of it.

Pure: nothing is asked here, and what could not be read is said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from oneoff.kube import selectors
from oneoff.kube.api.cluster import (
    AUTOSCALERS,
    BUDGETS,
    LIMIT_RANGES,
    NAMESPACES,
    NETWORK_POLICIES,
    QUOTAS,
    SERVICES,
)
from oneoff.kube.checks import network, podsecurity
from oneoff.kube.checks.check import Check
from oneoff.kube.checks.place import Place
from oneoff.kube.derivation.jobs import RESULT, Made
from oneoff.kube.derivation.volumes import SHARED
from oneoff.kube.objects import Object, metadata, named
from oneoff.kube.release.live import ends
from oneoff.kube.release.workload import Workload
from oneoff.settings import KubernetesSettings

_STORE: Final = "ONEOFF_STORE"
_TABLE: Final = "in the environment's kubernetes table"


def judge(place: Place, workload: Workload, made: Made, settings: KubernetesSettings) -> list[Check]:
    """What is known without asking anybody."""
    template = made.derived.template
    return [
        *check_namespace(place),
        *check_selectors(place, template),
        *check_network(place, workload, template, settings),
        *check_quotas(place, template),
        *check_security(place, template),
        *check_volumes(workload, template, settings),
        *check_store(made, settings),
    ]


def check_namespace(place: Place) -> list[Check]:
    """A namespace that is being deleted takes no new object."""
    if place.namespace is None:
        return place.unseen("namespace", NAMESPACES)
    if not ends(place.namespace):
        return [Check("namespace", "ok", f"the namespace {place.name} is active")]
    return [
        Check(
            "namespace",
            "failure",
            f"the namespace {place.name} is being deleted: it takes nothing new",
            f"wait until it is there again, or name another one {_TABLE}",
        )
    ]


def check_selectors(place: Place, template: Object) -> list[Check]:
    """Whether anything would take the run's pod for one of the app's."""
    labels = metadata(template)["labels"]
    found = counting(place, labels)
    if found:
        return [
            Check(
                "selectors",
                "failure",
                f"{' and '.join(found)} would take the run for the app, by its labels",
                "take from network_labels what they select by",
            )
        ]
    well = Check("selectors", "ok", "no Service, PodDisruptionBudget or autoscaler counts the run as the app")
    return place.unseen("selectors", SERVICES, BUDGETS, AUTOSCALERS) or [well]


def counting(place: Place, labels: Mapping[str, str]) -> list[str]:
    """Whatever would count a pod with these labels."""
    objects = [*place.of(SERVICES), *place.of(BUDGETS)]
    return [
        *selectors.counted_by(objects, labels),
        *selectors.scaled_by(place.of(AUTOSCALERS), place.scaled, labels),
    ]


def check_network(
    place: Place, workload: Workload, template: Object, settings: KubernetesSettings
) -> list[Check]:
    """Whether the run may connect to what the app may."""
    unseen = place.unseen("network", NETWORK_POLICIES)
    if unseen:
        return unseen
    app, run = workload.pod_labels, metadata(template)["labels"]
    around = metadata(place.namespace or {}).get("labels") or {}
    found = network.reach(place.of(NETWORK_POLICIES), app, run, around)
    again = _network_labels(place, found, app, run, settings)
    checks = []
    if found.held:
        checks.append(
            Check(
                "network",
                "failure",
                f"NetworkPolicy {', '.join(found.held)} keeps the run from every connection"
                + (f", and {', '.join(found.lost)} is for the app's pods alone" if found.lost else ""),
                again,
            )
        )
    elif found.lost:
        checks.append(
            Check(
                "network",
                "warning",
                f"NetworkPolicy {', '.join(found.lost)} is for the app's pods and not for the run's, "
                + ("which may connect anywhere" if found.free else "which may not reach all that they do"),
                again,
            )
        )
    if found.shut:
        checks.append(
            Check(
                "network",
                "warning",
                f"the pods of NetworkPolicy {', '.join(found.shut)} let the app in, and not the run",
                again,
            )
        )
    return checks or [Check("network", "ok", "the run may connect to what the app may, in this namespace")]


def _network_labels(
    place: Place,
    found: network.Reach,
    app: Mapping[str, str],
    run: Mapping[str, str],
    settings: KubernetesSettings,
) -> str:
    """The labels that would help, save where something else would count the run by them."""
    policy = "let a NetworkPolicy for pods with app.kubernetes.io/component: oneoff say what runs may reach"
    if not found.labels:
        return policy
    counted = counting(place, network.with_labels(run, app, found.labels))
    wanted = ", ".join(f'"{key}"' for key in sorted({*settings.network_labels, *found.labels}))
    if counted:
        return (
            f"{policy}: with network_labels = [{wanted}], {' and '.join(counted)} would take it for the app"
        )
    return f"give the run the labels: network_labels = [{wanted}] {_TABLE}"


def check_quotas(place: Place, template: Object) -> list[Check]:
    """Whether there is room for one more Job and pod."""
    if not place.of(QUOTAS):
        return place.unseen("quota", QUOTAS) or [Check("quota", "ok", "there is no quota")]
    from oneoff.kube.checks.quotas import exceeded  # exact fractions, which many a namespace needs not

    problems = exceeded(place.of(QUOTAS), place.of(LIMIT_RANGES), template)
    defaults = place.unseen("quota", LIMIT_RANGES)
    step = f"see kubectl -n {place.name} describe quota; remove what has ended, or raise it"
    checks = [Check("quota", "warning" if defaults else "failure", problem, step) for problem in problems]
    return [*checks, *defaults] or [Check("quota", "ok", "there is room for the run")]


def check_security(place: Place, template: Object) -> list[Check]:
    """Whether the namespace's Pod Security takes the run's pod."""
    name = "pod security"
    if place.namespace is None:
        return place.unseen(name, NAMESPACES)
    labels = metadata(place.namespace).get("labels") or {}
    level = str(labels.get(podsecurity.ENFORCE) or "privileged")
    version = str(labels.get(f"{podsecurity.ENFORCE}-version") or "latest")
    minor = int(version.rpartition(".")[2]) if version.startswith("v1.") else place.minor
    found = podsecurity.violations(template, level, minor)
    step = (
        f"change the securityContext of the workload; the namespace's label {podsecurity.ENFORCE} demands it"
    )
    if found:
        said = f"the level {level} of {place.name} forbids it: "
        return [Check(name, "failure", said + problem, step) for problem in found]
    return [Check(name, "ok", f"the level {level} of {place.name} allows the run's pod")]


def check_volumes(workload: Workload, template: Object, settings: KubernetesSettings) -> list[Check]:
    """What may keep the run waiting for a volume that the app's node holds."""
    found = []
    for volume in template["spec"].get("volumes") or []:
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        modes = workload.claims.get(claim, ()) if claim else ()
        if claim is None or SHARED & set(modes):
            continue
        known = "/".join(modes) or "a mode that could not be looked at"
        if settings.volumes == "same-node":
            said = f"the run waits for room on a node of the app, which holds the claim {claim} of {known}"
        else:
            said = f"the claim {claim} of {known} may be held by the app's node: the run may never start"
        found.append(
            Check("volumes", "warning", said, 'see volumes = "empty" or "same-node" in the settings')
        )
    return found or [Check("volumes", "ok", "no volume of the run is held by another pod")]


def check_store(made: Made, settings: KubernetesSettings) -> list[Check]:
    """Whether the run would find its store; a bare command needs none."""
    if RESULT not in metadata(made.object).get("annotations", {}):
        return [Check("store", "ok", "a bare command needs none: whoever launches it records it")]
    if settings.store is not None:
        said = (
            f"from the key {settings.store.key} of the Secret {settings.store.secret}, which is not read here"
        )
        return [Check("store", "ok", said)]
    container = named(made.derived.template["spec"]["containers"], made.derived.container) or {}
    variable = named(container.get("env"), _STORE)
    if variable is None:
        return [
            Check(
                "store",
                "warning",
                f"{_STORE} may come from envFrom, which is not read here: the run is refused if it does not",
                f'or name a Secret: store = {{ secret = "NAME", key = "KEY" }} {_TABLE}',
            )
        ]
    value = variable.get("value")
    if value is not None and not str(value).startswith(("postgres://", "postgresql://")):
        return [
            Check(
                "store",
                "warning",
                f"{_STORE} names a file, which is lost with the pod unless it is on a volume that stays",
                "name a PostgreSQL database",
            )
        ]
    return [Check("store", "ok", f"from {_STORE} of the workload")]
