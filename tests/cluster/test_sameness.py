"""A run is the app, takes none of its traffic, and is made once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oneoff.kube.api.cluster import JOBS, Selection
from oneoff.kube.objects import metadata, name_of
from tests.cluster.world import SLICES, World

pytestmark = pytest.mark.timeout(1500)
CLUSTER = ("--env", "cluster")
OWN = ("ONEOFF_", "HOSTNAME", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "FAKE_")
"""What belongs to the process or to how it is started; the store is compared all the same."""


def environment(printed: str) -> dict[str, str]:
    """The variables that a process has printed."""
    line = next(line for line in printed.splitlines() if "ENVIRONMENT " in line)
    found: dict[str, Any] = json.loads(line.partition("ENVIRONMENT ")[2])
    return {
        name: value for name, value in found.items() if not name.startswith(OWN) or name == "ONEOFF_STORE"
    }


def test_the_environment_is_the_apps(world: World) -> None:
    """Every variable has the value that the app's own process has, and the record says so."""
    run_id = world.run_id("same")
    script = "import json, os; print('ENVIRONMENT ' + json.dumps(dict(os.environ)))"
    ended = world.ok("exec", *CLUSTER, "--run-id", run_id, "--", "python", "-c", script)
    (pod,) = world.app_pods()
    expected, found = environment(world.printed(name_of(pod))), environment(ended.out)
    assert found.keys() >= expected.keys(), expected.keys() - found.keys()
    differs = {name for name in expected if expected[name] != found[name]}
    if world.fake is not None:  # its mounts are folders of this machine, another one for each pod
        differs -= {name for name in differs if "/" in expected[name]}
    assert differs == set()
    assert (found["NUMBER"], found["MODE"], found["TOKEN"]) == ("0777", "1e3", "s3cr3t-0777")
    launch = world.shown(run_id)["launch"]
    assert (launch["differs"], launch["departures"]) == ({}, [])


def test_the_pod_is_made_of_the_apps(world: World) -> None:
    """Of the same image, account, limits and rights; with labels of its own."""
    run_id = world.run_id("pod")
    world.ok("run", "count", *CLUSTER, "--run-id", run_id)
    (app,), (run,) = world.app_pods(), world.pods(run_id)
    of_app, of_run = app["spec"]["containers"][0], run["spec"]["containers"][0]
    for field in ("resources", "securityContext", "workingDir", "envFrom"):
        assert of_run[field] == of_app[field]
    for field in ("serviceAccountName", "securityContext", "automountServiceAccountToken"):
        assert run["spec"][field] == app["spec"][field]
    of_both = [each["status"]["containerStatuses"][0]["imageID"] for each in (app, run)]
    assert of_both[0] == of_both[1]
    assert "app" not in metadata(run)["labels"]


def test_a_run_gets_no_traffic_of_the_service(world: World) -> None:
    """While it runs, the Service's endpoints are the app's pods and no other."""
    run_id = world.run_id("traffic")
    world.ok("run", "count", "--up-to", "600", "--pause", "0.5", *CLUSTER, "--run-id", run_id, "--detach")
    try:
        pod = world.running(run_id)
        world.eventually(lambda: "tick 1" in world.printed(name_of(pod)), "output")
        served = Selection(labels={"kubernetes.io/service-name": "web"})

        def endpoints() -> list[str]:
            slices = world.admin.list(SLICES, served).items
            return [end["targetRef"]["name"] for one in slices for end in one.get("endpoints") or []]

        world.eventually(endpoints, "endpoint of the Service")
        assert endpoints() == [name_of(one) for one in world.app_pods()]
        assert name_of(pod) not in endpoints()
    finally:
        world("cancel", run_id, *CLUSTER, "--yes")
        world("wait", run_id, *CLUSTER)


def test_a_run_is_made_once(world: World) -> None:
    """The same again is the same run; another one of its id, and a Job that is not ours, are refused."""
    run_id = world.run_id("once")
    arguments = ("run", "count", "--up-to", "2", *CLUSTER, "--run-id", run_id)
    world.ok(*arguments)
    again = world.ok(*arguments)
    assert "was launched before" in again.err
    (job,) = world.jobs(run_id)
    other = world("run", "count", "--up-to", "3", *CLUSTER, "--run-id", run_id)
    assert other.code == 3, f"{other.code}\n{other.err}"
    (still,) = world.jobs(run_id)
    assert metadata(still)["uid"] == metadata(job)["uid"]

    taken = world.run_id("taken")
    name = name_of(job).replace(run_id, taken)
    container = {"name": "main", "image": world.image, "command": ["python", "-c", "pass"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    foreign = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
    with world.there(JOBS, {**foreign, "spec": {"suspend": True, "template": template}}):
        refused = world("run", "count", *CLUSTER, "--run-id", taken)
        assert refused.code == 3, f"{refused.code}\n{refused.err}"
        assert "not oneoff's" in refused.err
