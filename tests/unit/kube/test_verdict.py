from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime

import pytest

from oneoff.kube.derivation.cronjobs import slot_of
from oneoff.kube.derivation.jobs import RESULT, RUN_ID
from oneoff.kube.following.verdict import Verdict, verdict
from oneoff.kube.objects import Object
from oneoff.runs.lastwords import MAX_BYTES, LastWords, last_words, read_last_words
from oneoff.runs.run import Outcome
from oneoff.runs.slot import Slot
from oneoff.runs.status import Status
from tests import recorded
from tests.records import make_run


def judged(folder: str, *, overdue: bool = False, container: str = "task") -> Verdict:
    """The verdict on a recording's end."""
    ((word, job),) = recorded.last_states(folder, "jobs").values()
    pods = [pod for _, pod in recorded.last_states(folder, "pods").values()]
    events = [line["object"] for line in recorded.stream(folder, "events") if line["type"] != "BOOKMARK"]
    return verdict(job, pods, events, container=container, deleted=word == "DELETED", overdue=overdue)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("job-succeeds", Verdict(status=Status.SUCCEEDED, exit_code=0, attempts=1)),
        ("job-indexed-3", Verdict(status=Status.SUCCEEDED, exit_code=0, attempts=1, shards=3)),
        ("job-native-sidecar", Verdict(status=Status.SUCCEEDED, exit_code=0, attempts=1)),
        ("job-pod-evicted-and-replaced", Verdict(status=Status.SUCCEEDED, exit_code=0, attempts=2)),
        ("job-suspended-then-resumed", Verdict(status=Status.SUCCEEDED, exit_code=0, attempts=1)),
        (
            "job-fails-exit-3",
            Verdict(
                status=Status.FAILED,
                exit_code=3,
                reason="BackoffLimitExceeded",
                message="the command exited with code 3",
                attempts=1,
            ),
        ),
        (
            "job-pod-failure-policy",
            Verdict(
                status=Status.FAILED,
                exit_code=42,
                reason="PodFailurePolicy",
                message="the command exited with code 42",
                attempts=1,
            ),
        ),
        (
            "job-deadline-exceeded",
            Verdict(
                status=Status.TIMED_OUT,
                exit_code=137,
                reason="DeadlineExceeded",
                message="Job was active longer than specified deadline",
                attempts=1,
            ),
        ),
        (
            "job-deleted-while-running",
            Verdict(
                status=Status.CANCELLED,
                exit_code=143,
                message="the Job was deleted before its end",
                attempts=1,
            ),
        ),
        (
            "job-oom-killed",
            Verdict(
                status=Status.FAILED,
                exit_code=137,
                reason="OOMKilled",
                message="out of memory: its limit is reached",
                attempts=1,
            ),
        ),
        (
            "job-classic-sidecar-never-completes",
            Verdict(
                status=Status.SUCCEEDED,
                exit_code=0,
                attempts=1,
                held_by=("proxy",),
                unfinished=True,
            ),
        ),
    ],
)
def test_how_a_recorded_job_ended(folder: str, expected: Verdict) -> None:
    """Every recording of a real cluster has the verdict that people would reach."""
    assert judged(folder) == expected


def test_out_of_memory_is_no_failure_where_the_command_bore_it() -> None:
    """containerd says OOMKilled as well where a child was killed, and the first process ended with 0."""
    ((_, job),) = recorded.last_states("job-succeeds", "jobs").values()
    ((_, pod),) = recorded.last_states("job-succeeds", "pods").values()
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    found = verdict(job, [pod], container="task")
    assert (found.status, found.exit_code) == (Status.SUCCEEDED, 0)


@pytest.mark.parametrize(
    ("folder", "reason", "words"),
    [
        ("job-image-missing", "ErrImageNeverPull|ErrImagePull|ImagePullBackOff", "task: "),
        ("job-unschedulable", "Unschedulable", "1 Insufficient cpu"),
        ("job-quota-forbids-pods", "FailedCreate", "exceeded quota: none, requested: pods=1"),
    ],
)
def test_what_cannot_start(folder: str, reason: str, words: str) -> None:
    """It waits with the reason, and is refused once its time to start is over: nothing ran."""
    waiting, late = judged(folder), judged(folder, overdue=True)
    assert (waiting.status, late.status) == (Status.LAUNCHED, Status.REFUSED)
    for found in (waiting, late):
        assert found.reason in reason.split("|")
        assert words in found.message


