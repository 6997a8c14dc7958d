"""What was seen of a Job is put together, however lists and watches overtake each other."""

from __future__ import annotations

from typing import Any

from oneoff.kube.api.cluster import JOBS, PODS, Listing
from oneoff.kube.following.story import Story, newest_last
from oneoff.kube.following.watching import Seen
from oneoff.kube.objects import Object
from oneoff.runs.status import Status

RUNNING = {"running": {"startedAt": "2026-11-30T00:00:00Z"}}


def ended(code: int) -> Object:
    return {"terminated": {"exitCode": code, "message": ""}}


def job(uid: str = "j", version: str = "1", **more: Any) -> Object:
    return {"metadata": {"name": "job", "uid": uid, "resourceVersion": version, **more}, "status": {}}


def pod(uid: str, version: str, state: Object, *, created: int = 0, index: str | None = None) -> Object:
    labels = {} if index is None else {"batch.kubernetes.io/job-completion-index": index}
    head = {
        "name": uid,
        "uid": uid,
        "resourceVersion": version,
        "creationTimestamp": f"2026-11-30T00:00:{created:02}Z",
        "labels": labels,
    }
    return {"metadata": head, "status": {"containerStatuses": [{"name": "task", "state": state}]}}


def test_an_older_state_does_not_replace_a_later_one() -> None:
    """Whether a list comes late, or what was watched."""
    story = Story(job(version="5"), "task")
    story.looked(job(version="4"), Listing([pod("p", "9", ended(3))], "9"))
    story.saw(Seen(PODS, pod("p", "8", RUNNING)))
    assert story.job["metadata"]["resourceVersion"] == "5"
    assert story.state("p") == ended(3)
    story.saw(Seen(JOBS, job(version="10")))
    assert story.job["metadata"]["resourceVersion"] == "10"


def test_a_pod_that_is_gone_keeps_its_last_state() -> None:
    """From the watch, also after the list that has it no more."""
    story = Story(job(), "task")
    story.looked(job(), Listing([pod("p", "2", RUNNING)], "2"))
    story.looked(job(), Listing([], "4"))
    assert story.gone == {"p"} and story.has_ended("p")
    story.saw(Seen(PODS, pod("p", "3", ended(143)), deleted=True))
    assert story.state("p") == ended(143)


def test_an_end_is_seen_where_the_node_tells_of_it() -> None:
    """A pod that is gone, or that the cluster gave up, may go on behind a node that nobody reaches."""

    def seen(*pods: Object, phase: str = "") -> tuple[bool, bool]:
        story = Story(job(), "task")
        for one in pods:
            one["status"] |= {"phase": phase}
        story.looked(job(), Listing([*pods], "2"))
        story.looked(job(), Listing([], "3"))
        found = story.verdict()
        return found.started, found.seen_to_end

    assert seen() == (False, False)
    assert seen(pod("p", "1", ended(137))) == (True, True)
    assert seen(pod("p", "1", RUNNING)) == seen(pod("p", "1", RUNNING), phase="Failed") == (True, False)
    assert seen(pod("p", "1", {"waiting": {}}), phase="Pending") == (False, False)
    assert seen(pod("p", "1", {}), phase="Failed") == (False, True)
    assert seen(pod("a", "1", ended(1)), pod("b", "1", RUNNING)) == (True, False)


def test_another_job_of_the_name_is_not_ours() -> None:
    """Ours was deleted then, whoever says so."""
    for job_now in (None, job(uid="other")):
        story = Story(job(), "task")
        story.looked(job_now, Listing([], "1"))
        assert story.deleted
        assert story.verdict().status is Status.CANCELLED
    story = Story(job(), "task")
    story.saw(Seen(JOBS, job(uid="other"), deleted=True))
    assert not story.deleted
    story.saw(Seen(JOBS, job(version="2"), deleted=True))
    assert story.deleted


def test_the_pods_of_a_shard_are_one_after_another() -> None:
    story = Story(job(), "task")
    pods = [
        pod("b", "2", RUNNING, created=5, index="0"),
        pod("a", "1", ended(1), created=1, index="0"),
        pod("c", "3", RUNNING, created=1, index="1"),
    ]
    story.looked(job(), Listing(pods, "3"))
    assert story.lanes() == {"0": ["a", "b"], "1": ["c"]}


def test_who_speaks_in_a_pod() -> None:
    """The task's container once it has begun, or an init container that failed; before that, nobody."""
    waiting = pod("p", "1", {"waiting": {"reason": "PodInitializing"}})
    waiting["status"]["initContainerStatuses"] = [{"name": "fetch", "state": ended(0)}]
    story = Story(job(), "task")
    story.looked(job(), Listing([waiting], "1"))
    assert (story.speaker("p"), story.has_started, story.has_ended("p")) == ("", False, False)
    failed = pod("p", "2", {"waiting": {"reason": "PodInitializing"}})
    failed["status"]["initContainerStatuses"] = [{"name": "fetch", "state": ended(7)}]
    story.looked(job(), Listing([failed], "2"))
    assert (story.speaker("p"), story.has_started, story.has_ended("p")) == ("fetch", False, True)
    story.looked(job(), Listing([pod("p", "3", RUNNING)], "3"))
    assert (story.speaker("p"), story.has_started, story.has_ended("p")) == ("task", True, False)


def test_a_pod_of_a_job_that_is_being_deleted_may_still_start() -> None:
    story = Story(job(deletionTimestamp="2026-11-30T00:00:00Z"), "task")
    story.looked(story.job, Listing([pod("p", "1", {"waiting": {}})], "1"))
    assert story.may_go_on("p")
    story.looked(story.job, Listing([], "2"))
    assert not story.may_go_on("p")


def test_events_of_the_same_second_are_in_the_order_of_their_versions() -> None:
    """Written in different ways: by the old and by the new kind of recorder."""
    events: list[Object] = [
        {"lastTimestamp": "2026-11-30T00:00:02Z", "metadata": {"resourceVersion": "12"}},
        {"lastTimestamp": "2026-11-30T00:00:02Z", "metadata": {"resourceVersion": "9"}},
        {"lastTimestamp": None, "eventTime": "2026-11-30T00:00:01.5Z", "metadata": {"resourceVersion": "20"}},
    ]
    assert [one["metadata"]["resourceVersion"] for one in newest_last(events)] == ["20", "9", "12"]
