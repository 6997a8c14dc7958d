"""Runs that do not end by themselves: cancelled, evicted, out of time, never started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from oneoff.kube.objects import Object, name_of
from tests.cluster.world import BINDINGS, QUOTAS, ROLES, SERVICE_ACCOUNTS, World

pytestmark = pytest.mark.timeout(1500)
CLUSTER = ("--env", "cluster")
HASTY = ("--env", "hasty")
LONG = ("--up-to", "600", "--pause", "0.5")
ACCESS = Path(__file__).parents[2] / "examples" / "flights" / "deploy" / "access.yaml"


@contextmanager
def limited(world: World, name: str) -> Iterator[None]:
    """No pod may be made in the block: a quota that is in force."""
    spec = {"hard": {"pods": "0"}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec}
    with world.there(QUOTAS, quota):
        if world.fake is None:
            world.eventually(lambda: world.admin.get(QUOTAS, name).get("status", {}).get("hard"), "quota")
        yield


def evict(world: World, run_id: str) -> None:
    """As a drain of its node does it."""
    (pod,) = world.pods(run_id)
    head = {"name": name_of(pod), "namespace": world.namespace}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": head}
    world.post(f"pods/{name_of(pod)}/eviction", eviction)


def test_a_run_is_cancelled(world: World) -> None:
    """It gets its grace to stop, and its record says that it was cancelled."""
    run_id = world.run_id("cancel")
    world.ok("run", "count", *LONG, *CLUSTER, "--run-id", run_id, "--detach")
    pod = world.running(run_id)
    world.eventually(lambda: "tick 1" in world.printed(name_of(pod)), "output")
    assert world("cancel", run_id, *CLUSTER, "--yes").code in (0, 5)
    waited = world("wait", run_id, *CLUSTER)
    assert waited.code == 5, waited.err
    assert world.shown(run_id)["status"] == "cancelled"


def test_an_evicted_run_is_reported_and_not_repeated(world: World) -> None:
    """Nobody can tell how far a task came that cannot resume: it is not started again."""
    run_id = world.run_id("evict")
    arguments = ("run", "count", *LONG, *CLUSTER, "--run-id", run_id)
    ended = world.interfered(*arguments, after="tick 1", interfere=lambda _: evict(world, run_id))
    assert ended.code == 75, f"{ended.code}\n{ended.out}\n{ended.err}"
    assert world.shown(run_id)["status"] == "interrupted"
    world.eventually(lambda: world.jobs(run_id)[0]["status"].get("failed") == 1, "end of the Job")
    assert not [pod for pod in world.pods(run_id) if pod["status"]["phase"] in ("Pending", "Running")]
    # Its pod is gone with all that it said: who comes late is told what the store has.
    assert world("wait", run_id, *CLUSTER).code == 75


def test_an_evicted_run_that_can_resume_goes_on(world: World) -> None:
    """In another pod, and as a run of its own; whoever follows it sees both."""
    run_id = world.run_id("resume")
    arguments = ("run", "recount", "--up-to", "20", "--pause", "0.5", *CLUSTER, "--run-id", run_id)
    ended = world.interfered(*arguments, after="tick 1", interfere=lambda _: evict(world, run_id))
    assert ended.code == 0, f"{ended.code}\n{ended.out}\n{ended.err}"
    assert "tick 19" in ended.out
    assert world.shown(run_id)["status"] == "interrupted"
    again = world.shown(f"{run_id}-2")
    assert (again["status"], again["rerun_of"]) == ("succeeded", run_id)


def test_a_run_out_of_memory_is_on_record_as_that(world: World) -> None:
    """Its process could not say so; whoever followed it has told the store."""
    run_id, fake = world.run_id("memory"), world.fake
    if fake is None:
        ended = world("run", "gobble", *CLUSTER, "--run-id", run_id)
    else:
        ended = world.interfered(
            *("run", "count", *LONG, *CLUSTER, "--run-id", run_id),
            after="tick 1",
            interfere=lambda _: fake.faults.oom(f"*{run_id}*"),
        )
    assert ended.code == 1, f"{ended.code}\n{ended.out}\n{ended.err}"
    assert "out of memory" in ended.err
    run = world.shown(run_id)
    assert (run["status"], run["error"]) == ("failed", "out of memory: its limit is reached")
    collected = world.ok("kube", "collect", *CLUSTER, "-o", "json").json
    assert run_id not in [one["id"] for one in collected]
    assert world.ok("audit", "verify", *CLUSTER).out.startswith("ok")


def test_a_forced_cancel_is_on_record_with_its_reason(world: World) -> None:
    """Before the Job goes."""
    run_id = world.run_id("force")
    world.ok("run", "count", *LONG, *CLUSTER, "--run-id", run_id, "--detach")
    pod = world.running(run_id)
    world.eventually(lambda: "tick 1" in world.printed(name_of(pod)), "output")
    world.ok("cancel", run_id, *CLUSTER, "--yes", "--force", "--reason", "wrong table")
    assert world.shown(run_id)["status"] == "cancelled"
    told = world.ok("audit", "log", "--type", "cancelled", *CLUSTER, "-o", "json").json
    (event,) = [one["event"] for one in told if one["event"]["subject"] == run_id]
    assert event["data"]["request"] == {"force": True, "reason": "wrong table"}


def test_a_task_runs_out_of_its_time(world: World) -> None:
    """The process in the pod ends it, and says so."""
    ended = world("run", "dawdle", *CLUSTER, "-o", "json")
    assert (ended.code, ended.json["status"]) == (6, "timed_out"), ended.err


def test_a_bare_command_runs_out_of_its_time(world: World) -> None:
    """The Job's deadline ends it: the time of the task and that of the start."""
    ended = world("run", "db-stall", *HASTY, "-o", "json")
    assert (ended.code, ended.json["status"]) == (6, "timed_out"), ended.err


