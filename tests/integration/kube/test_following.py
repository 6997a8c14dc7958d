"""A Job is followed to its end over real HTTP, whatever goes wrong on the way: the short forms."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from oneoff.errors import ClusterUnreachable, CredentialsRefused, NotPermitted
from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import JOBS, Cluster, Resource
from oneoff.kube.api.connection.transport import Pace as ConnectionPace
from oneoff.kube.derivation.jobs import RESULT, RUN_ID
from oneoff.kube.following.follow import ending, follow, pods_of
from oneoff.runs.status import Status
from oneoff.settings.kubernetes import KubernetesSettings
from tests.kubernetes import FakeKubernetes
from tests.kubernetes.followed import BRISK, followed
from tests.kubernetes.objects import job, started


class Stand:
    """Stands before a cluster; a class below it does one thing otherwise."""

    def __init__(self, cluster: Cluster, fake: FakeKubernetes) -> None:
        self.cluster, self.fake = cluster, fake

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)


def ticks(number: int, pause: float = 0.02) -> str:
    return f"i=0; while [ $i -lt {number} ]; do echo tick $i; i=$((i+1)); sleep {pause}; done"


def ticked(number: int) -> list[str]:
    return [f"tick {place}" for place in range(number)]


def test_a_job_is_followed_from_before_its_start_to_its_end(cluster: Cluster) -> None:
    """The log is whole, to the last line that has no end."""
    run = followed(cluster, job("j", "echo one; sleep 0.1; echo; echo two; printf three"))
    assert run.verdict().status is Status.SUCCEEDED
    assert bytes(run.written) == b"one\n\ntwo\nthree"
    assert run.said == []


def test_what_is_over_is_read_as_a_whole(fake: FakeKubernetes, cluster: Cluster) -> None:
    """A pod that ended before anybody asked for its log."""
    made = cluster.create(JOBS, job("j", "echo out; exit 7"))
    fake.wait(lambda: cluster.get(JOBS, "j")["status"].get("failed") == 1)
    written = bytearray()
    found = follow(
        cluster, made, container="task", start_within=None, write=written.extend, say=pytest.fail, pace=BRISK
    )
    assert (found.status, found.exit_code, bytes(written)) == (Status.FAILED, 7, b"out\n")


def test_a_log_survives_cuts(fake: FakeKubernetes, cluster: Cluster) -> None:
    """Each line once, in order, however often the connection is lost."""
    for lines in (0, 3, 1, 40, 0, 20):
        fake.faults.drop_log_after(lines)
    run = followed(cluster, job("j", ticks(100, 0.005)))
    assert run.verdict().status is Status.SUCCEEDED
    assert run.lines == ticked(100)


@pytest.mark.parametrize("fault", ["gone", "dropped", "muted", "429", "500", "401"])
def test_the_verdict_is_right_through(fault: str, fake: FakeKubernetes, cluster: Cluster) -> None:
    """Watches that break, are silent or out of date; a server that throttles, fails or forgets us."""
    faults = fake.faults
    match fault:
        case "gone":
            faults.gone_410_once()
            faults.gone_410_once()
        case "dropped":
            for events in (0, 1, 1, 2):
                faults.drop_watch_after(events)
        case "muted":
            faults.mute_watch()
            faults.mute_watch()
        case code:
            faults.answer_next(int(code), 3, method="GET")
    run = followed(cluster, job("j", f"{ticks(10)}; exit 9"))
    found = run.verdict()
    assert (found.status, found.exit_code) == (Status.FAILED, 9)
    assert run.lines == ticked(10)


def test_a_server_that_restarts_is_waited_for(fake: FakeKubernetes, cluster: Cluster) -> None:
    """The log is whole, and the verdict right."""
    run = followed(cluster, job("j", ticks(40, 0.05)))
    fake.wait(lambda: len(run.lines) > 3)
    fake.server.restart(down=0.7)
    assert run.verdict().status is Status.SUCCEEDED
    assert run.lines == ticked(40)


def test_a_replaced_pod_is_the_next_attempt(fake: FakeKubernetes, cluster: Cluster) -> None:
    """The log of each attempt, and a word between them."""
    script = "test -e ../../again && exec echo second; echo first; touch ../../again; exec sleep 60"
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    described = job(
        "j",
        script,
        pod={"terminationGracePeriodSeconds": 1},
        backoffLimit=3,
        podFailurePolicy=policy,
        podReplacementPolicy="Failed",
    )
    run = followed(cluster, described)
    fake.wait(lambda: run.lines == ["first"])
    fake.evict("shop", started(fake, "j")["metadata"]["name"])
    found = run.verdict()
    assert (found.status, found.attempts) == (Status.SUCCEEDED, 2)
    assert run.lines == ["first", "second"]
    assert [text.split(" (")[0] for text in run.said] == ["attempt 2"]


def test_an_eviction_that_is_not_repeated_is_an_interruption(fake: FakeKubernetes, cluster: Cluster) -> None:
    run = followed(cluster, job("j", "echo up; exec sleep 60", pod={"terminationGracePeriodSeconds": 1}))
    fake.wait(lambda: run.lines == ["up"])
    fake.evict("shop", started(fake, "j")["metadata"]["name"])
    found = run.verdict()
    assert (found.status, found.attempts, found.reason) == (Status.INTERRUPTED, 1, "EvictionByEvictionAPI")


def test_a_job_that_is_late_loses_its_pod_and_not_its_log(fake: FakeKubernetes, cluster: Cluster) -> None:
    """All that was printed until then, also after it was told to end."""
    script = "trap 'echo told; exit 143' TERM; echo up; while :; do sleep 0.02; done"
    run = followed(cluster, job("j", script, activeDeadlineSeconds=20))
    found = run.verdict()
    assert (found.status, found.exit_code) == (Status.TIMED_OUT, 143)
    assert run.lines == ["up", "told"]


@pytest.mark.parametrize("why", ["image", "node", "quota"])
def test_what_cannot_start_is_refused_with_the_reason(
    why: str, fake: FakeKubernetes, cluster: Cluster
) -> None:
    """Said while it waits, once, and again in the verdict; the Job is there still, and has to be deleted."""
    reason, text = {
        "image": ("ErrImagePull", "task: "),
        "node": ("Unschedulable", "no room here"),
        "quota": ("FailedCreate", "exceeded quota: none"),
    }[why]
    if why == "image":
        fake.faults.image_missing("app:*")
    elif why == "node":
        fake.faults.unschedulable("no room here")
    else:
        fake.faults.quota_forbids_pods("exceeded quota: none")
    run = followed(cluster, job("j", "true"), start_within=timedelta(seconds=1))
    found = run.verdict()
    assert (found.status, found.unfinished) == (Status.REFUSED, True)
    assert found.reason in (reason, "ImagePullBackOff")
    assert text in found.message
    assert run.said and len(run.said) == len(set(run.said))
    assert any(reason in said and text in said for said in run.said)


def test_a_job_that_is_withdrawn_does_not_start_later(fake: FakeKubernetes, cluster: Cluster) -> None:
    """It is gone with its pod, and the verdict says still why it did not start."""
    fake.faults.image_missing("app:*")
    run = followed(cluster, job("j", "true"), start_within=timedelta(seconds=0.5), withdraw=True)
    found = run.verdict()
    assert (found.status, found.unfinished) == (Status.REFUSED, False)
    assert found.reason in ("ErrImagePull", "ImagePullBackOff")
    fake.wait(lambda: fake.items("jobs", "shop") == fake.items("pods", "shop") == [])


class TooLate(Stand):
    """Lets the pod start just before its Job is deleted."""

    def delete(self, resource: Resource, name: str, *, uid: str, grace: int | None = None) -> None:
        self.fake.faults.image_found("app:*")
        started(self.fake, "j")
        self.cluster.delete(resource, name, uid=uid, grace=grace)


def test_a_job_that_started_at_the_last_moment_has_run(fake: FakeKubernetes, cluster: Cluster) -> None:
    """It is not said to have been refused."""
    fake.faults.image_missing("app:*")
    script = "trap 'echo told; sleep 0.5; exit 75' TERM; echo up; while :; do sleep 0.02; done"
    late = cast(Cluster, TooLate(cluster, fake))
    run = followed(late, job("j", script), start_within=timedelta(seconds=0.5), withdraw=True)
    found = run.verdict()
    assert (found.status, found.exit_code) == (Status.CANCELLED, 75)
    assert run.lines == ["up", "told"]


@pytest.fixture
def hasty(cluster: Cluster) -> Iterator[Cluster]:
    """The same client, which asks a server that is away for a moment only."""
    cluster = connect(KubernetesSettings(), pace=ConnectionPace(patience=0.1))
    yield cluster
    cluster.close()


@pytest.mark.slow
def test_a_server_that_is_away_for_long_is_told_of_once(fake: FakeKubernetes, hasty: Cluster) -> None:
    """Once that it is away, once that it is back, each time; the log is whole."""
    run = followed(hasty, job("j", ticks(100, 0.05)), pace=replace(BRISK, running=0.1))
    for lines in (3, 10):
        fake.wait(lambda lines=lines: len(run.lines) > lines)  # type: ignore[misc]
        fake.server.restart(down=1.0)
        fake.wait(lambda: run.said[-1:] == ["the cluster answers again"])
    assert run.verdict().status is Status.SUCCEEDED
    assert run.lines == ticked(100)
    assert ["answers again" in text for text in run.said] == [False, True] * 2


def test_a_token_that_has_run_out_is_borne_for_a_while(fake: FakeKubernetes, cluster: Cluster) -> None:
    """Whoever gives tokens gives another one soon."""
    run = followed(cluster, job("j", f"{ticks(40, 0.05)}; exit 3"), pace=replace(BRISK, running=0.1))
    fake.wait(lambda: bool(run.lines))
    fake.access.expired.add("admin-token")
    fake.wait(lambda: bool(run.said))
    time.sleep(0.5)
    fake.access.expired.clear()
    assert run.verdict().exit_code == 3
    assert run.lines == ticked(40)
    assert [text.partition(";")[0] == "the cluster answers again" for text in run.said] == [False, True]


def test_a_user_who_stays_unknown_is_told(fake: FakeKubernetes, cluster: Cluster) -> None:
    run = followed(cluster, job("j", "sleep 60"), pace=replace(BRISK, running=0.1, refusals=0.5))
    fake.access.expired.add("admin-token")
    with pytest.raises(CredentialsRefused):
        run.verdict()


@pytest.mark.slow
def test_a_server_that_stays_away_is_not_waited_for_for_ever(fake: FakeKubernetes, hasty: Cluster) -> None:
    """The run goes on; whoever followed it is told."""
    run = followed(hasty, job("j", "sleep 60"), pace=replace(BRISK, running=0.1, patience=0.5))
    fake.wait(lambda: bool(fake.items("pods", "shop")))
    fake.server.restart(down=3.0)
    with pytest.raises(ClusterUnreachable):
        run.verdict()


WORDS = """
import json, os, signal, sys, time, pathlib
def say(status, code):
    words = {"kind": "oneoff.dev/run", "id": "r1", "status": status, "message": "", "checkpoint": None}
    pathlib.Path(os.environ["FAKE_TERMINATION_LOG"]).write_text(json.dumps(words))
    sys.exit(code)
