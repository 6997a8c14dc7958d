from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from oneoff.errors import ManifestUnfit, NotDerivable
from oneoff.kube.derivation import rules
from oneoff.kube.derivation.derive import MANAGED, Wish, escaped
from oneoff.kube.derivation.identity import PARTS, identity
from oneoff.kube.release.workload import find, flattened
from tests import recorded
from tests.unit.kube.samples import VERSIONS, container_of, derived, found, workload

SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("schema", "table"), [("podspec", rules.POD), ("container", rules.CONTAINER)])
def test_every_field_has_a_rule(version: str, schema: str, table: dict[str, rules.Rule]) -> None:
    """No field of a pod or of a container of any version is left to chance."""
    fields = json.loads((SCHEMAS / f"v{version}.0-local-strict" / f"{schema}-v1.json").read_text())[
        "properties"
    ]
    assert fields.keys() - table.keys() == set()


def test_the_recorded_deployment() -> None:
    """Of a real workload, what makes the app stays, and what makes it a service goes."""
    source = recorded.object_of("workload-stable", "Deployment", "web")
    made = derived(source, container="web")
    spec, container = made.template["spec"], container_of(made)
    app = source["spec"]["template"]["spec"]["containers"][0]
    for part in (
        "env",
        "envFrom",
        "resources",
        "securityContext",
        "volumeMounts",
        "image",
        "imagePullPolicy",
    ):
        assert container[part] == app[part]
    for part in ("volumes", "securityContext", "serviceAccountName", "initContainers"):
        assert spec[part] == source["spec"]["template"]["spec"][part]
    gone = {"ports", "livenessProbe", "readinessProbe", "lifecycle", "args", "terminationMessagePath"}
    assert not gone & container.keys()
    assert "topologySpreadConstraints" not in spec
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Never", 30)
    assert container["command"] == ["run", "it"]
    assert made.template["metadata"] == {"labels": MANAGED, "annotations": {"checksum/config": "abc123"}}
    named = {change.path for change in made.changes}
    assert {"spec.containers[nginx]", "metadata.labels[app]", "spec.containers[web].ports"} <= named
    assert all(change.reason for change in made.changes)


def test_the_source_is_left_as_it_is() -> None:
    """Whatever becomes of the result."""
    source = recorded.object_of("workload-stable", "Deployment", "web")
    before = deepcopy(source)
    made = find([source], None, None)
    found_again = derived(source, container="web")
    found_again.template["spec"]["volumes"].clear()
    container_of(found_again)["env"].clear()
    assert made.source == before


def test_what_is_younger_than_this_oneoff_stays_and_is_named() -> None:
    """Unknown fields of the pod, of a container, and deep inside of known ones are not lost."""
    source = workload(
        spec={"futurePod": {"a": [1]}},
        futureContainer="x",
        env=[{"name": "A", "valueFrom": {"futureRef": {"b": 1}}}],
    )
    made = derived(source)
    assert made.template["spec"]["futurePod"] == {"a": [1]}
    assert container_of(made)["futureContainer"] == "x"
    assert container_of(made)["env"] == [{"name": "A", "valueFrom": {"futureRef": {"b": 1}}}]
    unknown = [change.path for change in made.changes if "does not know" in change.reason]
    assert unknown == ["spec.futurePod", "spec.containers[app].futureContainer"]


def test_affinity_to_nodes_stays_and_to_pods_goes() -> None:
    """What counts the app's pods could keep the run from every node."""
    nodes: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    made = derived(workload(spec={"affinity": {"nodeAffinity": nodes, "podAntiAffinity": {}}}))
    assert made.template["spec"]["affinity"] == {"nodeAffinity": nodes}
    assert "affinity" not in derived(workload(spec={"affinity": {"podAntiAffinity": {}}})).template["spec"]


