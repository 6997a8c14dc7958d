"""The release that serves, read through the client from the recorded workloads and variations of them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from oneoff.errors import ClusterError, ManifestUnfit, NotDerivable, NotPermitted
from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import Cluster
from oneoff.kube.release.live import Live, of_manifest, read
from oneoff.kube.release.releases import Release
from oneoff.settings import KubernetesSettings
from tests.integration.kube.workloads import (
    DIGEST,
    Object,
    argo,
    each,
    only,
    pods,
    recorded,
    report,
    stateful,
)
from tests.kubernetes import FakeKubernetes

SETTINGS = KubernetesSettings(namespace="shop", workload="deployment/web", container="web")
REPOSITORY = "docker.io/local/python"


def live(
    cluster: Cluster,
    fake: FakeKubernetes,
    objects: list[Object],
    release: Release | None = None,
    **settings: Any,
) -> Live:
    fake.load(objects)
    return read(cluster, KubernetesSettings(**{**vars(SETTINGS), **settings}), release=release)


def refusal(*given: Any, **more: Any) -> str:
    with pytest.raises(NotDerivable) as raised:
        live(*given, **more)
    return f"{raised.value.message}\n{raised.value.next_step}"


# What serves.


def test_a_settled_deployment_serves_what_it_asks_for(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The template is the ReplicaSet's without its hash; its ConfigMap and its checksum are named."""
    found = live(cluster, fake, recorded("stable"))
    template = only(recorded("stable"), "Deployment")["spec"]["template"]
    assert found.workload.template == template
    assert found.workload.kind == "Deployment"
    assert (found.revision, found.image) == ("1", None)
    version = fake.get("configmaps", "shop", "myapp-config")["metadata"]["resourceVersion"]
    assert found.config == {"checksum/config": "abc123", "configmap/myapp-config": version}
    assert found.labels == {"app": "myapp", "component": "web", "version": "v1.2.3"}
    (note,) = found.notes
    assert "has no digest in a repository" in note


@pytest.mark.parametrize("name", ["rolling", "failing", "paused"])
def test_running_and_target_each_give_their_own(cluster: Cluster, fake: FakeKubernetes, name: str) -> None:
    """In the middle of a rollout, stuck, or paused with a change, each can be chosen."""
    objects = recorded(name)
    serves = next(
        one
        for one in objects
        if one["kind"] == "ReplicaSet" and (one.get("status") or {}).get("availableReplicas")
    )
    running = live(cluster, fake, objects, "running")
    target = live(cluster, fake, objects, "target")
    expected = serves["spec"]["template"]
    del expected["metadata"]["labels"]["pod-template-hash"]
    assert running.workload.template == expected
    assert running.revision == serves["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    assert target.workload.template == only(objects, "Deployment")["spec"]["template"]
    assert running.workload.template != target.workload.template


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "rolling",
            [
                "deployment/web in shop is in the middle of a rollout",
                "revision 2 (docker.io/local/python:3.11) has 0 of 1 pod available",
                "revision 1 (docker.io/local/python:3.11) has 2 of 2 pods available",
                "--release running takes revision 1, --release target takes revision 2",
            ],
        ),
        (
            "failing",
            [
                "is stuck in a rollout",
                'web: Container image "docker.io/local/absent:9" is not present with pull policy of Never',
                "--release running takes revision 2, --release target takes revision 3",
            ],
        ),
        (
            "paused",
            [
                "is paused with a change that is not released",
                "the change that is not released (docker.io/local/python:3.11) has no pod",
                "revision 4 (docker.io/local/python:3.11) has 2 of 2 pods available",
                "--release running takes revision 4, --release target takes the change that is not released",
            ],
        ),
    ],
)
def test_without_a_choice_what_differs_is_refused(
    cluster: Cluster, fake: FakeKubernetes, name: str, said: list[str]
) -> None:
    """With what goes on, and what each choice would take."""
    words = refusal(cluster, fake, recorded(name))
    assert [one for one in said if one not in words] == [], words


def test_a_rollout_past_its_deadline_is_stuck(cluster: Cluster, fake: FakeKubernetes) -> None:
    """ProgressDeadlineExceeded is said, with the controller's own words."""

    def stuck(deployment: Object) -> None:
        for condition in deployment["status"]["conditions"]:
            if condition["type"] == "Progressing":
                condition |= {
                    "status": "False",
                    "reason": "ProgressDeadlineExceeded",
                    "message": "timed out",
                }

    words = refusal(cluster, fake, each(recorded("failing"), "Deployment", stuck))
    assert "is stuck in a rollout (timed out)" in words