try:
    pathlib.Path("../../lease").mkdir()
except FileExistsError:
    print("turned away")
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: say("interrupted", 75))
print("at work", flush=True)
time.sleep(0.7)
say("succeeded", 0)
"""
"""What a run does: takes the lease or is turned away, works, and says how it ended."""


@pytest.mark.parametrize("retries", [0, 3])
def test_a_second_start_is_not_what_the_verdict_is_about(
    retries: int, fake: FakeKubernetes, cluster: Cluster
) -> None:
    """The run's own last words count; so it is if the second one makes the Job fail, and so the run stop."""
    fake.faults.start_twice()
    described = job("j", "", main={"command": [sys.executable, "-c", WORDS]}, backoffLimit=retries)
    described["metadata"]["annotations"] = {RESULT: "expected", RUN_ID: "r1"}
    run = followed(cluster, described)
    found = run.verdict()
    assert (found.status, found.attempts) == ((Status.SUCCEEDED, 2) if retries else (Status.INTERRUPTED, 2))
    assert found.words is not None
    assert sorted(run.lines) == ["at work", "turned away"]


def test_a_queue_is_no_failure_to_start(fake: FakeKubernetes, cluster: Cluster) -> None:
    """A suspended Job waits for longer than it may, and its time to start begins when it is resumed."""
    run = followed(cluster, job("j", "echo ran", suspend=True), start_within=timedelta(seconds=0.5))
    with pytest.raises(AssertionError, match="still followed"):
        run.verdict(1.0)
    cluster.patch(JOBS, "j", {"spec": {"suspend": False}})
    assert run.verdict().status is Status.SUCCEEDED
    assert run.said == ["it waits: the Job is suspended, or queued, and starts when it is resumed"]