def test_labels_are_replaced_save_those_that_inject() -> None:
    """And annotations stay, save those about the app itself; a mesh is told to make a native sidecar."""
    source = workload()
    source["spec"]["template"]["metadata"] = {
        "labels": {
            "app": "shop",
            "pod-template-hash": "1",
            "sidecar.istio.io/inject": "true",
            "admission.datadoghq.com/enabled": "true",
            "net": "db",
        },
        "annotations": {
            "vault.hashicorp.com/role": "shop",
            "prometheus.io/port": "1",
            "kubectl.kubernetes.io/restartedAt": "2026",
            "linkerd.io/inject": "enabled",
        },
    }
    head = derived(source, network_labels=("net",)).template["metadata"]
    assert head["labels"] == {
        "sidecar.istio.io/inject": "true",
        "admission.datadoghq.com/enabled": "true",
        "net": "db",
        **MANAGED,
    }
    assert head["annotations"] == {
        "vault.hashicorp.com/role": "shop",
        "linkerd.io/inject": "enabled",
        "sidecar.istio.io/nativeSidecar": "true",
        "config.beta.linkerd.io/proxy-enable-native-sidecar": "true",
    }
    with pytest.raises(NotDerivable, match="no label zone"):
        derived(source, network_labels=("zone",))


def test_a_named_sidecar_becomes_a_native_one() -> None:
    """It starts before the init containers, which may need it, and does not hold a port of the node."""
    proxy = {
        "name": "proxy",
        "image": "p",
        "ports": [{"containerPort": 1, "hostPort": 1}],
        "lifecycle": {"a": 1},
    }
    source = workload(spec={"initContainers": [{"name": "wait", "image": "w"}]})
    source["spec"]["template"]["spec"]["containers"].append(proxy)
    made = derived(source, container="app", sidecars=("proxy",))
    first, second = made.template["spec"]["initContainers"]
    assert first == {**proxy, "ports": [{"containerPort": 1}], "restartPolicy": "Always"}
    assert second["name"] == "wait"
    with pytest.raises(ManifestUnfit, match=r"no such container 'prox' \(did you mean 'proxy'"):
        derived(source, container="app", sidecars=("prox",))


def test_init_containers_stay_unless_the_settings_say_otherwise() -> None:
    """One that looks like a migration is named, since each run would repeat it."""
    source = workload(
        spec={"initContainers": [{"name": "secrets", "image": "s"}, {"name": "db-migrate", "image": "m"}]}
    )
    made = derived(source)
    assert [one["name"] for one in made.template["spec"]["initContainers"]] == ["secrets", "db-migrate"]
    assert [change.path for change in made.changes if "migration" in change.reason] == [
        "spec.initContainers[db-migrate]"
    ]
    assert [
        one["name"] for one in derived(source, without=("db-migrate",)).template["spec"]["initContainers"]
    ] == ["secrets"]
    with pytest.raises(ManifestUnfit, match="without"):
        derived(source, without=("nothing",))


CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "files"}}
DIGEST = f"sha256:{'4' * 64}"
MOUNT = [{"name": "data", "mountPath": "/data"}]


def claim(*modes: str) -> dict[str, Any]:
    """The claim with these access modes."""
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "files"},
        "spec": {"accessModes": list(modes)},
    }


def test_a_claim_that_many_nodes_may_hold_stays() -> None:
    """Nothing has to be chosen where the manifest tells its mode."""
    source = workload(spec={"volumes": [CLAIM]}, volumeMounts=MOUNT)
    assert derived(source, claim("ReadWriteMany")).template["spec"]["volumes"] == [CLAIM]


@pytest.mark.parametrize("others", [(), (claim("ReadWriteOnce"),)], ids=["unknown", "one node"])
def test_a_claim_of_one_node_wants_a_choice(others: tuple[dict[str, Any], ...]) -> None:
    """It is refused, mounted on a node of the app, replaced by an empty volume, or mounted all the same."""
    source = workload(spec={"volumes": [CLAIM]}, volumeMounts=MOUNT)
    with pytest.raises(NotDerivable, match="claim files") as caught:
        derived(source, *others)
    assert "same-node" in caught.value.next_step
    empty = derived(source, *others, volumes="empty").template["spec"]
    assert empty["volumes"] == [{"name": "data", "emptyDir": {}}]
    assert derived(source, *others, volumes="keep").template["spec"]["volumes"] == [CLAIM]
    beside = derived(source, *others, volumes="same-node").template["spec"]
    (term,) = beside["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"] == {"matchLabels": {"app": "shop"}}
    assert term["topologyKey"] == "kubernetes.io/hostname"


