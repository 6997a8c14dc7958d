"""A client that others wrote finds in the fake what it expects of a server: lightkube, with plain objects."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType, on_error_retry

from tests.kubernetes import FakeKubernetes, certificates
from tests.kubernetes.objects import conditions, configmap, job, run, started

Job: Any = create_namespaced_resource("batch", "v1", "Job", "jobs")
ConfigMap: Any = create_namespaced_resource("", "v1", "ConfigMap", "configmaps")
Pod: Any = create_namespaced_resource("", "v1", "Pod", "pods")


@pytest.fixture
def client(cluster: FakeKubernetes, tmp_path: Path) -> Iterator[Any]:
    """From a kubeconfig, as a user has one."""
    config = KubeConfig.from_file(str(cluster.kubeconfig(tmp_path / "kubeconfig", namespace="shop")))
    with Client(config=config, field_manager="oneoff") as client:
        yield client


def test_objects_go_through_unchanged(client: Any) -> None:
    """Create, get, list by labels, replace, patch, delete."""
    obj = configmap("m", a="1")
    obj["metadata"]["labels"] = {"app": "x"}
    made = client.create(ConfigMap(obj))
    assert made["data"] == {"a": "1"}
    (found,) = list(client.list(ConfigMap, labels={"app": "x"}))
    assert found.metadata.name == "m"
    patched = client.patch(ConfigMap, "m", {"data": {"b": "2"}}, patch_type=PatchType.MERGE)
    assert patched["data"] == {"a": "1", "b": "2"}
    client.delete(ConfigMap, "m")
    with pytest.raises(ApiError) as caught:
        client.get(ConfigMap, "m")
    assert (caught.value.status.code, caught.value.status.reason) == (404, "NotFound")


def test_errors_carry_their_status(client: Any, cluster: FakeKubernetes) -> None:
    """409 with its reason, 403 with its message."""
    client.create(ConfigMap(configmap("m")))
    with pytest.raises(ApiError) as caught:
        client.create(ConfigMap(configmap("m")))
    assert caught.value.status.reason == "AlreadyExists"
    cluster.access.deny("delete", "configmaps")
    with pytest.raises(ApiError, match='cannot delete resource "configmaps"'):
        client.delete(ConfigMap, "m")


def test_apply_and_its_conflict(client: Any) -> None:
    """Server-side apply by the client's field manager."""
    client.apply(ConfigMap(configmap("m", a="1")))
    with pytest.raises(ApiError) as caught:
        client.apply(ConfigMap(configmap("m", a="2")), field_manager="other")
    assert caught.value.status.code == 409
    forced = client.apply(ConfigMap(configmap("m", a="2")), field_manager="other", force=True)
    assert forced["data"] == {"a": "2"}


def test_a_job_is_watched_to_its_end(client: Any, cluster: FakeKubernetes) -> None:
    """Through a connection that is cut: the client comes back with the last version that it saw."""
    cluster.faults.drop_watch_after(2)
    client.create(Job(job("j", "sleep 0.3; echo done")))
    query = {"fields": {"metadata.name": "j"}, "server_timeout": 5, "on_error": on_error_retry}
    with contextlib.closing(client.watch(Job, **query)) as watch:
        for _, obj in watch:
            if "Complete" in conditions({"status": obj["status"]}):
                break
    watches = [path for _, path in cluster.server.requests if "watch" in path]
    assert len(watches) >= 2


def test_a_log_is_followed(client: Any, cluster: FakeKubernetes) -> None:
    """Line by line until the container has ended."""
    client.create(Job(job("j", "echo one; sleep 0.3; echo two")))
    name = started(cluster, "j")["metadata"]["name"]
    assert [line.rstrip("\n") for line in client.log(name, follow=True)] == ["one", "two"]


def test_the_schemas_of_kubernetes_hold_for_what_the_fake_makes(cluster: FakeKubernetes) -> None:
    """Jobs, Pods and Events that its controllers write have no field that a server would not have."""
    from tests.kubernetes import validation

    run(cluster, job("j", "exit 1", completions=2, completionMode="Indexed", backoffLimit=0))
    for plural in ("jobs", "pods", "events", "namespaces", "serviceaccounts"):
        found = cluster.items(plural)
        assert found
        for obj in found:
            validation.check_schema(cluster.kinds.named(plural), obj)


@pytest.mark.parametrize("expired", [False, True])
def test_a_server_is_known_by_its_certificate(tmp_path: Path, expired: bool) -> None:
    """An authority of one's own is trusted by its file in the kubeconfig; an expired certificate is not."""
    files = certificates.make(tmp_path / "tls", expired=expired)
    with FakeKubernetes(tmp_path, tls=files) as cluster:
        config = KubeConfig.from_file(str(cluster.kubeconfig(tmp_path / "kubeconfig")))
        with Client(config=config) as client:
            if expired:
                with pytest.raises(Exception, match="certificate has expired"):
                    client.create(ConfigMap(configmap("m")))
            else:
                client.create(ConfigMap(configmap("m")))
                cluster.server.restart()
                assert client.get(ConfigMap, "m").metadata.name == "m"
