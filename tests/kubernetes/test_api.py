"""The API: objects, versions, selectors, patches, field managers, watches, deletion, access, logs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.kinds import Kind, Object
from tests.kubernetes.objects import CONFIGMAPS, CRONJOBS, JOBS, PODS, configmap, cronjob, job, run, started
from tests.kubernetes.wire import Answer, Wire

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"


def put(wire: Wire, name: str, **data: str) -> Any:
    return wire.send("POST", CONFIGMAPS, configmap(name, **data)).json()


def labelled(wire: Wire, name: str, **labels: str) -> None:
    obj = configmap(name)
    obj["metadata"]["labels"] = labels
    assert wire.send("POST", CONFIGMAPS, obj).code == 201


def names(listed: Object) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


# Objects.


def test_a_new_object_gets_what_the_server_gives(wire: Wire) -> None:
    """A uid, a version, a time; a generated name; and the manager that the program's name says."""
    obj = configmap("")
    obj["metadata"] = {"generateName": "run-"}
    made = wire.send("POST", CONFIGMAPS, obj).json()["metadata"]
    assert made["name"].startswith("run-") and len(made["name"]) == 9
    assert made["uid"] and int(made["resourceVersion"]) and made["creationTimestamp"].endswith("Z")
    assert [each["manager"] for each in made["managedFields"]] == ["curl"]


def test_a_dry_run_stores_nothing(wire: Wire) -> None:
    """Create, patch and delete say what they would do; the checks are the real ones."""
    assert wire.send("POST", JOBS, job("a", "true"), dryRun="All").json()["spec"]["completions"] == 1
    assert wire.send("GET", f"{JOBS}/a").code == 404
    assert wire.send("POST", JOBS, job("A", "true"), dryRun="All").code == 422
    put(wire, "m", x="1")
    wire.send("PATCH", f"{CONFIGMAPS}/m", {"data": {"x": "2"}}, content_type=MERGE, dryRun="All")
    wire.send("DELETE", f"{CONFIGMAPS}/m", dryRun="All")
    assert wire.get(f"{CONFIGMAPS}/m")["data"] == {"x": "1"}