def test_an_image_that_cannot_be_had(world: World) -> None:
    """The run is given up in the time that a start may take, with the reason; its Job is gone."""
    run_id = world.run_id("image")
    ended = world("run", "count", *HASTY, "--image", "registry.invalid/none:1", "--run-id", run_id)
    assert ended.code == 3, f"{ended.code}\n{ended.out}\n{ended.err}"
    # A name server that does not answer keeps the node waiting longer than the run does.
    reasons = ("ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "Pulling")
    assert any(reason in ended.err for reason in reasons), ended.err
    world.eventually(lambda: not world.jobs(run_id), "end of the Job")


def test_a_quota_that_is_used_up_is_told_before(world: World) -> None:
    """Nothing is created."""
    run_id = world.run_id("quota")
    world.ok("run", "count", *CLUSTER, "--help")  # by then its tasks are known, which takes a pod
    with limited(world, "none"):
        ended = world("run", "count", *CLUSTER, "--run-id", run_id)
        assert ended.code == 3, f"{ended.code}\n{ended.out}\n{ended.err}"
        assert "none" in ended.err
        assert not world.jobs(run_id)


def test_a_user_with_a_role_and_no_more(world: World, tmp_path: Path) -> None:
    """The Role of the example is enough to launch; what is missing is named, a quota by the Event."""
    role, *_ = [one for one in yaml.safe_load_all(ACCESS.read_text()) if one["kind"] == "Role"]
    role["metadata"] = {"name": "launcher"}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "launcher"}}
    with (
        world.there(SERVICE_ACCOUNTS, account),
        world.there(BINDINGS, _binding("launcher", world.namespace)),
    ):
        config = world.as_service_account("launcher", tmp_path)
        if world.may_already(config):
            pytest.skip("the cluster permits a new account everything: its API server has no RBAC")
        refused = world("run", "count", *CLUSTER, kubeconfig=config)
        assert refused.code == 3, f"{refused.code}\n{refused.err}"
        assert "deployments" in refused.err
        with world.there(ROLES, role):
            run_id = world.run_id("role")
            world.eventually(lambda: world("tasks", *CLUSTER, kubeconfig=config).code == 0, "right")
            world.ok("run", "count", *CLUSTER, "--run-id", run_id, kubeconfig=config)
            name = world.shown(run_id)["actor"]["name"]
            assert name == f"system:serviceaccount:{world.namespace}:launcher"
            assert world("kube", "sync", *CLUSTER, "--yes", kubeconfig=config).code == 3
        for rule in role["rules"]:  # who cannot see the quota
            rule["resources"] = [one for one in rule["resources"] if one != "resourcequotas"]
        with world.there(ROLES, role):
            look = ("kube", "preflight", *CLUSTER)
            world.eventually(lambda: "may launch" in world(*look, kubeconfig=config).out, "right")
            with limited(world, "unseen"):
                ended = world("run", "db-migrate", *HASTY, kubeconfig=config)
            assert ended.code == 3, f"{ended.code}\n{ended.out}\n{ended.err}"
            assert "exceeded quota: unseen" in ended.err


def _binding(name: str, namespace: str) -> Object:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": reference,
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
