"""What would keep a run from starting, and what would be created, seen from a laptop without the app."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.kubernetes.shop import DIGEST, LAPTOP, NAMESPACE, Shop

OTHER = f"registry.example/shop@sha256:{'b' * 64}"
PINNED = "deployment/web, revision 1: " + DIGEST


def quota(used: str) -> dict[str, Any]:
    hard = {"pods": "3"}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": NAMESPACE},
        "spec": {"hard": hard},
        "status": {"hard": hard, "used": {"pods": used}},
    }


def rolling(live: Shop) -> None:
    """A second revision whose pod does not come up yet."""
    live.roll(image="registry.example/shop:1.5.0", image_id=OTHER)


def test_preflight_tells_everything_and_creates_nothing(live: Shop) -> None:
    """Warnings end with 0, a failure with 3; each with what to do next."""
    seen = live("kube", "preflight", "--env", "staging", "-o", "json")
    assert seen.code == 0, seen.err
    states = {check["name"]: check["state"] for check in seen.json}
    assert set(states) == {
        *("release", "rights", "namespace", "selectors", "network", "quota", "pod security", "volumes"),
        *("store", "creation"),
    }
    assert states["store"] == "warning"  # the fixture's store is a file
    assert seen.json[0]["message"] == PINNED
    live.cluster.load([quota("3")])
    live.cluster.access.deny("get", "pods/log")
    failed = live("kube", "preflight", "purge", "--env", "staging")
    assert failed.code == 3
    assert "failure  rights        you may not get pods/log, and cannot read a run's output" in failed.out
    assert "failure  quota         ResourceQuota small has 3 of 3 pods in use: no room for one" in failed.out
    assert "next: see kubectl -n shop describe quota" in failed.out
    assert live.jobs() == []


def test_a_launch_tells_the_same_before_anything_is_there(live: Shop) -> None:
    """All that speaks against it at once, and no Job."""
    live.cluster.load([quota("3")])
    live.cluster.access.deny("watch", "pods")
    refused = live("run", "db-migrate", "--env", "staging")
    assert refused.code == 3
    assert "you may not watch pods" in refused.err
    assert "no room for one" in refused.err
    assert live.jobs() == []


def test_a_bare_command_needs_no_store(live: Shop) -> None:
    """Whoever launches it records it."""
    live.deploy(env=[])
    missing = live("kube", "preflight", "purge", "--env", "staging", "-o", "json")
    assert missing.code == 3
    assert [check["message"] for check in missing.json if check["name"] == "derivation"] == [
        "deployment/web has no ONEOFF_STORE, and records inside of a pod are lost with it"
    ]
    bare = live("kube", "preflight", "db-migrate", "--env", "staging", "-o", "json")
    assert bare.code == 0, bare.out


def test_a_rollout_is_told_with_the_choice(live: Shop) -> None:
    """And each choice is looked at by itself, a manifest as well."""
    rolling(live)
    refused = live("kube", "preflight", "--env", "staging")
    assert refused.code == 3
    assert "deployment/web in shop is in the middle of a rollout: revision 2" in refused.out
    assert "--release running takes revision 1, --release target takes revision 2" in refused.out
    running = live("kube", "preflight", "--env", "staging", "--release", "running", "-o", "json")
    assert (running.code, running.json[0]["message"]) == (0, PINNED)
    deployment = live.cluster.get("deployments", NAMESPACE, "web")
    live.laptop.write(web_json=json.dumps(deployment))
    given = live("kube", "preflight", "--env", "staging", "--release", "web.json", "-o", "json")
    assert (given.code, given.json[0]["message"]) == (0, "deployment/web: no digest is known"), given.out


def test_a_release_that_is_neither_a_word_nor_a_file(live: Shop) -> None:
    """A typing mistake is no manifest."""
    refused = live("kube", "preflight", "--env", "staging", "--release", "runing")
    assert refused.code == 2
    assert "--release runing: there is no such file (did you mean 'running'?)" in refused.err


def test_the_live_release_is_rendered(live: Shop) -> None:
    """As the Job that a launch would create, by its digest; nothing is created."""
    shown = live("kube", "render", "purge", "--env", "staging", "--run-id", "r1", "--yes")
    assert shown.code == 0, shown.err
    (job,) = yaml.safe_load_all(shown.out)
    assert job["metadata"]["name"] == "purge-r1"
    assert job["metadata"]["annotations"]["oneoff.dev/actor"] == "admin"
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == DIGEST
    assert "oneoff.dev/differs" not in job["metadata"]["annotations"]
    diff = live("kube", "render", "purge", "--env", "staging", "--diff")
    assert f"+    image: {DIGEST}" in diff.out.replace('"', "")
    assert "it is what runs; the tag may move until the run starts" in diff.out
    assert live.jobs() == []


def test_the_tasks_of_the_live_release_are_known_where_they_are_at_hand(live: Shop) -> None:
    """Once it was asked for them, a schedule is rendered; to render starts nothing."""
    wish = ("kube", "render", "nightly", "--env", "staging", "--schedule")
    unknown = live(*wish)
    assert (unknown.code, live.jobs()) == (2, [])
    assert "no schedule of nightly is known" in unknown.err
    assert live("run", "count", "--env", "staging", "--help").code == 0
    known = live(*wish)
    assert known.code == 0, known.err
    (made,) = yaml.safe_load_all(known.out)
    assert (made["kind"], made["spec"]["schedule"]) == ("CronJob", "0 2 * * *")
    mistake = live("kube", "render", "nigthly", "--env", "staging")
    assert (mistake.code, "no task nigthly (did you mean 'nightly'?)" in mistake.err) == (2, True)


def test_a_release_that_cannot_be_told_is_not_rendered(live: Shop) -> None:
    """In the middle of a rollout: the choice, and nothing on standard output; with it, its own image."""
    rolling(live)
    refused = live("kube", "render", "purge", "--env", "staging")
    assert (refused.code, refused.out) == (3, "")
    assert "--release running takes revision 1" in refused.err
    target = live("kube", "render", "purge", "--env", "staging", "--release", "target")
    assert 'image: "registry.example/shop:1.5.0"' in target.out
    assert "no ready pod tells by which digest registry.example/shop:1.5.0 runs" in target.err
    assert "note: deployment/web is in the middle of a rollout: the run is of revision 2" in target.err


@pytest.mark.slow  # four commands
def test_what_is_not_there_is_named(live: Shop) -> None:
    """A workload, a container, a namespace, a context: with the next step, and nothing created."""
    for changed, words in (
        (("deployment/web", "deployment/wbe"), "did you mean 'deployment/web'?"),
        (('container = "web"', 'container = "wed"'), "did you mean 'web'?"),
        (('namespace = "shop"', 'namespace = "shpo"'), "there is no namespace shpo"),
        (('context = "fake"', 'context = "fkae"'), "fkae"),
    ):
        live.laptop.write(oneoff_toml=LAPTOP.format(more="").replace(*changed))
        refused = live("kube", "preflight", "--env", "staging")
        assert refused.code in (2, 3)
        assert words in refused.err, refused.err
    assert live.jobs() == []
