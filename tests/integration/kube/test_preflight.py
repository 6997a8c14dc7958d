"""Everything that would keep a run from starting is told before anything is created."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from oneoff.kube.api.cluster import Cluster
from oneoff.kube.checks.check import Check
from oneoff.kube.checks.preflight import preflight
from oneoff.kube.derivation.jobs import Launch, job
from oneoff.kube.release.live import read
from oneoff.settings import KubernetesSettings
from oneoff.settings.kubernetes import SecretKey
from oneoff.types import RunId
from tests.integration.kube.workloads import Object, only, recorded
from tests.kubernetes import FakeKubernetes

SETTINGS = {
    "namespace": "shop",
    "workload": "deployment/web",
    "container": "web",
    "store": SecretKey("db-credentials", "url"),
    "keep_entrypoint": False,
}


def checked(
    cluster: Cluster,
    fake: FakeKubernetes,
    *more: Object,
    objects: list[Object] | None = None,
    **settings: Any,
) -> list[Check]:
    """The checks of a launch into the namespace of the recorded workload, with these objects besides."""
    fake.load([*(recorded("stable") if objects is None else objects), *more])
    where = KubernetesSettings(**{**SETTINGS, **settings})
    live = read(cluster, where)
    launch = Launch(
        task="purge",
        environment="production",
        run_id=RunId("r1"),
        actor="ann",
        timeout=timedelta(minutes=5),
        pinned=live.image,
    )
    return preflight(cluster, live, job(live.workload, where, launch), where)


def of(checks: list[Check], name: str) -> list[Check]:
    return [check for check in checks if check.name == name]


def states(checks: list[Check], name: str) -> list[str]:
    return [check.state for check in of(checks, name)]


def made(kind: str, name: str, version: str = "v1", **more: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, **more}


NETWORKING = "networking.k8s.io/v1"
DENY_ALL = made("NetworkPolicy", "deny-all", NETWORKING, spec={"podSelector": {}, "policyTypes": ["Egress"]})


def test_the_recorded_workload_may_be_launched(cluster: Cluster, fake: FakeKubernetes) -> None:
    """One warning: the app's NetworkPolicy is not for the run. Nothing was created."""
    checks = checked(cluster, fake)
    assert [(check.name, check.state) for check in checks] == [
        ("rights", "ok"),
        ("namespace", "ok"),
        ("selectors", "ok"),
        ("network", "warning"),
        ("quota", "ok"),
        ("pod security", "ok"),
        ("volumes", "ok"),
        ("store", "ok"),
        ("creation", "ok"),
    ]
    (network,) = of(checks, "network")
    assert network.message == (
        "NetworkPolicy allow-db is for the app's pods and not for the run's, which may connect anywhere"
    )
    # The budget of the app selects by the very label.
    assert (
        'with network_labels = ["app"], PodDisruptionBudget web would take it for the app'
        in network.next_step
    )
    assert fake.items("jobs", "shop") == []


