"""What the fake answers is what a real server answered: each recorded answer, asked for again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.kinds import Object
from tests.kubernetes.wire import Answer, Wire

RECORDINGS = Path(__file__).parent.parent / "recordings"
JOBS = "/apis/batch/v1/namespaces/shop/jobs"
CRONJOBS = "/apis/batch/v1/namespaces/shop/cronjobs"
APPLY = "application/apply-patch+yaml"

OTHER_EACH_TIME = re.compile(
    r"""[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}  # a uid
    |\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ                                  # a time
    |X509SHA256=[0-9a-f]{64}                                          # a certificate
    |web-[0-9a-f]+-[a-z0-9]{5}                                        # a pod
    |too\ old\ resource\ version:\ 1\ \(\d+\)                         # the oldest version kept
    |Invalid\ value:\ \{.*\}:""",
    re.VERBOSE,
)
"""What is never the same. The last one is a pod's spec, which the server prints in its internal form, with
every field that there is; the fake prints what was sent."""
HEADERS = {"audit-id", "cache-control", "content-type", "date"}
FLOW = {"x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"}


def job(image: str = "docker.io/local/python:3.11", **spec: Any) -> Object:
    pod = {"containers": [{"name": "a", "image": image}], "restartPolicy": "Never"} | spec
    template = {"spec": {name: value for name, value in pod.items() if value is not None}}
    described = {"suspend": True, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "dup"}, "spec": described}


def cronjob(name: str, schedule: str) -> Object:
    template = {"spec": {"containers": [{"name": "a", "image": "x"}], "restartPolicy": "Never"}}
    spec = {"schedule": schedule, "suspend": True, "jobTemplate": {"spec": {"template": template}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


@dataclass
class Asked:
    """A cluster and those who ask it."""

    cluster: FakeKubernetes
    admin: Wire

    def create(self, **changes: Any) -> Answer:
        return self.admin.send("POST", JOBS, job(**changes))

    def apply(self, schedule: str, manager: str) -> Answer:
        body = cronjob("c1", schedule)
        return self.admin.send("PATCH", f"{CRONJOBS}/c1", body, content_type=APPLY, fieldManager=manager)

    def twice(self) -> Answer:
        self.create()
        return self.create()

    def change_image(self) -> Answer:
        self.create()
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "other"}]}}}}
        return self.admin.send("PATCH", f"{JOBS}/dup", patch, content_type="application/merge-patch+json")

    def conflict(self) -> Answer:
        self.apply("0 2 * * *", "oneoff")
        return self.apply("0 3 * * *", "somebody")

    def log_of_no_container(self) -> Answer:
        self.cluster.load(RECORDINGS / "workload-stable" / "objects.json")
        pod = self.cluster.items("pods")[0]["metadata"]
        path = f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}/log"
        return self.admin.send("GET", path, container="nope")

    def as_alice(self) -> Answer:
        token = self.cluster.access.add("alice")
        self.cluster.access.deny("create", "jobs", user="alice")
        return Wire(self.cluster.url, token).send("POST", JOBS, job())

    def as_nobody(self) -> Answer:
        return Wire(self.cluster.url, None).send("GET", JOBS)

    def from_the_past(self) -> Answer:
        self.cluster.storage.forget()
        return self.admin.send("GET", JOBS, watch="1", resourceVersion="1")


REQUESTS: dict[str, Callable[[Asked], Answer]] = {
    "already-exists-409": Asked.twice,
    "bad-schedule-422": lambda asked: asked.admin.send("POST", CRONJOBS, cronjob("c2", "61 2 * * *")),
    "create-201": Asked.create,
    "forbidden-403": Asked.as_alice,
    "immutable-template-422": Asked.change_image,
    "invalid-422-restart-policy": lambda asked: asked.create(restartPolicy=None),
    "log-before-start-400": Asked.log_of_no_container,
    "namespace-missing-404": lambda asked: asked.admin.send("POST", JOBS.replace("shop", "nope"), job()),
    "not-found-404": lambda asked: asked.admin.send("GET", "/apis/apps/v1/namespaces/shop/deployments/nope"),
    "self-subject-review": lambda asked: asked.admin.send(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
    ),
    "server-side-apply-201": lambda asked: asked.apply("0 2 * * *", "oneoff"),
    "server-side-apply-conflict-409": Asked.conflict,
    "unauthenticated": Asked.as_nobody,
    "version": lambda asked: asked.admin.send("GET", "/version"),
    "watch-gone-410": Asked.from_the_past,
}


def recorded(name: str) -> tuple[int, dict[str, str], Any]:
    """Code, headers and body of a recorded answer."""
    head, _, body = (
        (RECORDINGS / "errors" / f"{name}.http").read_text().replace("\r\n", "\n").partition("\n\n")
    )
    first, *lines = head.splitlines()
    headers = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in lines}
    return int(first.split()[1]), headers, json.loads(body)


def settled(value: Any) -> Any:
    """A value without what is other each time."""
    if isinstance(value, dict):
        return {
            OTHER_EACH_TIME.sub("…", name): "…" if name == "resourceVersion" else settled(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [settled(each) for each in value]
    return OTHER_EACH_TIME.sub("…", value) if isinstance(value, str) else value


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    with FakeKubernetes(tmp_path) as cluster:
        if not any(each["metadata"]["name"] == "shop" for each in cluster.items("namespaces")):
            cluster.create_namespace("shop")
        yield Asked(cluster, Wire(cluster.url))


def test_every_recorded_answer_is_asked_for() -> None:
    """A recording that nobody compares is none."""
    assert {path.stem for path in (RECORDINGS / "errors").iterdir()} == set(REQUESTS)


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_the_same_answer(name: str, asked: Asked) -> None:
    """Code, body, and the headers that a client may read are as recorded, field by field."""
    code, headers, body = recorded(name)
    answer = REQUESTS[name](asked)
    assert answer.code == code
    assert settled(answer.json()) == settled(body)
    given = {name.lower(): value for name, value in answer.headers.items()}
    assert {name: given[name] for name in ("cache-control", "content-type")} == {
        name: headers[name] for name in ("cache-control", "content-type")
    }
    assert set(given) >= HEADERS | FLOW & set(headers)