def test_an_update_of_an_old_version_is_a_conflict(wire: Wire) -> None:
    """409, and nothing changes; without a version it goes through, and without a change it costs none."""
    first = put(wire, "m", x="1")
    second = wire.send("PUT", f"{CONFIGMAPS}/m", first | {"data": {"x": "2"}}).json()
    stale = wire.send("PUT", f"{CONFIGMAPS}/m", first | {"data": {"x": "3"}})
    assert (stale.code, stale.json()["reason"]) == (409, "Conflict")
    same = wire.send("PUT", f"{CONFIGMAPS}/m", second).json()
    assert same["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert wire.send("PUT", f"{CONFIGMAPS}/m", configmap("m", x="4")).json()["data"] == {"x": "4"}


def test_status_and_the_rest_are_written_apart(wire: Wire, cluster: FakeKubernetes) -> None:
    """A new generation is a new spec; the status of a PUT is not taken, and the spec of a status is not."""
    made = wire.send("POST", CRONJOBS, cronjob("c", "true")).json()
    changed = made | {"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}}
    assert wire.send("PUT", f"{CRONJOBS}/c", changed).json()["status"] == {}
    changed["spec"] = made["spec"] | {"schedule": "1 1 * * *"}
    after = wire.send("PUT", f"{CRONJOBS}/c/status", changed).json()
    assert (after["status"], after["spec"]["schedule"]) == (changed["status"], "0 2 * * *")
    assert after["metadata"]["generation"] == 1
    patch = {"spec": {"schedule": "1 1 * * *"}}
    after = wire.send("PATCH", f"{CRONJOBS}/c", patch, content_type=MERGE).json()
    assert (after["metadata"]["generation"], after["status"]) == (2, changed["status"])


def test_a_field_that_the_schema_does_not_have_is_refused(wire: Wire) -> None:
    """A real server would drop it; the fake does not let a test pass with it."""
    wrong = job("j", "true", backOffLimit=3)
    answer = wire.send("POST", JOBS, wrong)
    assert (answer.code, answer.json()["reason"]) == (400, "BadRequest")
    assert "backOffLimit" in answer.json()["message"]


def _pod(**changes: Any) -> Object:
    container = {"name": "a", "image": "x", **changes}
    return {"spec": {"restartPolicy": "Never", "containers": [container]}}


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ({"metadata": {"labels": {"a": "x" * 64}}, **_pod()}, "metadata.labels"),
        ({"metadata": {"labels": {"a": "system:admin"}}, **_pod()}, "metadata.labels"),
        ({"metadata": {"annotations": {"a": "x" * 262144}}, **_pod()}, "metadata.annotations"),
        (_pod(name="A"), "containers[0].name"),
        (_pod(env=[{"name": "A=B", "value": "1"}]), "env[0].name"),
        (
            _pod(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]),
            "env[0].valueFrom.fieldRef.fieldPath",
        ),
        (
            _pod(env=[{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]),
            "env[0].valueFrom",
        ),
        (_pod(volumeMounts=[{"name": "none", "mountPath": "/x"}]), "volumeMounts[0].name"),
        (_pod(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}), "resources.requests"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_template_that_no_pod_can_have_is_refused(wire: Wire, template: Object, field: str) -> None:
    """422, by the field: a Job of it would be as good as none."""
    given = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": template},
    }
    answer = wire.send("POST", JOBS, given)
    assert answer.code == 422, answer.json()
    assert field in answer.json()["details"]["causes"][0]["field"]


def test_a_request_that_makes_no_sense_is_refused(wire: Wire, cluster: FakeKubernetes) -> None:
    """400, before anything is done or streamed."""
    run(cluster, job("j", "true"))
    pod = names(wire.get(PODS))[0]
    assert wire.send("POST", JOBS, configmap("m")).code == 400
    assert wire.send("POST", JOBS, [1]).code == 400
    assert wire.send("POST", JOBS, b"{").code == 400
    assert wire.send("PUT", f"{CONFIGMAPS}/other", configmap("m")).code == 400
    assert wire.send("GET", JOBS, watch="1", resourceVersion="x").code == 400
    assert wire.send("GET", f"{PODS}/{pod}/log", sinceTime="yesterday").code == 400
    assert wire.send("GET", f"{PODS}/{pod}/log", sinceTime="2026-01-01T00:00:00Z", sinceSeconds=1).code == 400
    assert wire.send("GET", JOBS, labelSelector="a in b").code == 400


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("61 2 * * *", "end of range (61) above maximum (59): 61"),
        ("0 2 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("0 2 * *", "expected exactly 5 fields, found 4: [0 2 * *]"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("@often", "unrecognized descriptor: @often"),
    ],
)
def test_a_schedule_is_read_as_kubernetes_reads_it(wire: Wire, schedule: str, why: str) -> None:
    """422 in the words of its parser; names and descriptors are fine."""
    answer = wire.send("POST", CRONJOBS, cronjob("c", "true", schedule=schedule))
    assert answer.code == 422
    assert answer.json()["message"].endswith(why)
    assert wire.send("POST", CRONJOBS, cronjob("d", "true", schedule="@daily")).code == 201
    assert wire.send("POST", CRONJOBS, cronjob("e", "true", schedule="0 2 * jan-mar mon,fri")).code == 201


def test_names_have_limits(wire: Wire) -> None:
    """52 letters for a CronJob, 63 for a Job, and no capital ones."""
    assert wire.send("POST", CRONJOBS, cronjob("c" * 53, "true")).code == 422
    assert wire.send("POST", JOBS, job("j" * 64, "true")).code == 422
    several = wire.send("POST", JOBS, job("J" * 64, "true")).json()
    assert len(several["details"]["causes"]) == 2


# Lists.


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=web", ["a"]),
        ("app!=web", ["b", "c"]),
        ("app in (web, db)", ["a", "b"]),
        ("app notin (web),tier", ["b"]),
        ("!app", ["c"]),
        ("app", ["a", "b"]),
    ],
)
def test_label_selectors(wire: Wire, selector: str, found: list[str]) -> None:
    """Equality, sets and presence, all of them together."""
    labelled(wire, "a", app="web", tier="1")
    labelled(wire, "b", app="db", tier="2")
    labelled(wire, "c")
    assert names(wire.get(CONFIGMAPS, labelSelector=selector)) == found