def test_a_classic_sidecar_does_not_hide_the_end(fake: FakeKubernetes, cluster: Cluster) -> None:
    """The verdict is that of the task, with what to set."""
    fake.inject_sidecar({"name": "istio-proxy", "image": "proxy:1", "command": ["sleep", "60"]})
    run = followed(cluster, job("j", "echo done", pod={"terminationGracePeriodSeconds": 1}))
    found = run.verdict()
    assert (found.status, found.held_by, found.unfinished) == (Status.SUCCEEDED, ("istio-proxy",), True)
    assert run.lines == ["done"]
    assert "sidecar.istio.io/nativeSidecar" in run.said[-1]


def test_the_shards_of_a_job_have_their_number_before_each_line(cluster: Cluster) -> None:
    script = "echo here; echo index $JOB_COMPLETION_INDEX"
    run = followed(cluster, job("j", script, completionMode="Indexed", completions=3, parallelism=2))
    found = run.verdict()
    assert (found.status, found.shards) == (Status.SUCCEEDED, 3)
    assert sorted(run.lines) == sorted(
        line for shard in range(3) for line in (f"[{shard}] here", f"[{shard}] index {shard}")
    )


def test_a_deleted_job_is_cancelled(fake: FakeKubernetes, cluster: Cluster) -> None:
    """Its pod gets its grace, and what it prints in it is read."""
    script = "trap 'echo told; exit 143' TERM; echo up; while :; do sleep 0.02; done"
    run = followed(cluster, job("j", script))
    fake.wait(lambda: run.lines == ["up"])
    cluster.delete(JOBS, "j", uid=run.job["metadata"]["uid"])
    found = run.verdict()
    assert (found.status, found.exit_code) == (Status.CANCELLED, 143)
    assert run.lines == ["up", "told"]


