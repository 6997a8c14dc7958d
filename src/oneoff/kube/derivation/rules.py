"""What becomes of each field of a pod template when a run is made of it: one table, nothing else decides.

A field that no table knows is younger than this oneoff: it is kept, and named.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from oneoff.kube.objects import Change, Object


@dataclass(frozen=True)
class Rule:
    """What becomes of one field."""

    action: str
    reason: str = ""
    value: Callable[[Any], Any] | None = None
    """Of ``replaced``: the new value, or None where nothing of it stays."""


KEPT: Final = Rule("kept")


def _dropped(reason: str, *fields: str) -> dict[str, Rule]:
    return {field: Rule("dropped", reason) for field in fields}


def _kept(*fields: str) -> dict[str, Rule]:
    return dict.fromkeys(fields, KEPT)


def _node_affinity(affinity: Object) -> Object | None:
    return {"nodeAffinity": affinity["nodeAffinity"]} if affinity.get("nodeAffinity") else None


POD: Final[dict[str, Rule]] = {
    **_kept(
        *("automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks", "hostAliases"),
        *(
            "hostIPC",
            "hostNetwork",
            "hostPID",
            "hostUsers",
            "imagePullSecrets",
            "nodeSelector",
            "os",
            "overhead",
        ),
        *("preemptionPolicy", "priorityClassName", "resourceClaims", "resources", "runtimeClassName"),
        *("schedulerName", "securityContext", "serviceAccount", "serviceAccountName", "setHostnameAsFQDN"),
        *("shareProcessNamespace", "tolerations"),
        # These have steps of their own in derive.py.
        *("containers", "initContainers", "terminationGracePeriodSeconds", "volumes"),
    ),
    **_dropped("it counts the app's pods, and could keep the run from a node", "topologySpreadConstraints"),
    **_dropped("it belongs to the app's own group of pods", "schedulingGroup", "workloadRef"),
    **_dropped("the name is the app's", "hostname", "hostnameOverride", "subdomain"),
    **_dropped("the scheduler chooses the node", "nodeName", "schedulingGates"),
    **_dropped("nobody waits for the run to be ready", "readinessGates"),
    **_dropped("the cluster derives it from the priority class", "priority"),
    **_dropped("the Job has a deadline of its own", "activeDeadlineSeconds"),
    **_dropped("it asks the app before a pod of its own goes", "evictionResponders"),
    **_dropped("they belong to a pod that is being looked at", "ephemeralContainers"),
    "affinity": Rule(
        "replaced",
        "what attracts or repels pods counts the app's; the affinity to nodes stays",
        _node_affinity,
    ),
    "restartPolicy": Rule("replaced", "a Job does not restart its containers", lambda _: "Never"),
}

CONTAINER: Final[dict[str, Rule]] = {
    **_kept(
        *(
            "env",
            "envFrom",
            "image",
            "imagePullPolicy",
            "name",
            "resources",
            "securityContext",
            "volumeDevices",
        ),
        *("volumeMounts", "workingDir"),
        # These have a step of their own in derive.py.
        *("args", "command"),
    ),
    **_dropped(
        "it would end a long task, or hold it back", "livenessProbe", "readinessProbe", "startupProbe"
    ),
    **_dropped("a hook of the app's own start and end", "lifecycle"),
    **_dropped("the run serves nothing, and the port may be taken", "ports"),
    **_dropped("nobody is at its terminal", "stdin", "stdinOnce", "tty"),
    **_dropped(
        "a Job does not restart its containers", "resizePolicy", "restartPolicy", "restartPolicyRules"
    ),
    **_dropped("a run's result is read at the usual place", "terminationMessagePath"),
    "terminationMessagePolicy": Rule(
        "replaced", "without a result, the end of the output tells more", lambda _: "FallbackToLogsOnError"
    ),
}
"""Of the container that becomes the run."""


def _without_host_ports(ports: list[Object]) -> list[Object]:
    return [{key: value for key, value in port.items() if key != "hostPort"} for port in ports]


def _taken(ports: list[Object]) -> bool:
    return any("hostPort" in port for port in ports)


KEPT_LABELS: Final = (
    *("azure.workload.identity/use", "sidecar.istio.io/inject", "istio.io/rev", "admission.datadoghq.com/"),
    *("ambient.istio.io/", "istio.io/dataplane-mode", "istio.io/use-waypoint"),
)
"""Labels that tell an admission webhook what to add; one that ends with ``/`` is a prefix."""

DROPPED_ANNOTATIONS: Final = {
    "prometheus.io/": "nothing is there to be scraped",
    "kubectl.kubernetes.io/": "it is kubectl's note about the app",
    "deployment.kubernetes.io/": "it is the Deployment's note about the app",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "a run decides that for itself",
    "karpenter.sh/do-not-disrupt": "a run decides that for itself",
    "controller.kubernetes.io/pod-deletion-cost": "it weighs the app's pods",
}

NATIVE_SIDECARS: Final = {
    "istio-proxy": (("sidecar.istio.io/inject", "true"), ("sidecar.istio.io/nativeSidecar", "true")),
    "linkerd-proxy": (
        ("linkerd.io/inject", "enabled"),
        ("config.beta.linkerd.io/proxy-enable-native-sidecar", "true"),
    ),
}
"""By the container that a mesh injects: the label or annotation that asks for it, where no namespace does;
and the annotation with which it does not keep a Job alive."""


def matches(key: str, patterns: tuple[str, ...]) -> str | None:
    """The pattern that this key of a label or annotation fits: itself, or a prefix that ends with ``/``."""
    return next((p for p in patterns if key == p or (p.endswith("/") and key.startswith(p))), None)


def apply(table: dict[str, Rule], source: Object, path: str) -> tuple[Object, list[Change]]:
    """What the table makes of an object, and what it changes."""
    result: Object = {}
    changes: list[Change] = []
    for field, value in source.items():
        if value is None:  # to Kubernetes the same as nothing
            continue
        where = f"{path}.{field}"
        rule = table.get(field)
        if rule is None:
            changes.append(Change(where, "kept", "this oneoff does not know the field: it stays as it is"))
            result[field] = deepcopy(value)
        elif rule.action == "kept":
            result[field] = deepcopy(value)
        else:
            new = rule.value(value) if rule.value else None
            if new is not None:
                result[field] = deepcopy(new)
            if new != value:
                changes.append(Change(where, rule.action if new is not None else "dropped", rule.reason))
    return result, changes


def without_host_ports(container: Object, path: str) -> tuple[Object, list[Change]]:
    """A sidecar or an init container: all of it stays, save ports of the node, which the app's pod holds."""
    kept = deepcopy(container)
    if not _taken(kept.get("ports") or []):
        return kept, []
    kept["ports"] = _without_host_ports(kept["ports"])
    return kept, [Change(f"{path}.ports[].hostPort", "dropped", "the app's own pod may hold it on the node")]