def test_field_selectors(wire: Wire) -> None:
    """By name, and refused for a field that has no index."""
    labelled(wire, "a")
    labelled(wire, "b")
    assert names(wire.get(CONFIGMAPS, fieldSelector="metadata.name=b")) == ["b"]
    assert names(wire.get(CONFIGMAPS, fieldSelector="metadata.name!=b")) == ["a"]
    assert wire.send("GET", CONFIGMAPS, fieldSelector="data.x=1").code == 400


def test_a_list_comes_in_pages(wire: Wire) -> None:
    """``limit`` and ``continue``; items do not say their kind."""
    for name in "abc":
        put(wire, name)
    first = wire.get(CONFIGMAPS, limit=2)
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["a", "b"], 1)
    assert names(wire.get(CONFIGMAPS, **{"limit": 2, "continue": first["metadata"]["continue"]})) == ["c"]
    assert first["kind"] == "ConfigMapList"
    assert "kind" not in first["items"][0]


# Patches.


def test_patches(wire: Wire) -> None:
    """Merge replaces lists, strategic merges them by name, JSON goes by path."""
    pod = {"initContainers": [{"name": "i", "image": "i:1"}]}
    wire.send("POST", JOBS, job("j", "true", suspend=True, pod=pod))
    where = f"{JOBS}/j"

    def patch(body: Any, kind: str) -> Answer:
        return wire.send("PATCH", where, body, content_type=kind)

    assert patch({"metadata": {"labels": {"a": "1", "b": "2"}}}, MERGE).code == 200
    labels = patch({"metadata": {"labels": {"a": None}}}, MERGE).json()["metadata"]["labels"]
    assert "a" not in labels and labels["b"] == "2"
    by_name = {"spec": {"template": {"spec": {"containers": [{"name": "task", "image": "app:2"}]}}}}
    assert patch(by_name, STRATEGIC).code == 422
    by_path = [{"op": "test", "path": "/spec/suspend", "value": True}]
    by_path += [{"op": "add", "path": "/metadata/annotations", "value": {"x/y": "1"}}]
    assert patch(by_path, JSON).json()["metadata"]["annotations"] == {"x/y": "1"}
    assert patch([{"op": "remove", "path": "/metadata/annotations/x~1y"}], JSON).code == 200
    assert patch([{"op": "replace", "path": "/spec/none", "value": 1}], JSON).code == 422
    assert patch({}, "text/plain").code == 415


def apply(wire: Wire, manager: str, force: bool = False, **data: str) -> Answer:
    more = {"force": "true"} if force else {}
    body = configmap("m", **data)
    return wire.send("PATCH", f"{CONFIGMAPS}/m", body, content_type=APPLY, fieldManager=manager, **more)


def test_what_is_applied_no_more_goes_unless_somebody_else_owns_it(wire: Wire) -> None:
    """Server-side apply: fields have owners, and may have several where they agree."""
    assert apply(wire, "one", a="1", b="1").code == 201
    assert apply(wire, "two", b="1", c="1").code == 200
    assert apply(wire, "one").json().get("data") == {"b": "1", "c": "1"}
    assert apply(wire, "two", c="1").json().get("data") == {"c": "1"}


def test_a_conflict_names_the_owner_and_force_takes_the_field(wire: Wire) -> None:
    """Also for one who wrote it by an update."""
    apply(wire, "one", a="1")
    refused = apply(wire, "two", a="2").json()
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert apply(wire, "two", force=True, a="2").json()["data"] == {"a": "2"}
    patch = {"data": {"a": "3"}}
    wire.send("PATCH", f"{CONFIGMAPS}/m", patch, content_type=MERGE, fieldManager="kubectl-edit")
    refused = apply(wire, "two", a="2").json()
    assert refused["details"]["causes"][0]["message"] == 'conflict with "kubectl-edit" using v1'
    owners = {
        each["manager"]: each["operation"]
        for each in wire.get(f"{CONFIGMAPS}/m")["metadata"]["managedFields"]
    }
    assert owners == {"kubectl-edit": "Update"}


def test_the_same_apply_again_changes_nothing(wire: Wire) -> None:
    """No new version, so no event for those who watch."""
    first = apply(wire, "one", a="1").json()
    time.sleep(1.1)
    assert apply(wire, "one", a="1").json() == first


