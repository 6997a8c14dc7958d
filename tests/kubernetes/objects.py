"""Small objects for the fake's own tests."""

from __future__ import annotations

from typing import Any

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.kinds import Object

JOBS = "/apis/batch/v1/namespaces/shop/jobs"
CRONJOBS = "/apis/batch/v1/namespaces/shop/cronjobs"
PODS = "/api/v1/namespaces/shop/pods"
CONFIGMAPS = "/api/v1/namespaces/shop/configmaps"


def container(script: str, **changes: Any) -> Object:
    """A container that runs a shell's script."""
    return {"name": "task", "image": "app:1", "command": ["sh", "-c", script]} | changes


def job(
    name: str, script: str, *, pod: Object | None = None, main: Object | None = None, **spec: Any
) -> Object:
    """A Job that does not retry, with changes to its spec, its pod's, or its container."""
    template = {"restartPolicy": "Never", "containers": [container(script) | (main or {})]} | (pod or {})
    described = {"backoffLimit": 0, "template": {"spec": template}} | spec
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": described}


def cronjob(name: str, script: str, **spec: Any) -> Object:
    made = job("unnamed", script)["spec"]
    described = {"schedule": "0 2 * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": made}} | spec
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": described}


def configmap(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def conditions(obj: Object) -> list[str]:
    """The conditions that hold, in order."""
    return [each["type"] for each in obj["status"].get("conditions") or [] if each["status"] == "True"]


def ended(cluster: FakeKubernetes, name: str) -> Object:
    """The Job, once it is Complete or Failed."""
    cluster.wait(lambda: {"Complete", "Failed"} & set(conditions(cluster.get("jobs", "shop", name))) != set())
    return cluster.get("jobs", "shop", name)


def run(cluster: FakeKubernetes, obj: Object) -> Object:
    """Create a Job and wait for its end."""
    cluster.create(obj, "shop")
    return ended(cluster, obj["metadata"]["name"])


def pods(cluster: FakeKubernetes, job_name: str) -> list[Object]:
    """The pods of a Job, oldest first."""
    found = [
        pod
        for pod in cluster.items("pods", "shop")
        if (pod["metadata"].get("labels") or {}).get("job-name") == job_name
    ]
    return sorted(found, key=lambda pod: cluster.born(pod["metadata"]["uid"]))


def started(cluster: FakeKubernetes, job_name: str) -> Object:
    """The Job's first pod, once its container runs."""

    def running() -> bool:
        found = pods(cluster, job_name)
        return bool(found) and found[0]["status"]["phase"] == "Running"

    cluster.wait(running)
    return pods(cluster, job_name)[0]


def log(cluster: FakeKubernetes, pod: Object, name: str = "task") -> list[str]:
    """What a container has written."""
    found = cluster.kubelet.log(pod["metadata"]["uid"], name)
    return [] if found is None else [line.decode().rstrip("\n") for _, line in found.lines]


def terminated(pod: Object, place: int = 0) -> Object:
    """How a container ended."""
    ended: Object = pod["status"]["containerStatuses"][place]["state"]["terminated"]
    return ended
