"""What a server fills in before it stores an object, kind by kind, as recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.kubernetes.kinds import Kind, Object

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer that keeps a pod until its Job has counted it."""
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
INDEX = "batch.kubernetes.io/job-completion-index"

_NOT_READY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATIONS = [
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300} for key in _NOT_READY
]


def all_containers(spec: Object) -> Iterator[Object]:
    """The containers of a pod's spec, those that start first first."""
    yield from spec.get("initContainers") or []
    yield from spec.get("containers") or []


def _fill(obj: Object, **values: Any) -> None:
    for name, value in values.items():
        if obj.get(name) is None:
            obj[name] = value


def _pull_policy(image: str) -> str:
    tag = image.rpartition("/")[2].partition("@")
    latest = not tag[2] and tag[0].partition(":")[2] in ("", "latest")
    return "Always" if latest else "IfNotPresent"


def _container(container: Object) -> None:
    _fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(container.get("image", "")),
    )
    for port in container.get("ports") or []:
        _fill(port, protocol="TCP")
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            _fill(reference, apiVersion="v1")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _fill(
                container[probe], timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3
            )


def pod_spec(spec: Object) -> None:
    """Fill in the spec of a pod or of a template."""
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if "serviceAccountName" in spec:
        _fill(spec, serviceAccount=spec["serviceAccountName"])
    for container in all_containers(spec):
        _container(container)
    for volume in spec.get("volumes") or []:
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                _fill(volume[source], defaultMode=420)


def _template(template: Object) -> None:
    template.setdefault("metadata", {})
    pod_spec(template.setdefault("spec", {}))


def _job_spec(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    policy = spec.get("podFailurePolicy")
    _fill(
        spec,
        parallelism=1,
        backoffLimit=6 if spec.get("backoffLimitPerIndex") is None else 2147483647,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="Failed" if policy else "TerminatingOrFailed",
    )
    for rule in (policy or {}).get("rules") or []:
        for pattern in rule.get("onPodConditions") or []:
            _fill(pattern, status="True")
    _template(spec["template"])


def _cronjob(obj: Object) -> None:
    spec = obj["spec"]
    _fill(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    job = spec.setdefault("jobTemplate", {})
    job.setdefault("metadata", {})
    _template(job["spec"]["template"])


def _pod(obj: Object) -> None:
    pod_spec(obj["spec"])
    _fill(obj["spec"], enableServiceLinks=True)
    for container in all_containers(obj["spec"]):
        resources = container["resources"]
        if "limits" in resources:
            resources["requests"] = resources["limits"] | resources.get("requests", {})


def _workload(obj: Object) -> None:
    _fill(obj["spec"], replicas=1)
    _template(obj["spec"]["template"])


_BY_KIND: dict[str, Callable[[Object], None]] = {
    "Pod": _pod,
    "Job": lambda obj: _job_spec(obj["spec"]),
    "CronJob": _cronjob,
    "Deployment": _workload,
    "ReplicaSet": _workload,
    "StatefulSet": _workload,
    "PodTemplate": lambda obj: _template(obj["template"]),
}


def fill(kind: Kind, obj: Object) -> None:
    """Set what a client may leave out; the client owns these fields as if it had sent them."""
    filler = _BY_KIND.get(kind.kind)
    if filler is not None and not kind.custom:
        filler(obj)


def before_create(kind: Kind, obj: Object) -> None:
    """Set what belongs to the server: generation, status, and the selector of a Job."""
    meta = obj["metadata"]
    if "spec" in kind.zero and kind.kind not in ("Service", "Namespace"):
        meta["generation"] = 1
    if "status" in kind.subresources:
        obj["status"] = {}
    if kind.kind == "Job":
        _select_own_pods(obj)
    if kind.kind == "Pod":
        _admit_pod(obj)
        obj["status"] = {"phase": "Pending", "qosClass": _quality(obj["spec"])}
    if kind.kind == "Namespace":
        meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = meta["name"]
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}


def _select_own_pods(job: Object) -> None:
    meta, spec = job["metadata"], job["spec"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"]["metadata"].setdefault("labels", {})
    labels.update({CONTROLLER_UID: meta["uid"], JOB_NAME: meta["name"]})
    labels.update({"controller-uid": meta["uid"], "job-name": meta["name"]})
    spec["selector"] = {"matchLabels": {CONTROLLER_UID: meta["uid"]}}
    if not meta.get("labels"):
        meta["labels"] = dict(labels)


def _admit_pod(pod: Object) -> None:
    spec = pod["spec"]
    account = spec.get("serviceAccountName") or "default"
    _fill(spec, serviceAccountName=account, serviceAccount=account)
    _fill(spec, priority=0, preemptionPolicy="PreemptLowerPriority")
    spec["tolerations"] = [*(spec.get("tolerations") or []), *_TOLERATIONS]


def _quality(spec: Object) -> str:
    """The quality of service class."""
    found = [container["resources"] for container in all_containers(spec)]
    if not any(resources.get("limits") or resources.get("requests") for resources in found):
        return "BestEffort"
    both = {"cpu", "memory"}
    guaranteed = all(
        set(resources.get("limits", {})) >= both and resources["limits"] == resources.get("requests")
        for resources in found
    )
    return "Guaranteed" if guaranteed else "Burstable"