def test_two_that_serve_leave_none_to_be_called_running(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Half way through a rollout both have available pods: --release running is refused, target is not."""

    def available(one: Object) -> None:
        if one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2":
            one["status"] |= {"availableReplicas": 1, "readyReplicas": 1}

    objects = each(recorded("rolling"), "ReplicaSet", available)
    assert "several revisions of it serve" in refusal(cluster, fake, objects, "running")
    assert "none alone can be called the running one" in refusal(cluster, fake, objects)
    assert live(cluster, fake, objects, "target").revision == "2"


def test_the_controller_that_has_not_looked_yet_is_waited_for(cluster: Cluster, fake: FakeKubernetes) -> None:
    """observedGeneration is behind: what the Deployment asks for may be another release soon."""

    def changed(deployment: Object) -> None:
        deployment["metadata"]["generation"] = 9

    words = refusal(cluster, fake, each(recorded("stable"), "Deployment", changed))
    assert "its controller has not looked at it yet" in words


@pytest.mark.parametrize("release", [None, "running", "target"])
def test_scaled_to_zero_the_newest_revision_is_meant(
    cluster: Cluster, fake: FakeKubernetes, release: Release | None
) -> None:
    """Nothing serves, and so nothing differs: the note says so, and that no digest is known."""
    objects = [one for one in recorded("stable") if one["kind"] != "Pod"]
    only(objects, "Deployment")["spec"]["replicas"] = 0
    status = only(objects, "Deployment")["status"]
    only(objects, "Deployment")["status"] = {key: status[key] for key in ("conditions", "observedGeneration")}
    only(objects, "ReplicaSet")["spec"]["replicas"] = 0
    only(objects, "ReplicaSet")["status"] = {"replicas": 0, "observedGeneration": 2}
    found = live(cluster, fake, objects, release)
    assert (found.revision, found.image) == ("1", None)
    assert "has no pods: the run is of revision 1, its newest" in found.notes[0]
    assert "no ready pod tells" in found.notes[1]


def test_an_app_that_misses_pods_is_in_no_rollout(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A node went, or an autoscaler wants more: the release is the one that serves, and the note counts."""
    objects = recorded("stable")
    only(objects, "Deployment")["status"] |= {"availableReplicas": 1, "readyReplicas": 1}
    only(objects, "ReplicaSet")["status"] |= {"availableReplicas": 1, "readyReplicas": 1}
    found = live(cluster, fake, objects)
    assert "1 of 2 pods of deployment/web are available" in found.notes


# Other kinds.


def test_a_stateful_set_serves_by_its_controller_revision(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Settled: its template. Rolling: refused, and each of the two by choice."""
    settings: Any = {"workload": "sts/web"}
    settled = live(cluster, fake, stateful(recorded("stable")), **settings)
    assert settled.workload.template == only(recorded("stable"), "Deployment")["spec"]["template"]
    assert settled.workload.kind == "StatefulSet"
    rolling = stateful(recorded("rolling"))
    words = refusal(cluster, fake, rolling, **settings)
    assert "statefulset/web in shop is in the middle of a rollout: revision 2" in words
    running = live(cluster, fake, rolling, "running", **settings)
    target = live(cluster, fake, rolling, "target", **settings)
    assert (running.revision, target.revision) == ("1", "2")
    assert "$patch" not in running.workload.template
    assert running.workload.template["metadata"]["labels"] == target.workload.template["metadata"]["labels"]
    assert running.workload.template["spec"] != target.workload.template["spec"]


def test_a_rollout_of_argo_says_which_one_is_stable(cluster: Cluster, fake: FakeKubernetes) -> None:
    """stableRS runs, also where the canary has available pods; currentPodHash is the target."""
    settings: Any = {"workload": "rollout/web"}
    settled = argo(recorded("stable"), stable="6dd7d444bf", current="6dd7d444bf")
    assert live(cluster, fake, settled, **settings).revision == "1"
    objects = argo(recorded("rolling"), stable="6dd7d444bf", current="7bf99dfc98", message="CanaryPauseStep")
    for one in objects:
        if one["kind"] == "ReplicaSet":
            one["status"]["availableReplicas"] = 1
    words = refusal(cluster, fake, objects, **settings)
    assert "rollout/web in shop is in the middle of a rollout (CanaryPauseStep)" in words
    assert live(cluster, fake, objects, "running", **settings).revision == "1"
    target = live(cluster, fake, objects, "target", **settings)
    assert target.revision == "2"
    assert target.workload.template == only(objects, "Rollout")["spec"]["template"]


def test_a_rollout_may_take_its_template_from_a_deployment(cluster: Cluster, fake: FakeKubernetes) -> None:
    """workloadRef: the Deployment has the template, the Rollout the pods."""
    objects = argo(recorded("stable"), stable="6dd7d444bf", current="6dd7d444bf")
    template = only(objects, "Rollout")["spec"].pop("template")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "source"}
    only(objects, "Rollout")["spec"]["workloadRef"] = reference
    fake.load(objects)
    with pytest.raises(ManifestUnfit, match="Rollout web refers to Deployment source, which is not there"):
        live(cluster, fake, [], workload="rollout/web")
    deployment = only(recorded("stable"), "Deployment")
    deployment["metadata"] |= {"name": "source", "uid": "another"}
    found = live(cluster, fake, [deployment], workload="rollout/web")
    assert found.workload.template == template


def test_a_pod_template_is_a_release_that_is_not_live(cluster: Cluster, fake: FakeKubernetes) -> None:
    """It is its own target, and nothing of it runs."""
    template = only(recorded("stable"), "Deployment")["spec"]["template"]
    published = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": "next", "namespace": "shop"},
        "template": template,
    }
    settings: Any = {"workload": "podtemplate/next"}
    found = live(cluster, fake, [*recorded("stable"), published], **settings)
    assert found.workload.template == template
    assert "podtemplate/next is a release that is not live: nothing of it runs yet" in found.notes
    assert "nothing of it runs" in refusal(cluster, fake, [], "running", **settings)


# The image.


def test_the_digest_that_runs_is_pinned(cluster: Cluster, fake: FakeKubernetes) -> None:
    """As the nodes report it, of the pods that serve alone."""
    objects = recorded("rolling")
    for pod in pods(objects):
        serves = pod["metadata"]["labels"]["pod-template-hash"] == "6dd7d444bf"
        report(pod, f"{REPOSITORY}@{DIGEST if serves else 'sha256:' + '5' * 64}")
    found = live(cluster, fake, objects, "running")
    assert found.image == f"{REPOSITORY}@{DIGEST}"
    assert not any("python" in note for note in found.notes)


def test_a_tag_that_moved_is_refused_with_both_digests(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The pods of one revision run two images: nobody can tell which one a run would get."""
    objects = recorded("stable")
    first, second = pods(objects)
    report(first, f"docker-pullable://{REPOSITORY}@{DIGEST}")
    report(second, f"{REPOSITORY}@sha256:{'5' * 64}")
    words = refusal(cluster, fake, objects)
    assert "the tag of docker.io/local/python:3.11 has moved" in words
    assert f"{REPOSITORY}@{DIGEST} and {REPOSITORY}@sha256:{'5' * 64}" in words


# What belongs to it, and who may not see it.


def with_claim(objects: list[Object]) -> list[Object]:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "uploads", "namespace": "shop"},
        "spec": {"accessModes": ["ReadWriteOnce"]},
    }
    for kind in ("Deployment", "ReplicaSet"):
        spec = only(objects, kind)["spec"]["template"]["spec"]
        spec["volumes"].append({"name": "uploads", "persistentVolumeClaim": {"claimName": "uploads"}})
    return [*objects, claim]