FOLDERS = sorted(path.name for path in recorded.RECORDINGS.glob("job-*"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_state_on_the_way_is_no_other_end(folder: str) -> None:
    """Whenever somebody looks, the Job has not ended yet, or as it will have in the end."""
    end = judged(folder)
    job: dict[str, object] = {}
    pods: dict[str, dict[str, object]] = {}
    merged = [
        (int(line["object"]["metadata"]["resourceVersion"]), kind, line)
        for kind in ("jobs", "pods")
        for line in recorded.stream(folder, kind)
        if line["type"] != "BOOKMARK"
    ]
    for _, kind, line in sorted(merged, key=lambda entry: entry[:2]):
        if kind == "jobs":
            job = line["object"]
        else:
            pods[line["object"]["metadata"]["name"]] = line["object"]
        found = verdict(job, pods.values(), container="task") if job else None
        assert found is None or not found.ended or found.status is end.status


def test_a_slot_is_read_from_the_name_of_its_job() -> None:
    """One time of one schedule, however the Job came; a Job that a person made is none."""
    ((_, job),) = recorded.last_states("cronjob-every-minute", "jobs").values()
    at = datetime(2026, 11, 23, 1, 14, tzinfo=UTC)
    assert slot_of(job) == Slot("cleanup-old-data", at)
    renamed = deepcopy(job)
    renamed["metadata"]["name"] = "cleanup-old-data-by-hand"
    assert slot_of(renamed) == Slot("cleanup-old-data", at)
    del renamed["metadata"]["annotations"]
    assert slot_of(renamed) is None
    del job["metadata"]["ownerReferences"]
    assert slot_of(job) is None
    assert judged("cronjob-every-minute", container="cleanup").status is Status.SUCCEEDED


def expecting(folder: str, message: str | None) -> Verdict:
    """The verdict where the run should have said how it ended, and said this."""
    ((_, job),) = recorded.last_states(folder, "jobs").values()
    job["metadata"].setdefault("annotations", {}).update({RESULT: "expected", RUN_ID: "r1"})
    pods = [pod for _, pod in recorded.last_states(folder, "pods").values()]
    for pod in pods:
        for status in pod["status"]["containerStatuses"]:
            if message is not None:
                status["state"]["terminated"]["message"] = message
    return verdict(job, pods, [], container="task")


def words_of(status: Status) -> str:
    """What a run of this end says."""
    return last_words(make_run(status=status, outcome=Outcome(status=status, error="the table is gone")))


def test_complete_without_a_result_is_no_success() -> None:
    """A program that handles SIGTERM and exits with 0 makes a Job complete: the outcome is unknown."""
    for message in (
        None,
        "",
        "done.",
        '{"kind":"other"}',
        "[1]",
        words_of(Status.SUCCEEDED).replace("r1", "r2"),
    ):
        found = expecting("job-succeeds", message)
        assert (found.status, found.reason) == (Status.LOST, "NoResult")
    assert expecting("job-succeeds", words_of(Status.SUCCEEDED)).status is Status.SUCCEEDED


@pytest.mark.parametrize("folder", ["job-succeeds", "job-fails-exit-3", "job-oom-killed"])
@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT, Status.CANCELLED, Status.REFUSED])
def test_the_run_itself_knows_best(folder: str, status: Status) -> None:
    """Its own word comes before the exit code."""
    found = expecting(folder, words_of(status))
    assert (found.status, found.message) == (status, "the table is gone")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (1, Status.FAILED),
        (2, Status.REFUSED),
        (3, Status.REFUSED),
        (75, Status.INTERRUPTED),
        (99, Status.FAILED),
    ],
)
def test_exit_codes_of_oneoff(code: int, status: Status) -> None:
    """Without its word, a run's exit code means what it means of every run; that of a command fails."""
    ((_, job),) = recorded.last_states("job-fails-exit-3", "jobs").values()
    ((_, pod),) = recorded.last_states("job-fails-exit-3", "pods").values()
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = code
    assert verdict(job, [pod], container="task").status is Status.FAILED
    job["metadata"]["annotations"][RESULT] = "expected"
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    terminated["message"] = "the end of its log, with a password"
    found = verdict(job, [pod], container="task")
    assert found.status is status
    assert found.message == f"it exited with {code} and left no result: its log may say why"
    terminated |= {"reason": "StartError", "message": "no such file"}
    assert verdict(job, [pod], container="task").message == "no such file"


