"""Each fault happens as it is asked for, and then no more."""

from __future__ import annotations

import http.client
import time
from pathlib import Path

import pytest

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.objects import (
    CONFIGMAPS,
    JOBS,
    PODS,
    conditions,
    configmap,
    ended,
    job,
    log,
    pods,
    run,
    started,
    terminated,
)
from tests.kubernetes.wire import Wire

pytestmark = pytest.mark.slow  # it runs many processes, by the clock


def test_the_next_requests_fail_and_do_nothing(cluster: FakeKubernetes, wire: Wire) -> None:
    """By code, number, method and path; 429 says when to come again."""
    cluster.faults.answer_next(429, 2, method="POST")
    for _ in range(2):
        refused = wire.send("POST", CONFIGMAPS, configmap("m"))
        assert (refused.code, refused.headers["Retry-After"]) == (429, "1")
    assert wire.get(CONFIGMAPS)["items"] == []
    assert wire.send("POST", CONFIGMAPS, configmap("m")).code == 201
    cluster.faults.answer_next(500, path="*/jobs")
    assert wire.send("GET", CONFIGMAPS).code == 200
    assert wire.send("GET", JOBS).json()["reason"] == "InternalError"
    cluster.faults.answer_next(409)
    assert wire.send("GET", JOBS).json()["reason"] == "Conflict"
    assert wire.send("GET", JOBS).code == 200


def test_a_watch_is_cut_in_mid_stream(cluster: FakeKubernetes, wire: Wire) -> None:
    """After as many events as were said, without an end; the next watch goes on from the last version."""
    for name in "abc":
        wire.send("POST", CONFIGMAPS, configmap(name))
    cluster.faults.drop_watch_after(2)
    with wire.watch(CONFIGMAPS, resourceVersion="0") as stream:
        assert stream.ended.wait(5)
    assert (stream.types(), stream.broken) == (["ADDED", "ADDED"], True)
    version = stream.lines[-1]["object"]["metadata"]["resourceVersion"]
    with wire.watch(CONFIGMAPS, resourceVersion=version) as stream:
        cluster.wait(lambda: stream.types() == ["ADDED"])


def test_an_answer_gets_lost_and_the_deed_is_done(cluster: FakeKubernetes, wire: Wire) -> None:
    """The client cannot know: the object is there, and asking again is a 409."""
    cluster.faults.lose_next_answer(method="POST")
    with pytest.raises(ConnectionError):
        wire.send("POST", CONFIGMAPS, configmap("m"))
    assert wire.send("POST", CONFIGMAPS, configmap("m")).code == 409


def test_a_log_is_cut_in_mid_stream(cluster: FakeKubernetes, wire: Wire) -> None:
    """After as many lines as were said; the next reader gets all of it."""
    run(cluster, job("j", "seq 1 5"))
    where = f"{PODS}/{pods(cluster, 'j')[0]['metadata']['name']}/log"
    cluster.faults.drop_log_after(2)
    with pytest.raises(http.client.IncompleteRead) as caught:
        wire.send("GET", where, follow="true")
    assert caught.value.partial == b"1\n2\n"
    assert wire.send("GET", where).text == "1\n2\n3\n4\n5\n"


def test_a_watch_that_is_half_open_says_nothing(cluster: FakeKubernetes, wire: Wire) -> None:
    """Not even that its time is over; a new one does."""
    cluster.faults.mute_watch()
    with wire.watch(CONFIGMAPS, resourceVersion="1", timeoutSeconds=1) as silent:
        wire.send("POST", CONFIGMAPS, configmap("m"))
        with wire.watch(CONFIGMAPS, resourceVersion="1", timeoutSeconds=1) as stream:
            assert stream.ended.wait(5)
        assert "ADDED" in stream.types()
        assert not silent.ended.is_set() and silent.lines == []


def test_errors_inside_a_watch_that_began_well(cluster: FakeKubernetes, wire: Wire) -> None:
    """410 for a watch with a version, 500 for one without: each once."""
    cluster.faults.gone_410_once()
    line = wire.send("GET", CONFIGMAPS, watch="1", resourceVersion="3", timeoutSeconds=1).json()
    assert (line["type"], line["object"]["code"], line["object"]["reason"]) == ("ERROR", 410, "Expired")
    cluster.faults.watch_progress_disabled()
    line = wire.send("GET", CONFIGMAPS, watch="1", timeoutSeconds=1).json()
    assert (line["type"], line["object"]["code"]) == ("ERROR", 500)
    assert "RequestWatchProgress is disabled" in line["object"]["message"]
    assert wire.send("GET", CONFIGMAPS, watch="1", resourceVersion="3", timeoutSeconds=1).text == ""