def test_a_claim_of_one_pod_is_never_shared() -> None:
    """Not even on the same node."""
    source = workload(spec={"volumes": [CLAIM]}, volumeMounts=MOUNT)
    for choice in (None, "same-node", "keep"):
        with pytest.raises(NotDerivable, match="one pod alone"):
            derived(source, claim("ReadWriteOncePod"), volumes=choice)


def test_a_claim_that_no_container_of_the_run_mounts_goes() -> None:
    """It was that of a container which is not there."""
    assert "volumes" not in derived(workload(spec={"volumes": [CLAIM]})).template["spec"]


def test_the_claims_of_a_statefulset() -> None:
    """Each of its pods has one of its own: a run has none, or an empty volume."""
    source = workload("StatefulSet", volumeMounts=MOUNT)
    source["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": {}}]
    with pytest.raises(NotDerivable, match="each of its own pods"):
        derived(source, volumes="same-node")
    assert derived(source, volumes="empty").template["spec"]["volumes"] == [{"name": "data", "emptyDir": {}}]


def test_a_variable_that_reads_a_label_which_is_gone() -> None:
    """It is named, because its value is not the app's; one that reads the pod's name is not."""
    field = {"fieldRef": {"fieldPath": "metadata.labels['app']"}}
    other = {"fieldRef": {"fieldPath": "metadata.name"}}
    source = workload(env=[{"name": "A", "valueFrom": field}, {"name": "B", "valueFrom": other}])
    made = derived(source, keep_entrypoint=False)
    assert [change.path for change in made.changes if change.action == "kept"] == [
        "spec.containers[app].env[A]"
    ]


def test_departures_are_named() -> None:
    """Another image and variables that are not the app's, and one of the app's that is replaced."""
    source = workload(env=[{"name": "ONEOFF_STORE", "value": "x"}, {"name": "A", "value": "1"}])
    wish = Wish(
        argv=("x",),
        image="shop:2",
        environ=[{"name": "ONEOFF_STORE", "value": "y"}, {"name": "B", "value": "2"}],
        departures=frozenset({"B"}),
    )
    made = derived(source, wish=wish)
    assert made.departures == ("image shop:2 in place of shop:1", "env B", "env ONEOFF_STORE")
    assert container_of(made)["env"] == [*wish.environ, {"name": "A", "value": "1"}]
    assert container_of(made)["image"] == "shop:2"


@pytest.mark.parametrize(("policy", "expected"), [("Always", "IfNotPresent"), ("Never", "Never")])
def test_a_pinned_image_is_no_departure(policy: str, expected: str) -> None:
    """The digest that runs takes the tag's place, and needs not be fetched again; what was asked for wins."""
    source = workload(imagePullPolicy=policy)
    made = derived(source, wish=Wish(argv=("x",), pinned=f"shop@{DIGEST}"))
    container = container_of(made)
    assert (container["image"], container["imagePullPolicy"]) == (f"shop@{DIGEST}", expected)
    assert made.departures == ()
    assert "spec.containers[app].image" in [one.path for one in made.changes if one.action == "replaced"]
    asked = derived(source, wish=Wish(argv=("x",), image="shop:2", pinned=f"shop@{DIGEST}"))
    assert container_of(asked)["image"] == "shop:2"
    assert asked.departures == ("image shop:2 in place of shop:1",)


def test_identity_says_what_differs() -> None:
    """Equal in all parts save that which was changed, also where it was left out."""
    source = workload(env=[{"name": "A", "value": "1"}], resources={"limits": {"cpu": "1"}})
    template = source["spec"]["template"]
    made = derived(source, wish=Wish(argv=("x",), environ=[{"name": "ONEOFF_STORE", "value": "y"}]))
    own = frozenset({"ONEOFF_STORE"})
    assert identity(template, made.template, "app", own=own).differs == ()
    assert identity(template, made.template, "app", own=frozenset()).differs == ("env",)
    changes: dict[str, dict[str, Any]] = {
        "image": {"image": "other"},
        "env": {"env": []},
        "envFrom": {"envFrom": [{"secretRef": {"name": "s"}}]},
        "volumeMounts": {"volumeMounts": MOUNT},
        "securityContext": {"securityContext": {"runAsUser": 1}},
        "resources": {"resources": {}},
        "workingDir": {"workingDir": "/x"},
    }
    for part, change in changes.items():
        other = deepcopy(made.template)
        other["spec"]["containers"][0].update(change)
        assert identity(template, other, "app", own=own).differs == (part,), part
    pods: dict[str, dict[str, Any]] = {
        "serviceAccount": {"serviceAccountName": "x"},
        "podSecurityContext": {"securityContext": {"fsGroup": 1}},
    }
    for part, change in pods.items():
        other = deepcopy(made.template)
        other["spec"].update(change)
        assert identity(template, other, "app", own=own).differs == (part,), part
    assert set(changes) | set(pods) | {"volumes"} == set(PARTS)