def test_what_was_printed_is_no_error() -> None:
    """The last lines may hold what nobody masks, and a record cannot be mended."""
    ((_, job),) = recorded.last_states("job-fails-exit-3", "jobs").values()
    ((_, pod),) = recorded.last_states("job-fails-exit-3", "pods").values()
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    terminated["message"] = "connecting to postgresql://app:s3cret@db\nno route"
    assert verdict(job, [pod], container="task").message == "the command exited with code 3"
    terminated["exitCode"] = 139
    assert verdict(job, [pod], container="task").message == "the command was ended by SIGSEGV"
    job["metadata"]["annotations"][RESULT] = "expected"
    terminated["exitCode"] = 1
    assert "s3cret" not in verdict(job, [pod], container="task").message


@pytest.mark.parametrize("expected", [True, False])
def test_a_program_that_is_not_in_the_image(expected: bool) -> None:
    """Nothing ran, and the runtime's own words say why."""
    ((_, job),) = recorded.last_states("job-fails-exit-3", "jobs").values()
    ((_, pod),) = recorded.last_states("job-fails-exit-3", "pods").values()
    why = 'exec: "npm": executable file not found in $PATH'
    ended = {"exitCode": 128, "reason": "StartError", "message": why}
    pod["status"]["containerStatuses"][0]["state"]["terminated"] |= ended
    job["metadata"]["annotations"] |= {RESULT: "expected"} if expected else {}
    found = verdict(job, [pod], container="task")
    assert (found.status, found.reason, found.message) == (Status.REFUSED, "StartError", why)


def test_a_pod_that_the_cluster_took_away() -> None:
    """An exit code of 0 in the middle of an eviction is no success, not even of a bare command."""
    pods = dict(recorded.last_states("job-pod-evicted-and-replaced", "pods"))
    ((_, job),) = recorded.last_states("job-succeeds", "jobs").values()
    ((_, evicted),) = (pod for pod in pods.items() if pod[1][0] == "DELETED")
    evicted[1]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 0
    found = verdict(job, [evicted[1]], container="task")
    assert (found.status, found.reason) == (Status.INTERRUPTED, "EvictionByEvictionAPI")


def test_a_pod_that_failed_and_is_gone() -> None:
    """It has run, perhaps, so nothing may be repeated; what never had a pod has not."""
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}
    job: Object = {"metadata": {"name": "j"}, "status": {"conditions": [failed], "failed": 1}}
    gone = verdict(job, [], [], container="task")
    assert (gone.status, gone.reason) == (Status.LOST, "BackoffLimitExceeded")
    del job["status"]["failed"]
    assert verdict(job, [], [], container="task").status is Status.REFUSED


def test_a_deadline_whose_pod_is_gone() -> None:
    """It timed out, if it had one; whether its task began, the store knows."""
    late = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}
    job: Object = {"metadata": {"name": "j"}, "status": {"conditions": [late], "failed": 1}}
    gone = verdict(job, [], [], container="task")
    assert (gone.status, gone.reason, gone.message) == (Status.TIMED_OUT, "DeadlineExceeded", "too long")
    del job["status"]["failed"]
    assert verdict(job, [], [], container="task").status is Status.REFUSED


@pytest.mark.parametrize("status", [Status.INTERRUPTED, Status.SUCCEEDED, Status.FAILED])
def test_a_run_says_itself_how_it_ended_at_its_deadline(status: Status) -> None:
    """That is what its record says; why a signal came, the Job tells."""
    found = expecting("job-deadline-exceeded", words_of(status))
    assert (found.status, found.reason) == (status, "DeadlineExceeded")
    late = ": Job was active longer than specified deadline" if status is Status.INTERRUPTED else ""
    assert found.message == f"the table is gone{late}"


def test_an_init_container_that_failed() -> None:
    """The task never began: refused, and it says which."""
    ((_, job),) = recorded.last_states("job-fails-exit-3", "jobs").values()
    ((_, pod),) = recorded.last_states("job-fails-exit-3", "pods").values()
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "PodInitializing"}}
    pod["status"]["initContainerStatuses"] = [{"name": "wait", "state": {"terminated": {"exitCode": 4}}}]
    found = verdict(job, [pod], container="task")
    assert (found.status, found.reason) == (Status.REFUSED, "InitContainerFailed")
    assert "wait exited with 4" in found.message