def test_lists_with_keys_are_owned_item_by_item(wire: Wire) -> None:
    """One manager's environment variable does not touch another's."""

    def send(manager: str, *env: str) -> Any:
        spec = cronjob("c", "true")
        (task,) = spec["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        task["env"] = [{"name": name, "value": "1"} for name in env]
        answer = wire.send("PATCH", f"{CRONJOBS}/c", spec, content_type=APPLY, fieldManager=manager)
        found = answer.json()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
        return [each["name"] for each in found.get("env", [])]

    assert send("one", "A", "B") == ["A", "B"]
    assert send("two", "C") == ["A", "B", "C"]
    assert send("one", "B") == ["B", "C"]


# Watches.


def test_a_watch_tells_every_change_after_a_version(wire: Wire, cluster: FakeKubernetes) -> None:
    """What leaves the selector is deleted for it; the end of the time is a clean end."""
    version = wire.get(CONFIGMAPS)["metadata"]["resourceVersion"]
    labelled(wire, "a", app="web")
    labelled(wire, "b", app="db")
    query = {"resourceVersion": version, "labelSelector": "app=web", "timeoutSeconds": 1}
    with wire.watch(CONFIGMAPS, **query) as stream:
        patch = {"metadata": {"labels": {"app": "db"}}}
        wire.send("PATCH", f"{CONFIGMAPS}/a", patch, content_type=MERGE)
        wire.send("PATCH", f"{CONFIGMAPS}/b", {"metadata": {"labels": {"app": "web"}}}, content_type=MERGE)
        wire.send("DELETE", f"{CONFIGMAPS}/b")
        assert stream.ended.wait(5)
    seen = [(line["type"], line["object"]["metadata"]["name"]) for line in stream.lines]
    assert seen == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "b"), ("DELETED", "b")]
    assert not stream.broken
    assert {line["object"]["kind"] for line in stream.lines} == {"ConfigMap"}


def test_a_watch_without_a_version_begins_with_what_is_there(tmp_path: Path) -> None:
    """And says so by a bookmark, where it is asked to; later ones come by the clock, once a minute."""
    query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    with FakeKubernetes(tmp_path, speed=200) as cluster:
        cluster.create_namespace("shop")
        wire = Wire(cluster.url)
        put(wire, "a")
        begin_and_go_on(cluster, wire, query)


def begin_and_go_on(cluster: FakeKubernetes, wire: Wire, query: dict[str, str]) -> None:
    with wire.watch(CONFIGMAPS, **query) as stream:
        cluster.wait(lambda: stream.types() == ["ADDED", "BOOKMARK"])
        initial = stream.lines[1]["object"]["metadata"]
        assert initial["annotations"] == {"k8s.io/initial-events-end": "true"}
        cluster.wait(lambda: len(stream.lines) == 3)
        assert stream.lines[2]["object"]["metadata"].keys() == {"resourceVersion"}


def test_a_forgotten_version_is_gone(wire: Wire, cluster: FakeKubernetes) -> None:
    """410 is a line in an answer that began with 200."""
    put(wire, "a")
    cluster.storage.forget()
    answer = wire.send("GET", CONFIGMAPS, watch="1", resourceVersion="2")
    assert answer.code == 200
    assert (answer.json()["type"], answer.json()["object"]["code"]) == ("ERROR", 410)


# Deletion.


def test_a_job_is_deleted_with_its_pods_only_where_that_is_asked(wire: Wire, cluster: FakeKubernetes) -> None:
    """Without a policy a Job's pods stay, as on a real server; Background takes them, each with its grace."""
    for name, query, left in (("kept", {}, 1), ("gone", {"propagationPolicy": "Background"}, 0)):
        wire.send("POST", JOBS, job(name, "sleep 30", pod={"terminationGracePeriodSeconds": 1}))
        pod = started(cluster, name)["metadata"]["name"]
        wire.send("DELETE", f"{JOBS}/{name}", **query)
        cluster.wait(lambda name=name: wire.send("GET", f"{JOBS}/{name}").code == 404)  # type: ignore[misc]
        cluster.wait(
            lambda pod=pod, left=left: sum(each == pod for each in names(wire.get(PODS))) == left  # type: ignore[misc]
        )
        if left:
            time.sleep(0.3)
            assert "ownerReferences" not in wire.get(f"{PODS}/{pod}")["metadata"]


