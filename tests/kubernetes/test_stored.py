"""Jobs and Pods are stored as a real server stored them: field by field, with who owns which."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.kinds import Object
from tests.kubernetes.objects import JOBS
from tests.kubernetes.test_answers import settled
from tests.kubernetes.test_replay import FOLDERS, RECORDINGS, recorded
from tests.kubernetes.wire import Wire

pytestmark = pytest.mark.slow  # it runs many processes, by the clock

FOLDERS_OF_JOBS = [name for name in FOLDERS if name.startswith("job-")]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def first(folder: str, plural: str) -> Object | None:
    """The first object that was recorded, as it was stored."""
    added = (line["object"] for line in recorded(folder, plural) if line["type"] == "ADDED")
    return next(added, None)


def comparable(obj: Object) -> Any:
    """Without what differs each time: uids, times, versions, generated and namespaces' names.

    And without the volume with the token of the service account, which the fake does not mount.
    """
    obj = settled(obj)
    meta = obj["metadata"]
    meta["name"] = meta["name"].removesuffix(meta["name"][-5:]) if "generateName" in meta else meta["name"]
    meta.pop("namespace")
    meta.get("annotations", {}).pop(LAST_APPLIED, None)
    if obj["kind"] == "Pod":
        obj["spec"].pop("volumes", None)
        for container in [*obj["spec"].get("initContainers", []), *obj["spec"]["containers"]]:
            container.pop("volumeMounts", None)
    return obj


@pytest.mark.parametrize("folder", FOLDERS_OF_JOBS)
def test_the_job_and_its_pod_are_stored_as_recorded(folder: str, cluster: FakeKubernetes, wire: Wire) -> None:
    """Defaults, labels, selectors, owners and managed fields."""
    manifests = list(yaml.safe_load_all((RECORDINGS / folder / "manifest.yaml").read_text()))
    job = first(folder, "jobs")
    assert job is not None
    cluster.faults.unschedulable()
    for manifest in manifests[:-1]:
        cluster.create(manifest, "shop")
    manifests[-1]["metadata"]["annotations"] = job["metadata"]["annotations"]
    wire.send("POST", JOBS, manifests[-1], fieldManager="kubectl-client-side-apply")
    name = job["metadata"]["name"]
    stored = [each for each in cluster.storage.history if each.key.name == name and each.key.plural == "jobs"]
    assert comparable(stored[0].object) == comparable(job)
    pod = first(folder, "pods")
    if pod is not None and not job["spec"]["suspend"]:
        cluster.wait(lambda: cluster.items("pods", "shop") != [])
        made = next(each.object for each in cluster.storage.history if each.key.plural == "pods")
        assert comparable(made) == comparable(pod)
