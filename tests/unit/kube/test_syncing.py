"""Which CronJobs are a sync's own, and how they differ from what is wanted."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from oneoff.kube import syncing
from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import ENVIRONMENT, INTENT, WORKLOAD
from oneoff.kube.syncing import SYNCED, Stamp, stamp_of

STAMP = Stamp(
    by="ann",
    kind="human",
    at="2026-12-01T00:00:00Z",
    confirmation="--yes",
    reason=None,
    context="c",
    revision="1",
)


def a_cronjob(**annotations: str) -> dict[str, Any]:
    """One that a sync has applied for deployment/web in production."""
    about = {ENVIRONMENT: "production", WORKLOAD: "deployment/web", SYNCED: STAMP.text, **annotations}
    pod = {
        "metadata": {"annotations": {**about, INTENT: json.dumps({"actor": "x"})}},
        "spec": {"containers": [{"name": "web", "image": "a", "env": [{"name": "MODE", "value": "1"}]}]},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": "web-nightly",
            "labels": dict(MANAGED),
            "annotations": about,
            "managedFields": [{"manager": "oneoff", "operation": "Apply", "fieldsV1": {}}],
        },
        "spec": {"schedule": "0 2 * * *", "jobTemplate": {"metadata": {}, "spec": {"template": pod}}},
    }


@pytest.mark.parametrize(
    ("environment", "workload", "ours"),
    [
        ("production", "deployment/web", True),
        ("staging", "deployment/web", False),
        ("production", "deployment/worker", False),
        ("production", "statefulset/web", False),
    ],
)
def test_a_cronjob_is_of_one_workload_in_one_environment(environment: str, workload: str, ours: bool) -> None:
    assert (syncing.workload_of(a_cronjob(), environment) == workload) is ours


def test_labels_alone_make_no_cronjob_ours() -> None:
    """Nor do annotations: what else somebody has put beside ours is theirs."""
    foreign = a_cronjob()
    foreign["metadata"]["labels"] = {"app": "web"}
    assert syncing.workload_of(foreign, "production") is None
    assert syncing.workload_of({"metadata": {"labels": dict(MANAGED)}}, "production") is None


def test_what_was_rendered_is_whoevers_who_applied_it() -> None:
    made = a_cronjob()
    assert syncing.was_synced(made)
    made["metadata"]["managedFields"] = [
        {"manager": "argocd", "operation": "Apply"},
        {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"},
        {"manager": "oneoff", "operation": "Update"},
    ]
    assert not syncing.was_synced(made)
    assert syncing.made_by(made) == "was made by argocd, oneoff"
    assert syncing.whose(made) == "belongs to deployment/web of the environment production"
    assert syncing.whose({"metadata": {}}) == "was made by somebody else"


def test_a_stamp_is_read_back() -> None:
    """What somebody has broken is none: the schedule is applied anew then."""
    assert stamp_of(a_cronjob()) == STAMP
    for broken in ("", "[]", "{}", json.dumps({"by": "ann"}), "x"):
        assert stamp_of(a_cronjob(**{SYNCED: broken})) is None
    assert stamp_of({"metadata": {}}) is None


def test_items_that_others_have_added() -> None:
    """By the fields that each manager owns; what they set of ours is a conflict, and told by the server."""
    there = a_cronjob()
    containers = {
        'k:{"name":"web"}': {
            ".": {},
            "f:image": {},
            "f:env": {'k:{"name":"MODE"}': {}, 'k:{"name":"DEBUG"}': {".": {}, "f:value": {}}},
        },
        'k:{"name":"spy"}': {".": {}, "f:image": {}},
    }
    pod = {
        "f:containers": containers,
        "f:initContainers": {'k:{"name":"first"}': {}},
        "f:priorityClassName": {},
    }
    fields = {
        "f:spec": {"f:suspend": {}, "f:jobTemplate": {"f:spec": {"f:template": {"f:spec": pod}}}},
        "f:metadata": {"f:ownerReferences": {'k:{"uid":"1"}': {}}},
    }
    there["metadata"]["managedFields"] += [
        {"manager": "kubectl-set", "operation": "Update", "fieldsV1": fields},
        {"manager": "kubelet", "operation": "Update", "subresource": "status", "fieldsV1": fields},
    ]
    where = "spec.jobTemplate.spec.template.spec"
    assert syncing.added(there, a_cronjob()) == [
        f"{where}.containers[web].env[DEBUG] (kubectl-set)",
        f"{where}.containers[spy] (kubectl-set)",
        f"{where}.initContainers[first] (kubectl-set)",
    ]
    assert syncing.added(a_cronjob(), a_cronjob()) == []


def test_what_the_server_notes_is_no_difference() -> None:
    one, other = a_cronjob(), a_cronjob()
    other["metadata"] |= {"resourceVersion": "7", "generation": 2, "managedFields": []}
    other["status"] = {"lastScheduleTime": "2026-12-01T01:00:00Z"}
    assert syncing.same(one, other)
    other["spec"]["schedule"] = "0 3 * * *"
    assert not syncing.same(one, other)
    assert '-  schedule: "0 2 * * *"\n+  schedule: "0 3 * * *"\n' in syncing.difference(one, other)


def test_the_content_of_a_config_map_is_compared() -> None:
    one = {"kind": "ConfigMap", "metadata": {"name": "a"}, "binaryData": {"x": "MQ=="}}
    assert syncing.same(one, deepcopy(one))
    assert not syncing.same(one, {**one, "binaryData": {"x": "Mg=="}})


def test_notes_of_oneoff_are_shown_where_nothing_else_differs() -> None:
    """They follow from the rest, and would bury it."""
    one, other = a_cronjob(), a_cronjob()
    pod = other["spec"]["jobTemplate"]["spec"]["template"]
    pod["metadata"]["annotations"][INTENT] = json.dumps({"actor": "y"})
    kept = deepcopy(other)
    assert '-              actor: "x"\n+              actor: "y"\n' in syncing.difference(one, other)
    pod["spec"]["containers"][0]["image"] = "b"
    found = syncing.difference(one, other)
    assert '+          - image: "b"' in found or '+            image: "b"' in found
    assert INTENT not in found
    pod["spec"]["containers"][0]["image"] = "a"
    assert other == kept
