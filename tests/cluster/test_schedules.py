"""Schedules as CronJobs: shown, applied, fired, and not taken from others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oneoff.kube.api.cluster import CRONJOBS, JOBS, PODS, Selection
from oneoff.kube.api.connection.http import Request
from oneoff.kube.objects import Object, metadata, name_of
from tests.cluster.world import World

pytestmark = pytest.mark.timeout(1500)
CLUSTER = ("--env", "cluster")


@pytest.fixture
def schedule(world: World) -> Iterator[Object]:
    """The CronJob of the app's one schedule; gone afterwards, so that no further slot comes."""
    world.ok("kube", "sync", *CLUSTER, "--yes")
    (made,) = world.admin.list(CRONJOBS).items
    yield made
    for one in world.admin.list(CRONJOBS).items:
        world.admin.delete(CRONJOBS, name_of(one), uid=metadata(one)["uid"])
    world.eventually(lambda: not world.admin.list(CRONJOBS).items, "end of the CronJob")


def test_a_schedule_becomes_a_cronjob(world: World, schedule: Object) -> None:
    """With everything said that would be the cluster's guess; a second time there is nothing to do."""
    spec = schedule["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("* * * * *", "UTC", "Forbid")
    assert spec["startingDeadlineSeconds"] >= 10
    before = metadata(schedule)["resourceVersion"]
    world.ok("kube", "sync", *CLUSTER, "--yes")
    (now,) = world.admin.list(CRONJOBS).items
    assert now["spec"] == spec
    if "lastScheduleTime" not in (now.get("status") or {}):
        assert metadata(now)["resourceVersion"] == before


def test_a_slot_runs_once(world: World, schedule: Object) -> None:
    """A second Job that was made for it does nothing."""
    job = world.slot(name_of(schedule))
    run_id = name_of(job)
    stopped = {"spec": {"suspend": True}}
    world.admin.patch(CRONJOBS, name_of(schedule), stopped)  # no further slot while we look
    recorded = world.eventually(
        lambda: [
            run
            for run in world.ok("runs", *CLUSTER, "--task", "tidy", "-o", "json").json
            if run["id"] == run_id and run["status"] == "succeeded"
        ],
        "record of the slot",
    )
    assert recorded[0]["actor"]["kind"] == "schedule"

    world.admin.delete(JOBS, run_id, uid=metadata(job)["uid"])
    world.eventually(lambda: not _there(world, run_id), "end of the first Job")
    template = schedule["spec"]["jobTemplate"]
    head = {**template["metadata"], "name": run_id}
    second = world.admin.create(
        JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": head, "spec": template["spec"]}
    )
    pod = world.eventually(lambda: _ended(world, second), "end of the second Job's pod")
    assert "tidied" not in world.printed(name_of(pod))
    runs = world.ok("runs", *CLUSTER, "--task", "tidy", "-o", "json").json
    assert [run["status"] for run in runs if run["id"] == run_id] == ["succeeded"]


def test_what_somebody_else_changed_is_not_taken(world: World, schedule: Object) -> None:
    """The conflict names its owner, and only --adopt takes it over."""
    name = name_of(schedule)
    world.ask(
        Request(
            method="PATCH",
            path=f"apis/batch/v1/namespaces/{world.namespace}/cronjobs/{name}",
            query={"fieldManager": "somebody-else"},
            body=b'{"spec": {"schedule": "0 4 * * *"}}',
            content_type="application/merge-patch+json",
        )
    )
    refused = world("kube", "sync", *CLUSTER, "--yes")
    assert refused.code == 3, f"{refused.code}\n{refused.out}\n{refused.err}"
    assert "somebody-else" in refused.out + refused.err
    assert world.admin.get(CRONJOBS, name)["spec"]["schedule"] == "0 4 * * *"
    world.ok("kube", "sync", *CLUSTER, "--yes", "--adopt")
    assert world.admin.get(CRONJOBS, name)["spec"]["schedule"] == "* * * * *"


def _there(world: World, name: str) -> bool:
    return name in {name_of(one) for one in world.admin.list(JOBS).items}


def _ended(world: World, job: Object) -> Object | None:
    of_job = Selection(labels={"batch.kubernetes.io/controller-uid": metadata(job)["uid"]})
    phases = ("Succeeded", "Failed")
    return next(
        (pod for pod in world.admin.list(PODS, of_job).items if pod["status"]["phase"] in phases), None
    )