def test_whatever_counts_the_run_as_the_app_is_a_failure(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A Service, a budget and an autoscaler, which counts by the selector of what it scales."""
    scaler = made(
        "HorizontalPodAutoscaler",
        "web",
        "autoscaling/v2",
        spec={"scaleTargetRef": {"kind": "Deployment", "name": "web"}},
    )
    checks = checked(cluster, fake, scaler, network_labels=("app", "component"))
    (found,) = of(checks, "selectors")
    assert found.state == "failure"
    assert found.message == (
        "Service web and PodDisruptionBudget web and HorizontalPodAutoscaler web "
        "would take the run for the app, by its labels"
    )
    assert "network_labels" in found.next_step


def test_an_autoscaler_of_another_workload_is_looked_up(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Its own selector decides."""
    other = only(recorded("stable"), "Deployment")
    other["metadata"] |= {"name": "worker", "uid": "other"}
    other["spec"]["selector"] = {"matchLabels": {"app.kubernetes.io/managed-by": "oneoff"}}
    scaler = made(
        "HorizontalPodAutoscaler",
        "worker",
        "autoscaling/v2",
        spec={"scaleTargetRef": {"kind": "Deployment", "name": "worker"}},
    )
    (found,) = of(checked(cluster, fake, other, scaler), "selectors")
    assert found.message.startswith("HorizontalPodAutoscaler worker would take the run for the app")


def test_a_run_without_a_way_out_is_a_failure(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Default deny, and what lets the app out is not for the run: with the labels that would help."""
    objects = [one for one in recorded("stable") if one["kind"] != "PodDisruptionBudget"]
    checks = checked(cluster, fake, DENY_ALL, objects=objects)
    (found,) = of(checks, "network")
    assert found.state == "failure"
    assert found.message == (
        "NetworkPolicy deny-all keeps the run from every connection, and allow-db is for the app's pods alone"
    )
    assert found.next_step.startswith('give the run the labels: network_labels = ["app"]')
    again = checked(cluster, fake, DENY_ALL, objects=objects, network_labels=("app",))
    assert states(again, "network") == ["ok"]
    assert states(again, "selectors") == ["ok"]


def test_a_full_quota_is_a_failure(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Each resource that is short, at once; a container that says none where one is demanded."""
    hard = {"pods": "2", "requests.memory": "1Gi"}
    full = made("ResourceQuota", "compute", spec={"hard": hard}, status={"hard": hard, "used": {"pods": "2"}})
    checks = of(checked(cluster, fake, full), "quota")
    assert [check.message for check in checks] == [
        "ResourceQuota compute has 2 of 2 pods in use: no room for one",
        "ResourceQuota compute counts requests.memory, and wait says none",
    ]
    assert {check.state for check in checks} == {"failure"}
    limits = made(
        "LimitRange",
        "defaults",
        spec={"limits": [{"type": "Container", "defaultRequest": {"memory": "8Mi"}}]},
    )
    assert len(of(checked(cluster, fake, limits), "quota")) == 1


def namespace(**metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "uid": "n", **metadata},
        "status": {"phase": "Active"},
    }


def test_the_level_of_the_namespace_is_held_against_the_pod(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The recorded init container sets nothing: restricted forbids it, baseline does not."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    found = of(checked(cluster, fake, namespace(labels=labels)), "pod security")
    assert {check.state for check in found} == {"failure"}
    said = "the level restricted of shop forbids it: the container wait has to"
    assert [check.message for check in found] == [
        f"{said} set allowPrivilegeEscalation to false",
        f"{said} drop ALL capabilities",
    ]
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    assert states(checked(cluster, fake, namespace(labels=labels)), "pod security") == ["ok"]


def test_a_namespace_that_ends_takes_nothing(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Said by the namespace, and by the server's own answer to the dry run."""
    ending = namespace() | {"status": {"phase": "Terminating"}}
    checks = checked(cluster, fake, ending)
    assert states(checks, "namespace") == ["failure"]
    (creation,) = of(checks, "creation")
    assert creation.state == "failure"
    assert "the namespace shop is being deleted" in creation.message


def test_missing_rights_are_each_named(cluster: Cluster, fake: FakeKubernetes) -> None:
    """What a launch cannot do without is a failure; what only comes later is a warning."""
    fake.access.deny("create", "jobs")
    fake.access.deny("get", "pods/log")
    fake.access.deny("delete", "jobs")
    checks = checked(cluster, fake)
    assert [(check.state, check.message) for check in of(checks, "rights")] == [
        ("failure", "you may not create jobs.batch, and cannot launch a run"),
        ("failure", "you may not get pods/log, and cannot read a run's output"),
        ("warning", "you may not delete jobs.batch, and cannot cancel a run"),
    ]
    assert "`oneoff doctor --env …` prints a Role" in of(checks, "rights")[0].next_step
    assert of(checks, "creation")[0].message.startswith("not looked at: admin may not create jobs.batch")


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("services", "selectors"),
        ("poddisruptionbudgets", "selectors"),
        ("horizontalpodautoscalers", "selectors"),
        ("networkpolicies", "network"),
        ("resourcequotas", "quota"),
        ("namespaces", "namespace"),
        ("namespaces", "pod security"),
    ],
)
def test_what_may_not_be_looked_at_is_never_called_well(
    cluster: Cluster, fake: FakeKubernetes, resource: str, name: str
) -> None:
    """A warning with the server's words, and every other check is made."""
    fake.access.deny("*", resource)
    checks = checked(cluster, fake)
    (found,) = of(checks, name)
    assert found.state == "warning"
    assert found.message.startswith("not looked at: admin may not ")
    assert resource in found.message
    assert {check.state for check in checks} == {"ok", "warning"}


def test_a_claim_that_the_apps_node_holds_is_a_warning(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Where it was chosen to mount it all the same."""
    objects = recorded("stable")
    for kind in ("Deployment", "ReplicaSet"):
        spec = only(objects, kind)["spec"]["template"]["spec"]
        spec["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": "data"}})
        spec["containers"][0]["volumeMounts"].append({"name": "data", "mountPath": "/data"})
    claim = made("PersistentVolumeClaim", "data", spec={"accessModes": ["ReadWriteOnce"]})
    (found,) = of(checked(cluster, fake, claim, objects=objects, volumes="keep"), "volumes")
    assert found.state == "warning"
    assert "the claim data of ReadWriteOnce may be held by the app's node" in found.message
    claim["spec"]["accessModes"] = ["ReadWriteMany"]
    assert states(checked(cluster, fake, claim, objects=objects, volumes="keep"), "volumes") == ["ok"]


def test_a_store_that_cannot_be_known_is_a_warning(cluster: Cluster, fake: FakeKubernetes) -> None:
    """envFrom may have it or not; a file is lost with the pod; a PostgreSQL URL is well."""
    assert states(checked(cluster, fake, store=None), "store") == ["warning"]
    for value, expected in (("/data/store.db", "warning"), ("postgresql://db/oneoff", "ok")):
        objects = recorded("stable")
        for kind in ("Deployment", "ReplicaSet"):
            containers = only(objects, kind)["spec"]["template"]["spec"]["containers"]
            containers[0]["env"].append({"name": "ONEOFF_STORE", "value": value})
        assert states(checked(cluster, fake, objects=objects, store=None), "store") == [expected]


def test_the_server_has_the_last_word(cluster: Cluster, fake: FakeKubernetes) -> None:
    """What it would refuse of the Job is known before."""
    checks = checked(cluster, fake)
    assert of(checks, "creation")[0].message == "the API server takes the Job"
    requests = [one for one in fake.server.requests if "dryRun=All" in str(one)]
    assert len(requests) == 1


def test_what_the_server_warns_of_is_told(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Such as Pod Security at the level that only warns: the Job would be taken all the same."""
    said = 'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    fake.resources.warn.append(lambda kind, thing: said)
    (found,) = of(checked(cluster, fake), "creation")
    assert (found.state, found.message) == ("warning", f"the API server warns: {said}")
