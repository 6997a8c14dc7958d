"""How workloads stand that no recording shows: a table for each kind."""

from __future__ import annotations

from typing import Any

import pytest

from oneoff.errors import NotDerivable
from oneoff.kube.release.releases import choose
from oneoff.kube.release.standing import Standing, bare, standing

Object = dict[str, Any]
UNSEEN = "was changed a moment ago, and its controller has not looked at it yet"
ROLLOUT = "is in the middle of a rollout"


def template(image: str) -> Object:
    return {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "a", "image": image}]}}


def hashed(image: str, key: str, value: str) -> Object:
    made = template(image)
    made["metadata"] |= {"creationTimestamp": None, "labels": {"app": "shop", key: value}}
    return made


def pod(owner: str, *, ready: bool = True, **labels: str) -> Object:
    return {
        "metadata": {"labels": labels, "ownerReferences": [{"uid": owner}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def replica_set(
    revision: int, image: str, available: int, *, tool: str = "deployment.kubernetes.io"
) -> Object:
    key = "pod-template-hash" if tool.startswith("deployment") else "rollouts-pod-template-hash"
    return {
        "metadata": {
            "name": f"web-{revision}",
            "uid": f"r{revision}",
            "labels": {key: f"h{revision}"},
            "annotations": {f"{tool}/revision": str(revision)},
        },
        "spec": {"template": hashed(image, key, f"h{revision}")},
        "status": {"availableReplicas": available},
    }


def workload(kind: str, image: str = "shop:2", *, status: Object | None = None, **spec: Any) -> Object:
    return {
        "kind": kind,
        "metadata": {"name": "web", "uid": "w", "generation": 5},
        "spec": {"replicas": 2, "template": template(image), **spec},
        "status": {"observedGeneration": 5, **(status or {})},
    }


def stands(source: Object, kept: list[Object], pods: list[Object]) -> Standing:
    return standing(source, source["spec"]["template"], kept, pods)


def progressing(reason: str) -> Object:
    return {"conditions": [{"type": "Progressing", "status": "True", "reason": reason, "message": "m"}]}


NEW = [pod("r2"), pod("r2")]


@pytest.mark.parametrize(
    ("source", "kept", "pods", "trouble", "serving"),
    [
        pytest.param(
            workload("Deployment", status={"availableReplicas": 2}),
            [replica_set(1, "shop:1", 0), replica_set(2, "shop:2", 2)],
            NEW,
            "",
            ["2"],
            id="without a deadline there is no condition",
        ),
        pytest.param(
            workload(
                "Deployment", paused=True, status={"availableReplicas": 2, **progressing("DeploymentPaused")}
            ),
            [replica_set(2, "shop:2", 2)],
            NEW,
            "",
            ["2"],
            id="paused without a change",
        ),
        pytest.param(
            workload("Deployment", status=progressing("ReplicaSetUpdated")),
            [replica_set(1, "shop:1", 0), replica_set(2, "shop:2", 0)],
            [pod("r2", ready=False)],
            ROLLOUT,
            [],
            id="Recreate: the old pods are gone, the new are not there yet",
        ),
        pytest.param(workload("Deployment"), [], [], "has a change that is not released", [], id="just made"),
        pytest.param(
            workload("Deployment", status={"observedGeneration": 4, **progressing("NewReplicaSetAvailable")}),
            [replica_set(2, "shop:2", 2)],
            NEW,
            UNSEEN,
            ["2"],
            id="scaled a moment ago",
        ),
        pytest.param(
            workload("Deployment", "shop:1", status=progressing("NewReplicaSetAvailable")),
            [replica_set(3, "shop:1", 2), replica_set(2, "shop:2", 0)],
            [pod("r3"), pod("r3")],
            "",
            ["3"],
            id="rolled back: the old ReplicaSet has a new number",
        ),
        pytest.param(
            workload("Deployment", status=progressing("NewReplicaSetAvailable")),
            [replica_set(2, "shop:2", 0)],
            [pod("r2", ready=False), pod("r2", ready=False)],
            "",
            [],
            id="all pods are down, and no other release is there",
        ),
        pytest.param(
            workload("ReplicaSet", status={"availableReplicas": 1}),
            [],
            [pod("w")],
            "",
            [""],
            id="a ReplicaSet",
        ),
    ],
)
def test_deployments(
    source: Object, kept: list[Object], pods: list[Object], trouble: str, serving: list[str]
) -> None:
    """Whether what serves is what is asked for, and which revisions serve."""
    now = stands(source, kept, pods)
    assert now.trouble == trouble
    assert [revision.number for revision in now.serving] == serving


def controller_revision(number: int, image: str) -> Object:
    return {
        "metadata": {"name": f"web-{number}"},
        "revision": number,
        "data": {"spec": {"template": {"$patch": "replace", **template(image)}}},
    }


def member(number: int, *, ready: bool = True) -> Object:
    return pod("w", ready=ready, **{"controller-revision-hash": f"web-{number}"})


@pytest.mark.parametrize(
    ("status", "pods", "trouble", "serving"),
    [
        ({"currentRevision": "web-2", "updateRevision": "web-2"}, [member(2), member(2)], "", ["2"]),
        (
            {"currentRevision": "web-1", "updateRevision": "web-2"},
            [member(1), member(2)],
            ROLLOUT,
            ["2", "1"],
        ),
        (
            {"currentRevision": "web-1", "updateRevision": "web-2"},
            [member(1), member(2, ready=False)],
            ROLLOUT,
            ["1"],
        ),
        # OnDelete never moves currentRevision; all pods were deleted by hand.
        ({"currentRevision": "web-1", "updateRevision": "web-2"}, [member(2), member(2)], "", ["2"]),
        ({"currentRevision": "web-1", "updateRevision": "web-2"}, [member(2)], ROLLOUT, ["2"]),
        (
            {"currentRevision": "web-2", "updateRevision": "web-2", "observedGeneration": 4},
            [member(2)],
            UNSEEN,
            ["2"],
        ),
        ({"updateRevision": "web-9"}, [], "has a change that is not released", []),
    ],
)
def test_stateful_sets(status: Object, pods: list[Object], trouble: str, serving: list[str]) -> None:
    """By the revision that each pod says it is of."""
    kept = [controller_revision(1, "shop:1"), controller_revision(2, "shop:2")]
    now = stands(workload("StatefulSet", status=status), kept, pods)
    assert now.trouble == trouble
    assert [revision.number for revision in now.serving] == serving
    assert all(revision.template in (template("shop:1"), template("shop:2")) for revision in now.serving)


@pytest.mark.parametrize(
    ("status", "trouble", "running"),
    [
        ({"stableRS": "h2", "currentPodHash": "h2"}, "", "2"),
        ({"stableRS": "h1", "currentPodHash": "h2", "message": "CanaryPauseStep"}, ROLLOUT, "1"),
        ({"stableRS": "h1", "currentPodHash": "h2", "abort": True, "message": "aborted"}, ROLLOUT, "1"),
        ({"stableRS": "", "currentPodHash": "h2"}, ROLLOUT, None),
        ({"stableRS": "h2", "currentPodHash": "h2", "observedGeneration": "4"}, UNSEEN, "2"),
        ({"stableRS": "h2", "currentPodHash": "h2", "observedGeneration": "5"}, "", "2"),
    ],
)
def test_rollouts_of_argo(status: Object, trouble: str, running: str | None) -> None:
    """Stable is what runs, whatever else has pods."""
    kept = [replica_set(number, f"shop:{number}", 1, tool="rollout.argoproj.io") for number in (1, 2)]
    now = stands(workload("Rollout", status=status), kept, [pod("r1"), pod("r2")])
    assert now.trouble.startswith(trouble)
    assert bool(now.trouble) == bool(trouble)
    if running is None:
        with pytest.raises(NotDerivable, match="no revision of it has an available pod"):
            choose("rollout/web", now, "running")
    else:
        assert choose("rollout/web", now, "running").number == running
    assert choose("rollout/web", now, "target").template == template("shop:2")


def test_a_change_that_argo_has_not_seen_has_no_pods() -> None:
    """Else the image of the change would be pinned to the digest of what runs."""
    kept = [replica_set(2, "shop:2", 2, tool="rollout.argoproj.io")]
    source = workload("Rollout", "shop:3", status={"stableRS": "h2", "currentPodHash": "h2"})
    now = stands(source, kept, NEW)
    assert now.trouble == ROLLOUT
    assert choose("rollout/web", now, "running").pods == tuple(NEW)
    target = choose("rollout/web", now, "target")
    assert (target.template, target.pods) == (template("shop:3"), ())


def test_what_a_controller_adds_is_taken_away() -> None:
    """Its labels, its patch directive, an empty time; the source stays as it was."""
    for mark in ("pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"):
        given = {"$patch": "replace", **hashed("shop:1", mark, "x")}
        assert bare(given) == template("shop:1")
        assert given["metadata"]["labels"][mark] == "x"