def test_a_restart_cuts_everything_and_keeps_the_port(cluster: FakeKubernetes, wire: Wire) -> None:
    """Watches and logs break, requests are refused while it is down, objects and pods are still there."""
    wire.send("POST", JOBS, job("j", "echo up; sleep 1; echo late"))
    pod = started(cluster, "j")["metadata"]["name"]
    with wire.watch(JOBS, resourceVersion="0") as stream:
        cluster.wait(lambda: stream.types() != [])
        cluster.server.restart(down=0.2)
        assert stream.ended.wait(5)
    assert stream.broken
    assert wire.send("GET", f"{PODS}/{pod}/log", follow="true").text == "up\nlate\n"
    assert conditions(ended(cluster, "j"))[-1] == "Complete"


def test_a_pod_is_started_twice(cluster: FakeKubernetes) -> None:
    """Both run at the same time; the Job ends with the first, and the other is deleted."""
    cluster.faults.start_twice()
    script = "mkdir ../../one || exec sleep 60; exec sleep 0.5"
    complete = run(cluster, job("twice", script, pod={"terminationGracePeriodSeconds": 1}, backoffLimit=3))
    assert conditions(complete)[-1] == "Complete"
    created = [
        each["message"]
        for each in cluster.items("events", "shop")
        if each["reason"] == "SuccessfulCreate" and each["involvedObject"]["name"] == "twice"
    ]
    assert len(created) == 2
    assert len(pods(cluster, "twice")) == 1


def test_containers_are_slow_to_start(cluster: FakeKubernetes, wire: Wire) -> None:
    """So many seconds of the cluster's time, in which a log is 400."""
    cluster.faults.start_delay(10)
    begun = time.monotonic()
    wire.send("POST", JOBS, job("slow", "true"))
    cluster.wait(lambda: len(pods(cluster, "slow")) == 1)
    pod = pods(cluster, "slow")[0]["metadata"]["name"]
    cluster.wait(lambda: wire.send("GET", f"{PODS}/{pod}/log").code == 400)
    assert conditions(ended(cluster, "slow"))[-1] == "Complete"
    assert time.monotonic() - begun >= 10 / 20


def test_an_image_that_is_missing_is_found_later(cluster: FakeKubernetes) -> None:
    """ErrImagePull, then ImagePullBackOff; the Job stays active, and runs when the image is there."""
    cluster.faults.image_missing("app:*")
    cluster.create(job("j", "echo ran"), "shop")
    seen: set[str] = set()

    def look() -> bool:
        for pod in pods(cluster, "j"):
            for status in pod["status"].get("containerStatuses", []):
                seen.add(status["state"].get("waiting", {}).get("reason", ""))
        return {"ErrImagePull", "ImagePullBackOff"} <= seen

    cluster.wait(look)
    assert cluster.get("jobs", "shop", "j")["status"]["active"] == 1
    cluster.faults.image_found("app:*")
    ended(cluster, "j")
    assert log(cluster, pods(cluster, "j")[0]) == ["ran"]


def test_no_node_takes_the_pod(cluster: FakeKubernetes) -> None:
    """The reason is in the pod's condition and in an Event; a node that comes takes it."""
    cluster.faults.unschedulable("3 node(s) had untolerated taint {x: }")
    cluster.create(job("j", "true"), "shop")
    cluster.wait(lambda: "FailedScheduling" in {each["reason"] for each in cluster.items("events", "shop")})
    (condition,) = pods(cluster, "j")[0]["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert "3 node(s) had untolerated taint" in condition["message"]
    cluster.faults.schedulable()
    assert conditions(ended(cluster, "j"))[-1] == "Complete"


def test_an_eviction_of_a_job_that_may_not_retry_fails_it(cluster: FakeKubernetes) -> None:
    """The pod says why: DisruptionTarget is there until it is deleted."""
    cluster.create(job("j", "sleep 60", pod={"terminationGracePeriodSeconds": 1}), "shop")
    name = started(cluster, "j")["metadata"]["name"]
    cluster.evict("shop", name, "PreemptionByScheduler", "preempted")
    assert conditions(ended(cluster, "j"))[-1] == "Failed"
    states = [each.object["status"] for each in cluster.storage.history if each.key.name == name]
    reasons = {cond["reason"] for cond in states[-1]["conditions"] if cond["type"] == "DisruptionTarget"}
    assert reasons == {"PreemptionByScheduler"}


def test_memory_runs_out_in_a_pod_that_runs(cluster: FakeKubernetes) -> None:
    """The fault takes hold of a pod that has started already."""
    cluster.create(job("j", "sleep 60"), "shop")
    started(cluster, "j")
    cluster.faults.oom("j-*")
    ended(cluster, "j")
    assert terminated(pods(cluster, "j")[0])["reason"] == "OOMKilled"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """A cluster that ends kills the processes of its pods."""
    mark = tmp_path / "alive"
    with FakeKubernetes(tmp_path) as cluster:
        cluster.create(job("j", f"while :; do date +%s%N > {mark}; sleep 0.05; done"), "default")
        cluster.wait(mark.exists)
    last = mark.read_text()
    time.sleep(0.3)
    assert mark.read_text() == last
