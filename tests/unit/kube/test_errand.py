from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest

from oneoff.errors import NotDerivable
from oneoff.kube.derivation.errand import ERRAND, Errand, errand_job
from oneoff.kube.names import MAX_NAME
from oneoff.kube.objects import Object, named
from oneoff.kube.release.live import Live
from oneoff.runs.intent import read_intent
from oneoff.settings import KubernetesSettings, SecretKey
from tests.unit.kube.samples import VERSIONS, found, workload

STORE = SecretKey("db", "store")
DIGEST = "shop@sha256:" + "a" * 64


def live(**container: Any) -> Live:
    """A release with this container."""
    return Live(workload=found(workload(**container)), image=DIGEST, revision="7")


def errand(*argv: str, **changes: Any) -> Errand:
    """A verb that Ann wants to run."""
    given: dict[str, Any] = {
        "id": "20261201-120000-abcdef",
        "environment": "staging",
        "actor": "ann@example.com",
        "actor_kind": "human",
    }
    return Errand(argv=argv or ("runs",), **{**given, **changes})


def made(*argv: str, settings: dict[str, Any] | None = None, **changes: Any) -> Object:
    where = KubernetesSettings(**{"store": STORE, "namespace": "shop", **(settings or {})})
    return errand_job(live(command=["serve"]), where, errand(*argv, **changes))[0]


def container(job: Object) -> Object:
    one: Object = job["spec"]["template"]["spec"]["containers"][0]
    return one


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_valid(version: str) -> None:
    """The schema of every version takes it."""
    kubernetes_validate.validate(made("audit", "log", "--task=x"), version, strict=True)


def test_it_is_the_app_and_runs_the_verb() -> None:
    """By the digest that runs, with the verb's words as they are, framed, and what was seen before."""
    job = made("runs", "--task=$(HOME)", seen="log 3:ab 2026")
    assert container(job)["image"] == DIGEST
    assert container(job)["command"] == ["oneoff", "--framed", "log 3:ab 2026", "runs", "--task=$$(HOME)"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] == 1200
    assert job["spec"]["ttlSecondsAfterFinished"] == 300
    assert (
        job["metadata"]["labels"][ERRAND] == job["spec"]["template"]["metadata"]["labels"][ERRAND] == "runs"
    )
    assert "app" not in job["spec"]["template"]["metadata"]["labels"]


def test_it_knows_who_asks() -> None:
    """The pod reads it from its own annotation, as a run does."""
    template = made()["spec"]["template"]
    variable = named(container(made())["env"], "ONEOFF_INTENT")
    assert variable is not None
    path = variable["valueFrom"]["fieldRef"]["fieldPath"]
    key = path.removeprefix("metadata.annotations['").removesuffix("']")
    intent = read_intent(template["metadata"]["annotations"][key])
    assert intent is not None
    assert (intent.actor, intent.kind, intent.run_id) == ("ann@example.com", "human", None)


def test_it_finds_the_store_or_is_not_made() -> None:
    """One that only looks at the tasks needs none."""
    variable = named(container(made())["env"], "ONEOFF_STORE")
    assert variable is not None
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "db", "key": "store"}
    with pytest.raises(NotDerivable, match="no ONEOFF_STORE"):
        made(settings={"store": None})
    tasks = container(made("tasks", settings={"store": None}, needs_store=False))
    assert named(tasks["env"], "ONEOFF_STORE") is None


@pytest.mark.parametrize("argv", [("runs",), ("audit", "log"), ("a" * 100,), ("--weird $x",)])
def test_its_name_is_safe_and_its_own(argv: tuple[str, ...]) -> None:
    """The same for the same errand, another one for another."""
    name = made(*argv)["metadata"]["name"]
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= MAX_NAME
    assert name == made(*argv)["metadata"]["name"] != made(*argv, id="x")["metadata"]["name"]