def test_a_pod_that_is_gone_before_it_is_watched(
    fake: FakeKubernetes, cluster: Cluster, tmp_path: Path
) -> None:
    """How it ended is known to whoever had looked at the pods before deleting the Job."""
    script = "trap 'exit 75' TERM; echo up > up; while :; do sleep 0.02; done"
    made = cluster.create(JOBS, job("j", script, main={"workingDir": str(tmp_path)}))
    fake.wait((tmp_path / "up").exists)
    fake.wait(lambda: [pod["status"].get("phase") for pod in fake.items("pods", "shop")] == ["Running"])
    since = pods_of(cluster, made)
    cluster.delete(JOBS, "j", uid=made["metadata"]["uid"])
    fake.wait(lambda: fake.items("pods", "shop") == [])
    said: list[str] = []
    patient = replace(BRISK, last_state=20.0)
    found = ending(cluster, made, container="task", since=since, say=said.append, pace=patient)
    assert (found.status, found.exit_code) == (Status.CANCELLED, 75)


def test_without_the_right_to_watch_it_is_looked_up(fake: FakeKubernetes, cluster: Cluster) -> None:
    fake.access.deny(verb="watch")
    run = followed(cluster, job("j", ticks(10)))
    assert run.verdict().status is Status.SUCCEEDED
    assert (run.lines, run.said) == (ticked(10), [])


def test_without_the_right_to_events_or_logs_it_is_said_once(fake: FakeKubernetes, cluster: Cluster) -> None:
    fake.access.deny(resource="events")
    fake.access.deny(resource="pods/log")
    fake.faults.start_delay(20)
    run = followed(cluster, job("j", "sleep 0.3; exit 4"))
    assert run.verdict().exit_code == 4
    assert [("events" in text, "log" in text) for text in run.said] == [(True, False), (False, True)]


def test_without_the_right_to_read_pods_nothing_can_be_followed(
    fake: FakeKubernetes, cluster: Cluster
) -> None:
    fake.access.deny(resource="pods")
    with pytest.raises(NotPermitted, match="pods"):
        followed(cluster, job("j", "true")).verdict()


def test_an_interruption_passes_and_leaves_no_thread(fake: FakeKubernetes, cluster: Cluster) -> None:
    """Ctrl-C comes while it is written, said or waited; here it is written."""

    def interrupt(text: bytes) -> None:
        raise KeyboardInterrupt

    made = cluster.create(JOBS, job("j", "echo up; exec sleep 60", pod={"terminationGracePeriodSeconds": 1}))
    with pytest.raises(KeyboardInterrupt):
        follow(
            cluster, made, container="task", start_within=None, write=interrupt, say=pytest.fail, pace=BRISK
        )
    assert [each.name for each in threading.enumerate() if each.name.startswith("oneoff-")] == []
    assert cluster.get(JOBS, "j")["status"]["active"] == 1