def test_words_of_a_command_are_not_expanded() -> None:
    """Kubernetes reads ``$$`` as ``$``, and ``$(NAME)`` as a variable."""
    assert escaped(["$(HOME)", "5$", "a"]) == ("$$(HOME)", "5$$", "a")


def rollout(**spec: Any) -> dict[str, Any]:
    """An Argo Rollout."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": spec,
    }


def test_every_kind_of_workload() -> None:
    """A template is where its kind has it; a Rollout may have that of a Deployment."""
    template = workload()["spec"]["template"]
    for kind in ("Deployment", "StatefulSet", "ReplicaSet"):
        assert found(workload(kind)).template == template
    assert (
        found({"kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}).template == template
    )
    assert found(rollout(template=template)).template == template
    referring = rollout(workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
    assert found(referring, workload(), reference="rollout/web").template == template
    with pytest.raises(ManifestUnfit, match="refers to Deployment web, which is not there"):
        found(referring)


def test_the_workload_is_named_or_the_only_one() -> None:
    """Two of them, or none, is a question with the names to choose from."""
    one, two = workload(), workload("StatefulSet")
    owned = {**workload("ReplicaSet"), "metadata": {"name": "web-1", "ownerReferences": [{}]}}
    assert found(one, owned).kind == "Deployment"
    assert found(one, two, reference="sts/web").kind == "StatefulSet"
    for objects, reference, words in (
        ([one, two], None, "several workloads"),
        ([], None, "no workload"),
        ([one], "deployment/wep", "did you mean 'deployment/web'"),
        ([one, one], "deployment/web", "there 2 times"),
        ([one], "pod/web", "names no workload"),
        ([one], "web", "names no workload"),
        ([{"kind": "Deployment", "metadata": {"name": "web"}}], None, "no pod template"),
    ):
        with pytest.raises(ManifestUnfit, match=r".*") as caught:
            find(objects, reference, None)
        assert words in caught.value.message


def test_namespaces_tell_two_of_one_name_apart() -> None:
    """A manifest without one is for whichever it is applied to."""
    here, there, any_one = (deepcopy(workload()) for _ in range(3))
    here["metadata"]["namespace"], there["metadata"]["namespace"] = "a", "b"
    assert find([here, there], "deployment/web", "b").namespace == "b"
    assert find([any_one], "deployment/web", "b").namespace is None
    with pytest.raises(ManifestUnfit) as caught:
        find([here], "deployment/web", "c")
    assert "deployment/web in a" in caught.value.next_step


def test_lists_and_empty_documents() -> None:
    """`kubectl get` prints a List, and Helm prints documents with nothing in them."""
    listed = {"kind": "List", "items": [workload(), {"kind": "DeploymentList", "items": [workload()]}]}
    assert len(flattened([None, listed, workload()])) == 3
    for wrong in ("text", ["a"], {"a": 1}, {"kind": 3}):
        with pytest.raises(ManifestUnfit, match="no object of Kubernetes"):
            flattened([wrong])


def test_the_container_is_named_or_kubectls_default_or_the_only_one() -> None:
    """Of several, nobody guesses."""
    source = workload()
    source["spec"]["template"]["spec"]["containers"].append({"name": "nginx", "image": "n"})
    with pytest.raises(ManifestUnfit, match="several containers: app, nginx"):
        derived(source)
    with pytest.raises(ManifestUnfit, match=r"no container 'ap' \(did you mean 'app'"):
        derived(source, container="ap")
    source["spec"]["template"]["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/default-container": "nginx"
    }
    assert derived(source).container == "nginx"
    assert derived(source, container="app").container == "app"