def test_a_failed_shard_fails_the_job() -> None:
    """Of an indexed Job the last pod may have gone well."""
    ((_, job),) = recorded.last_states("job-fails-exit-3", "jobs").values()
    pods = [pod for _, pod in recorded.last_states("job-indexed-3", "pods").values()]
    first = min(pods, key=lambda pod: pod["metadata"]["name"])
    first["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 9
    found = verdict(job, pods, container="task")
    assert (found.status, found.exit_code) == (Status.FAILED, 9)


def test_last_words_are_short_and_come_back() -> None:
    """At most 4000 bytes whatever the error, and the same again when they are read."""
    for error in ("", "the table is gone", "ß" * 50_000, "\U0001f600" * 5_000, '"\\\n' * 3_000):
        run = make_run(status=Status.FAILED, outcome=Outcome(status=Status.FAILED, error=error))
        text = last_words(run)
        assert len(text.encode()) <= MAX_BYTES
        found = read_last_words(text)
        assert found is not None
        assert error.startswith(found.message)
        assert found == LastWords("r1", Status.FAILED, found.message, None)
    assert read_last_words(text.replace("failed", "running")) is None


# A second start of the same run.


def double_start(code: int | None, message: str) -> Verdict:
    """A Job with two pods: the run's, and one that came second and was turned away."""
    ((_, job),) = recorded.last_states("job-fails-exit-3", "jobs").values()
    ((_, pod),) = recorded.last_states("job-fails-exit-3", "pods").values()
    job["metadata"]["annotations"] = {RESULT: "expected", RUN_ID: "r1"}
    first, second = deepcopy(pod), deepcopy(pod)
    second["metadata"].update(name="z", uid="z")
    state = (
        {"running": {"startedAt": "2026-11-23T01:14:00Z"}}
        if code is None
        else {"terminated": {"exitCode": code, "message": message}}
    )
    first["status"]["containerStatuses"][0]["state"] = state
    first["status"]["phase"] = "Running" if code is None else "Failed"
    return verdict(job, [first, second], container="task")


def test_the_verdict_is_that_of_the_run_and_not_of_the_second_start() -> None:
    """Exit code 3 without a word, beside a pod in which the run was."""
    interrupted = Status.INTERRUPTED
    words = last_words(make_run("r1", status=interrupted, outcome=Outcome(status=interrupted)))
    assert double_start(75, words).status is Status.INTERRUPTED
    assert double_start(137, "").status is Status.LOST
    assert double_start(None, "").status is Status.RUNNING
    assert double_start(3, "").status is Status.REFUSED


# What keeps a pod from running that has a node.


@pytest.mark.parametrize(
    ("kind", "reason", "told"),
    [
        ("Warning", "FailedMount", "FailedMount"),
        ("Normal", "Pulling", "Pulling"),
        ("Warning", "FailedScheduling", ""),
        ("Normal", "Scheduled", ""),
    ],
)
def test_an_event_tells_why_a_pod_waits(kind: str, reason: str, told: str) -> None:
    """A volume that cannot be mounted, an image on its way; not what is over."""
    ((_, job),) = recorded.last_states("job-image-missing", "jobs").values()
    ((_, pod),) = recorded.last_states("job-image-missing", "pods").values()
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ContainerCreating"}}
    about = {"kind": "Pod", "name": pod["metadata"]["name"]}
    event = {"type": kind, "reason": reason, "message": "why", "involvedObject": about}
    waiting = verdict(job, [pod], [event], container="task")
    assert (waiting.status, waiting.reason, waiting.unfinished) == (Status.LAUNCHED, told, False)
    late = verdict(job, [pod], [event], container="task", overdue=True)
    assert (late.status, late.reason, late.unfinished) == (Status.REFUSED, told, True)
    over = {"type": "Normal", "reason": "Pulled", "message": "it is there", "involvedObject": about}
    assert verdict(job, [pod], [event, over], container="task").reason == ""


@pytest.mark.parametrize(
    ("policy", "started", "told"),
    [
        (None, False, "the init container fetch has not ended yet"),
        ("Always", False, "the init container fetch has not started yet"),
        ("Always", True, ""),
    ],
)
def test_an_init_container_may_be_what_a_pod_waits_for(policy: str | None, started: bool, told: str) -> None:
    """One that runs on; a sidecar only until it is ready."""
    ((_, job),) = recorded.last_states("job-image-missing", "jobs").values()
    ((_, pod),) = recorded.last_states("job-image-missing", "pods").values()
    pod["spec"]["initContainers"] = [{"name": "fetch", "restartPolicy": policy}]
    running = {"running": {"startedAt": "2026-11-23T01:14:00Z"}}
    pod["status"]["initContainerStatuses"] = [{"name": "fetch", "state": running, "started": started}]
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "PodInitializing"}}
    late = verdict(job, [pod], container="task", overdue=True)
    assert late.reason == ("PodInitializing" if told else "")
    assert late.message == (told or "it did not start in time, and nothing says why")