def test_access_modes_of_claims_are_read_where_that_is_permitted(
    cluster: Cluster, fake: FakeKubernetes
) -> None:
    """Where it is not, a note says what is not known."""
    found = live(cluster, fake, with_claim(recorded("stable")))
    assert found.workload.claims == {"uploads": ("ReadWriteOnce",)}
    fake.access.deny("list", "persistentvolumeclaims")
    fake.access.deny("get", "configmaps")
    found = live(cluster, fake, [])
    assert found.workload.claims == {}
    assert found.config == {"checksum/config": "abc123"}
    notes = "\n".join(found.notes)
    assert "whether its volumes may be shared is not known: " in notes
    assert "the version of the ConfigMap myapp-config is not known: " in notes


def test_a_config_map_that_is_not_there_is_told(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The run would wait for it for ever; an optional one is no matter. Both are recorded as absent."""
    objects = [one for one in recorded("stable") if one["metadata"]["name"] != "myapp-config"]
    for kind in ("Deployment", "ReplicaSet"):
        spec = only(objects, kind)["spec"]["template"]["spec"]
        sources = [{"configMap": {"name": "extra", "optional": True}}]
        spec["volumes"].append({"name": "extra", "projected": {"sources": sources}})
    found = live(cluster, fake, objects)
    assert found.config == {
        "checksum/config": "abc123",
        "configmap/extra": "absent",
        "configmap/myapp-config": "absent",
    }
    assert [note for note in found.notes if "ConfigMap" in note] == [
        "there is no ConfigMap myapp-config: a pod that refers to it does not start"
    ]


def test_a_manifest_may_be_the_release(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Its template, whatever runs; with the cluster's claims, and no digest but its own."""
    fake.load(with_claim(recorded("stable")))
    deployment = only(with_claim(recorded("stable")), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "docker.io/local/next:2"
    found = of_manifest(cluster, SETTINGS, [{"kind": "List", "items": [deployment]}])
    assert found.workload.template == deployment["spec"]["template"]
    assert found.workload.claims == {"uploads": ("ReadWriteOnce",)}
    assert (found.image, found.revision) == (None, "")
    assert "deployment/web is taken from a manifest, whatever runs" in found.notes
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = f"shop@{DIGEST}"
    assert of_manifest(cluster, SETTINGS, [deployment]).image == f"shop@{DIGEST}"


def test_secrets_are_never_read(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Not even asked for: whoever may read one could."""
    fake.access.deny("*", "secrets")
    live(cluster, fake, recorded("stable"))
    assert not any("secrets" in str(request) for request in fake.server.requests)


# What is not there.


def test_a_workload_that_is_not_there_is_named_with_what_is(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The nearest name is proposed, whatever its kind."""
    fake.load(recorded("stable"))
    with pytest.raises(ManifestUnfit) as raised:
        live(cluster, fake, [], workload="deployment/wbe")
    assert raised.value.message == (
        "there is no deployment/wbe in the namespace shop (did you mean 'deployment/web'?)"
    )
    assert raised.value.next_step == "there are: deployment/web"


def test_what_may_not_be_listed_is_no_guess(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Somebody who may get but not list is told what is not there, and nothing more."""
    fake.load(recorded("stable"))
    fake.access.deny("list")
    fake.access.deny("get", "namespaces")
    with pytest.raises(ManifestUnfit, match="there is no deployment/wbe in the namespace shop"):
        live(cluster, fake, [], workload="deployment/wbe")


def test_a_workload_that_may_not_be_read_is_said_so(cluster: Cluster, fake: FakeKubernetes) -> None:
    """With the verb and the resource, in the server's words."""
    fake.load(recorded("stable"))
    fake.access.deny("get", "deployments")
    with pytest.raises(NotPermitted, match=r"may not get deployments\.apps in the namespace shop"):
        live(cluster, fake, [])


def test_a_namespace_that_is_not_there_is_said_so(cluster: Cluster, fake: FakeKubernetes) -> None:
    """And not that its workload is missing."""
    nowhere = KubernetesSettings(namespace="nowhere", workload="deployment/web")
    with closing(connect(nowhere)) as elsewhere, pytest.raises(ManifestUnfit) as raised:
        read(elsewhere, nowhere)
    assert raised.value.message == "there is no namespace nowhere in the cluster of the context fake"
    assert "kubernetes table" in raised.value.next_step


def test_a_namespace_that_goes_has_lost_its_workload(cluster: Cluster, fake: FakeKubernetes) -> None:
    """That it is being deleted is the reason, not that a name is wrong."""
    ending = {"name": "shop", "uid": "n"}
    fake.load(
        [
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": ending,
                "status": {"phase": "Terminating"},
            }
        ]
    )
    with pytest.raises(ClusterError, match="the namespace shop is being deleted") as raised:
        live(cluster, fake, [])
    assert raised.value.exit_code == 3


def test_a_container_that_is_not_there_is_named_with_those_that_are(
    cluster: Cluster, fake: FakeKubernetes
) -> None:
    """In the release that was chosen."""
    with pytest.raises(ManifestUnfit, match=r"has no container 'wed' \(did you mean 'web'\?\)"):
        live(cluster, fake, recorded("stable"), container="wed")


def test_the_only_workload_needs_no_name(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Of several, one has to be named."""
    assert live(cluster, fake, recorded("stable"), workload=None).workload.reference == "deployment/web"
    other = only(recorded("stable"), "Deployment")
    other["metadata"]["name"] = "worker"
    with pytest.raises(ManifestUnfit, match="there are several workloads in the namespace shop"):
        live(cluster, fake, [other], workload=None)
