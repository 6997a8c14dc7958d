"""Deployments that really run, the endpoints of Services, what Roles permit: where a test asks for it."""

from __future__ import annotations

import pytest

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.kinds import Object
from tests.kubernetes.wire import Wire

RBAC = "rbac.authorization.k8s.io"
LABELS = {"app": "web"}


@pytest.fixture
def serving(cluster: FakeKubernetes) -> FakeKubernetes:
    """A cluster that looks after Deployments, with one that has settled, and its Service."""
    cluster.deployments.start()
    ports = [{"port": 80}]
    service: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    cluster.create({**service, "spec": {"selector": LABELS, "ports": ports}}, "shop")
    container = {"name": "web", "image": "app:1", "command": ["sleep", "600"]}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}},
    }
    deployment: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    cluster.create({**deployment, "spec": spec}, "shop")
    cluster.wait(lambda: ready(cluster) == 2)
    return cluster


def ready(cluster: FakeKubernetes) -> int:
    status = cluster.get("deployments", "shop", "web").get("status") or {}
    return int(status.get("readyReplicas", 0))


def names(cluster: FakeKubernetes, plural: str) -> set[str]:
    return {one["metadata"]["name"] for one in cluster.items(plural, "shop")}


def test_a_deployment_runs_its_pods(serving: FakeKubernetes) -> None:
    """With a ReplicaSet between; a change of its template brings another one, and other pods."""
    first, pods = names(serving, "replicasets"), names(serving, "pods")
    assert (len(first), len(pods)) == (1, 2)
    change = {"spec": {"template": {"metadata": {"annotations": {"release": "2"}}}}}
    wire = Wire(serving.url)
    path = "/apis/apps/v1/namespaces/shop/deployments/web"
    assert wire.send("PATCH", path, change, content_type="application/merge-patch+json").code == 200
    serving.wait(lambda: len(names(serving, "pods")) == 2 and not names(serving, "pods") & pods)
    serving.wait(lambda: ready(serving) == 2)
    assert len(names(serving, "replicasets")) == 2
    revision = serving.get("deployments", "shop", "web")["metadata"]["annotations"]
    assert revision["deployment.kubernetes.io/revision"] == "2"


def test_a_pod_that_goes_is_replaced_and_its_endpoint_too(serving: FakeKubernetes) -> None:
    """What a Service sends requests to are the pods that its selector selects."""
    gone = min(names(serving, "pods"))
    serving.evict("shop", gone)
    serving.wait(lambda: gone not in names(serving, "pods") and ready(serving) == 2)

    def served() -> set[str]:
        (one,) = serving.items("endpointslices", "shop")
        return {endpoint["targetRef"]["name"] for endpoint in one["endpoints"]}

    serving.wait(lambda: served() == names(serving, "pods"))


def test_a_deployment_goes_with_its_pods(serving: FakeKubernetes) -> None:
    """Nothing makes them anew."""
    wire = Wire(serving.url)
    assert wire.send("DELETE", "/apis/apps/v1/namespaces/shop/deployments/web").code == 200
    serving.wait(lambda: not names(serving, "pods") and not names(serving, "replicasets"))


def test_a_service_account_may_what_its_roles_permit(cluster: FakeKubernetes) -> None:
    """And nothing else, and in no other namespace; what a review says is what holds."""
    account: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ci"}}
    cluster.create(account, "shop")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = Wire(cluster.url).send("POST", "/api/v1/namespaces/shop/serviceaccounts/ci/token", request)
    ci = Wire(cluster.url, token=made.json()["status"]["token"])
    jobs = "/apis/batch/v1/namespaces/{}/jobs"
    assert ci.send("GET", jobs.format("shop")).code == 403
    rule = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}
    role: Object = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": "reader"}}
    cluster.create({**role, "rules": [rule]}, "shop")
    binding: Object = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": {"name": "ci"}}
    binding["roleRef"] = {"apiGroup": RBAC, "kind": "Role", "name": "reader"}
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "ci", "namespace": "shop"}]
    cluster.create(binding, "shop")
    assert ci.send("GET", jobs.format("shop")).code == 200
    assert ci.send("GET", jobs.format("default")).code == 403
    assert ci.send("DELETE", jobs.format("shop") + "/x").code == 403
    for verb, allowed in (("list", True), ("create", False)):
        asked = {"verb": verb, "group": "batch", "resource": "jobs", "namespace": "shop"}
        review = {"spec": {"resourceAttributes": asked}}
        answer = ci.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        assert answer.json()["status"]["allowed"] is allowed
