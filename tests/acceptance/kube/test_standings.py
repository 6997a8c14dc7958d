"""A launch however the workload stands: each kind of it, settled, in a rollout, paused, at zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oneoff.kube.derivation.jobs import TASK
from tests.cli import Ended
from tests.kubernetes.kinds import Object
from tests.kubernetes.shop import DIGEST, LAPTOP, Shop
from tests.kubernetes.standings import Revision, deployment, pod_template, rollout, stateful_set

RUN = ("run", "count", "--env", "staging")
NEXT = "registry.example/shop:1.5.0"
OTHER = DIGEST.replace("a" * 64, "b" * 64)
KNOWN = ("1", DIGEST)


def launched(live: Shop, *more: str) -> tuple[str, str]:
    """The revision and the image of a run that was launched, and succeeded."""
    ended = live(*RUN, *more, "-o", "json")
    assert (ended.code, ended.json["status"]) == (0, "succeeded"), ended.err
    return ended.json["launch"]["revision"], ended.json["launch"]["image"]


def refused(live: Shop, *more: str) -> Ended:
    """A launch that left nothing behind."""
    ended = live(*RUN, *more)
    assert (ended.code, ended.out, live.jobs()) == (3, "", []), ended.err
    return ended


def is_a(live: Shop, kind: str, objects: list[Object]) -> None:
    """Have a workload of another kind in place of the Deployment."""
    live.laptop.write(oneoff_toml=LAPTOP.format(more="").replace("deployment/web", f"{kind}/web"))
    live.stand(objects)


def two(live: Shop, **second: Any) -> list[Revision]:
    """A revision that serves, and one that is to come."""
    container = live.container
    new = Revision(2, {**container, "image": NEXT}, OTHER, **{"pods": 1, "ready": 1, **second})
    return [Revision(1, container), new]


@pytest.mark.slow
def test_in_the_middle_of_a_rollout(live: Shop) -> None:
    """Refused with the choice, and each choice is a run of its own release, by the digest that runs."""
    live.roll(image=NEXT, image_id=OTHER, ready=1)
    said = refused(live).err
    assert "is in the middle of a rollout: revision 2 (registry.example/shop:1.5.0) has 1 of 1 pod" in said
    assert "none alone can be called the running one" in said
    assert "several revisions of it serve" in refused(live, "--release", "running").err
    assert launched(live, "--release", "target") == ("2", OTHER)


@pytest.mark.slow
def test_at_the_beginning_of_a_rollout(live: Shop) -> None:
    """One alone serves, and can be chosen."""
    live.roll(image=NEXT, image_id=OTHER)
    assert "--release running takes revision 1, --release target takes revision 2" in refused(live).err
    assert launched(live, "--release", "running") == KNOWN
    assert launched(live, "--release", "target") == ("2", NEXT)  # no ready pod tells its digest
    live.deploy(revision=2, image=NEXT, image_id=OTHER)
    assert launched(live) == ("2", OTHER)


@pytest.mark.slow
def test_paused_with_a_change(live: Shop) -> None:
    live.pause(image=NEXT)
    assert "is paused with a change that is not released" in refused(live).err
    assert launched(live, "--release", "running") == KNOWN
    assert launched(live, "--release", "target") == ("", NEXT)


@pytest.mark.slow
def test_scaled_to_zero(live: Shop) -> None:
    """Its newest revision is the running one, by its name, and it is said so; a repair may be wanted then."""
    live.deploy(replicas=0)
    ended = live(*RUN)
    assert ended.code == 0, ended.err
    assert "note: deployment/web has no pods: the run is of revision 1, its newest" in ended.err
    assert "no ready pod tells by which digest registry.example/shop:1.4.2 runs" in ended.err
    assert launched(live, "--release", "running") == ("1", "registry.example/shop:1.4.2")


@pytest.mark.slow
def test_a_stateful_set(live: Shop) -> None:
    is_a(live, "statefulset", stateful_set([Revision(1, live.container)]))
    assert launched(live) == KNOWN
    is_a(live, "statefulset", stateful_set(two(live, ready=0)))
    ended = live(*RUN)
    assert (ended.code, "statefulset/web in shop is in the middle of a rollout" in ended.err) == (3, True)
    assert launched(live, "--release", "running") == KNOWN


@pytest.mark.slow
def test_a_rollout_of_argo(live: Shop) -> None:
    """The stable one is the running one, also where pods of both serve."""
    is_a(live, "rollout", rollout([Revision(1, live.container)], stable=1))
    assert launched(live) == KNOWN
    is_a(live, "rollout", rollout(two(live), stable=1, message="CanaryPauseStep"))
    ended = live(*RUN)
    assert (ended.code, "in the middle of a rollout (CanaryPauseStep)" in ended.err) == (3, True)
    assert launched(live, "--release", "running") == KNOWN
    assert launched(live, "--release", "target") == ("2", OTHER)


def test_a_published_pod_template(live: Shop) -> None:
    """Of a release that is not live yet: it is said so, and there is no running one."""
    is_a(live, "podtemplate", pod_template({**live.container, "image": NEXT}))
    said = refused(live, "--release", "running")
    assert "podtemplate/web in shop is a release that is not live" in said.err
    assert launched(live) == ("", NEXT)


@pytest.mark.slow
def test_pods_that_are_not_ready_any_more(live: Shop) -> None:
    """An outage is no rollout: that is when a repair is wanted."""
    live.deploy()
    live.fail()
    ended = live(*RUN)
    assert (ended.code, "note: 0 of 2 pods of deployment/web are available" in ended.err) == (0, True)


def test_a_mesh_that_keeps_the_job(hasty: Shop) -> None:
    """A proxy injected as an ordinary container goes on: the run ends all the same, and says what to set."""
    hasty.cluster.inject_sidecar({"name": "istio-proxy", "image": "proxy:1", "command": ["sleep", "600"]})
    ended = hasty(*RUN, "-o", "json")
    assert (ended.code, ended.json["status"], ended.json["error"]) == (0, "succeeded", None), ended.err
    assert 'annotate the workload\'s pods with sidecar.istio.io/nativeSidecar: "true"' in ended.err
    hasty.cluster.wait(lambda: hasty.jobs() == [])
    (run,) = hasty.in_pod("runs", "-o", "json").json
    assert run["status"] == "succeeded"


def test_a_mesh_that_shows_in_the_pods_of_the_app(live: Shop) -> None:
    """Where the namespace asks for it, its proxy is in no template: a run asks for a native one by itself."""
    proxy = {"name": "istio-proxy", "image": "proxy:1"}
    live.stand(deployment([replace(one, injected=(proxy,)) for one in live.revisions]))
    assert launched(live) == KNOWN
    (job,) = (job for job in live.jobs() if TASK in job["metadata"]["annotations"])
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert annotations["sidecar.istio.io/nativeSidecar"] == "true"