def test_a_deletion_can_name_the_object_that_is_meant(wire: Wire) -> None:
    """409 where another one has the name by now; else a Status, or the object where it lives on."""
    made = put(wire, "m")
    other = wire.send("DELETE", f"{CONFIGMAPS}/m", {"preconditions": {"uid": "other"}})
    assert (other.code, other.json()["reason"]) == (409, "Conflict")
    answer = wire.send("DELETE", f"{CONFIGMAPS}/m", {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert answer.json()["details"] == {"name": "m", "kind": "configmaps", "uid": made["metadata"]["uid"]}


def test_a_finalizer_keeps_an_object(wire: Wire) -> None:
    """It is marked, and goes when the last finalizer is taken away."""
    obj = configmap("m")
    obj["metadata"]["finalizers"] = ["example.com/x"]
    wire.send("POST", CONFIGMAPS, obj)
    assert wire.send("DELETE", f"{CONFIGMAPS}/m").json()["metadata"]["deletionTimestamp"]
    patch = {"metadata": {"finalizers": None}}
    wire.send("PATCH", f"{CONFIGMAPS}/m", patch, content_type=MERGE)
    assert wire.send("GET", f"{CONFIGMAPS}/m").code == 404


def test_a_namespace_that_ends_takes_nothing_new(wire: Wire, cluster: FakeKubernetes) -> None:
    """403 with NamespaceTerminating, until it is gone; then 404."""
    obj = configmap("m")
    obj["metadata"]["finalizers"] = ["example.com/x"]
    wire.send("POST", CONFIGMAPS, obj)
    wire.send("DELETE", "/api/v1/namespaces/shop")
    refused = wire.send("POST", JOBS, job("j", "true")).json()
    assert (refused["code"], refused["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    wire.send("PATCH", f"{CONFIGMAPS}/m", {"metadata": {"finalizers": None}}, content_type=MERGE)
    cluster.wait(lambda: wire.send("GET", "/api/v1/namespaces/shop").code == 404)
    assert wire.send("POST", JOBS, job("j", "true")).code == 404


def test_a_budget_forbids_an_eviction(wire: Wire, cluster: FakeKubernetes) -> None:
    """429, and the pod runs on."""
    wire.send("POST", JOBS, job("j", "sleep 30"))
    pod = started(cluster, "j")["metadata"]["name"]
    selector = {"matchLabels": {"job-name": "j"}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}}
    cluster.create(budget | {"spec": {"selector": selector, "minAvailable": 1}}, "shop")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    answer = wire.send("POST", f"{PODS}/{pod}/eviction", body)
    assert (answer.code, answer.json()["details"]["causes"][0]["reason"]) == (429, "DisruptionBudget")
    assert wire.get(f"{PODS}/{pod}")["status"]["phase"] == "Running"


# Access.


def test_denials_are_told_before_and_when_they_count(wire: Wire, cluster: FakeKubernetes) -> None:
    """A review says what a request would be answered."""
    alice = Wire(cluster.url, cluster.access.add("alice", "devs"))
    cluster.access.deny("get", "pods/log", user="alice", namespace="shop")

    def may(verb: str, resource: str, subresource: str = "", group: str = "") -> bool:
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": "shop"}
        spec = {"resourceAttributes": attributes | {"subresource": subresource}}
        answer = alice.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": spec})
        return bool(answer.json()["status"]["allowed"])

    assert may("create", "jobs", group="batch") and not may("get", "pods", "log")
    run(cluster, job("j", "true"))
    pod = names(wire.get(PODS))[0]
    assert alice.send("GET", f"{PODS}/{pod}").code == 200
    refused = alice.send("GET", f"{PODS}/{pod}/log").json()
    assert 'User "alice" cannot get resource "pods/log"' in refused["message"]
    body = {"spec": {"namespace": "shop"}}
    rules = alice.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body).json()["status"]
    verbs = {rule["resources"][0]: rule["verbs"] for rule in rules["resourceRules"]}
    assert "get" not in verbs["pods/log"] and "get" in verbs["pods"]


def test_a_token_that_has_expired_is_401(wire: Wire, cluster: FakeKubernetes) -> None:
    """And an unknown one; none at all is nobody, who may nothing."""
    assert Wire(cluster.url, "unknown").send("GET", JOBS).code == 401
    cluster.access.expired.add("admin-token")
    assert wire.send("GET", JOBS).json()["reason"] == "Unauthorized"
    assert Wire(cluster.url, None).send("GET", JOBS).code == 403


# Logs.


def test_a_log_is_read_from_where_a_client_says(wire: Wire, cluster: FakeKubernetes) -> None:
    """Time stamps, a time, a number of lines; a follower sees the last line and then the end."""
    wire.send("POST", JOBS, job("j", "echo one; sleep 1.2; echo two; echo three"))
    pod = started(cluster, "j")["metadata"]["name"]
    followed = wire.send("GET", f"{PODS}/{pod}/log", follow="true", timestamps="true")
    stamps, words = zip(*(line.split(" ", 1) for line in followed.text.splitlines()), strict=True)
    assert words == ("one", "two", "three")
    assert wire.send("GET", f"{PODS}/{pod}/log", tailLines=1).text == "three\n"
    assert wire.send("GET", f"{PODS}/{pod}/log", sinceTime=stamps[1]).text == "two\nthree\n"
    assert wire.send("GET", f"{PODS}/{pod}/log", limitBytes=5).text == "one\nt"
    assert wire.send("GET", f"{PODS}/{pod}/log", previous="true").code == 400


def test_a_log_that_is_not_there_yet_is_400(wire: Wire, cluster: FakeKubernetes) -> None:
    """With the reason for which the container waits; a pod without a node has an empty log."""
    cluster.faults.image_missing("app:*")
    wire.send("POST", JOBS, job("j", "true"))
    reason = "trying and failing to pull image"
    cluster.wait(lambda: names(wire.get(PODS)) != [])
    pod = names(wire.get(PODS))[0]
    cluster.wait(lambda: reason in wire.send("GET", f"{PODS}/{pod}/log").text)
    message = wire.get(f"{PODS}/{pod}/log")["message"]
    assert message == f'container "task" in pod "{pod}" is waiting to start: {reason}'
    cluster.faults.unschedulable()
    wire.send("POST", JOBS, job("k", "true"))
    cluster.wait(lambda: len(names(wire.get(PODS))) == 2)
    other = next(name for name in names(wire.get(PODS)) if name != pod)
    assert wire.send("GET", f"{PODS}/{other}/log").text == ""


# Kinds.


def test_discovery_lists_what_there_is(wire: Wire, cluster: FakeKubernetes) -> None:
    """Groups, resources, and a kind that a test has added; an unknown path is 404."""
    cluster.kinds.add(Kind("example.com", "v1", "widgets", "Widget"))
    groups = [group["name"] for group in wire.get("/apis")["groups"]]
    assert {"apps", "batch", "example.com"} <= set(groups)
    resources = wire.get("/apis/batch/v1")["resources"]
    assert [each["name"] for each in resources] == ["jobs", "jobs/status", "cronjobs", "cronjobs/status"]
    widgets = "/apis/example.com/v1/namespaces/shop/widgets"
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"any": 1}}
    assert wire.send("POST", widgets, body).code == 201
    assert wire.get(widgets)["items"][0]["kind"] == "Widget"
    assert wire.send("GET", widgets.replace("widgets", "gadgets")).code == 404


def test_a_recorded_workload_is_stored_as_it_is(wire: Wire, cluster: FakeKubernetes) -> None:
    """With its status, its owners and its versions' order; its pods are not run here."""
    from tests.kubernetes.test_replay import RECORDINGS

    cluster.load(RECORDINGS / "workload-rolling" / "objects.json")
    deployment = cluster.items("deployments")[0]
    namespace = deployment["metadata"]["namespace"]
    found = wire.get(f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"]
    owners = {each["metadata"]["ownerReferences"][0]["uid"] for each in found}
    assert owners == {deployment["metadata"]["uid"]}
    assert deployment["status"]["replicas"] > 0
    assert not any(cluster.kubelet.runs(pod["metadata"]["uid"]) for pod in cluster.items("pods"))
