"""Jobs run their pods' commands here, and end as Kubernetes' rules say."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.answers import Refused
from tests.kubernetes.kinds import Object
from tests.kubernetes.objects import (
    conditions,
    configmap,
    container,
    cronjob,
    ended,
    job,
    log,
    pods,
    run,
    secret,
    started,
    terminated,
)

pytestmark = pytest.mark.slow  # it runs many processes, by the clock

IGNORE_DISRUPTION = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
SLOT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def reference(kind: str, name: str, key: str, **more: object) -> Object:
    return {"valueFrom": {f"{kind}KeyRef": {"name": name, "key": key} | more}}


def events(cluster: FakeKubernetes, reason: str) -> list[str]:
    return [each["message"] for each in cluster.items("events", "shop") if each["reason"] == reason]


# What a process is given.


def test_the_environment_is_the_specs_and_nothing_of_the_tests(cluster: FakeKubernetes) -> None:
    """Literal values, the downward API, keys and whole maps arrive; the test's own variables do not."""
    cluster.create(configmap("settings", MODE="fast", A_B="1"), "shop")
    cluster.create(secret("db", url="postgres://x"), "shop")
    env: list[Object] = [
        {"name": "PLAIN", "value": "1e3"},
        {"name": "JOINED", "value": "$(PLAIN)-$$(PLAIN)-$(NONE)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "JOB", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['job-name']"}}},
        {"name": "URL"} | reference("secret", "db", "url"),
        {"name": "MODE"} | reference("configMap", "settings", "MODE"),
        {"name": "NOT"} | reference("configMap", "absent", "x", optional=True),
    ]
    sources = [{"prefix": "P_", "configMapRef": {"name": "settings"}}]
    script = "env | sort"
    run(cluster, job("env", script, main={"env": env, "envFrom": sources}))
    pod = pods(cluster, "env")[0]
    seen = dict(line.split("=", 1) for line in log(cluster, pod))
    assert seen["PLAIN"] == "1e3"
    assert seen["JOINED"] == "1e3-$(PLAIN)-$(NONE)"
    assert (seen["POD"], seen["HOSTNAME"]) == (pod["metadata"]["name"],) * 2
    assert (seen["NAMESPACE"], seen["JOB"]) == ("shop", "env")
    assert (seen["URL"], seen["MODE"], seen["P_MODE"], seen["P_A_B"]) == ("postgres://x", "fast", "fast", "1")
    assert "NOT" not in seen
    assert not any(name.startswith(("XDG_", "PYTEST")) for name in seen)


def test_a_reference_that_leads_nowhere_keeps_the_pod_waiting(cluster: FakeKubernetes) -> None:
    """CreateContainerConfigError, with the reason; and the pod starts once the Secret is there."""
    variable = {"name": "URL"} | reference("secret", "db", "url")
    cluster.create(job("lost", "echo $URL", main={"env": [variable]}), "shop")

    def waits() -> bool:
        statuses = [pod["status"].get("containerStatuses") for pod in pods(cluster, "lost")]
        found = [each[0]["state"].get("waiting", {}).get("reason") for each in statuses if each]
        return found == ["CreateContainerConfigError"]

    cluster.wait(waits)
    message = pods(cluster, "lost")[0]["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message == 'secret "db" not found'
    cluster.create(secret("db", url="here"), "shop")
    assert conditions(ended(cluster, "lost"))[-1] == "Complete"


def test_files_of_maps_and_shared_folders_are_under_the_root(cluster: FakeKubernetes) -> None:
    """A mounted path in an argument or a variable is the folder that stands for it."""
    cluster.create(configmap("settings", **{"a.txt": "hello"}), "shop")
    volumes = [{"name": "s", "configMap": {"name": "settings"}}, {"name": "t", "emptyDir": {}}]
    mounts = [{"name": "s", "mountPath": "/etc/app"}, {"name": "t", "mountPath": "/work"}]
    env = [{"name": "FILE", "value": "/etc/app/a.txt"}, {"name": "SHARED", "value": "/work/b"}]
    mounted = {"volumeMounts": mounts, "env": env}
    first = container("cat $FILE > $SHARED") | mounted | {"name": "first"}
    run(
        cluster,
        job("files", "cat $SHARED", main=mounted, pod={"volumes": volumes, "initContainers": [first]}),
    )
    assert log(cluster, pods(cluster, "files")[0]) == ["hello"]


def test_an_image_has_a_command_of_its_own(cluster: FakeKubernetes) -> None:
    """A container without a command runs the image's, with its own arguments."""
    cluster.node.entrypoints["app:2"] = ["echo", "from", "the", "image"]
    run(cluster, job("image", "", main={"command": None, "image": "app:2", "args": ["and me"]}))
    assert log(cluster, pods(cluster, "image")[0]) == ["from the image and me"]


# How a container ends.


def test_the_termination_message_is_what_the_process_left(cluster: FakeKubernetes) -> None:
    """By the fake's variable, or by a path that the template hands to the process; 4096 bytes of it."""
    run(cluster, job("said", "echo done > $FAKE_TERMINATION_LOG"))
    assert terminated(pods(cluster, "said")[0])["message"] == "done\n"
    own = {"terminationMessagePath": "/run/result", "env": [{"name": "RESULT", "value": "/run/result"}]}
    run(cluster, job("own", "head -c 5000 /dev/zero | tr '\\0' x > $RESULT", main=own))
    assert terminated(pods(cluster, "own")[0])["message"] == "x" * 4096
    falls_back = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    run(cluster, job("log", "echo boom; exit 1", main=falls_back))
    assert terminated(pods(cluster, "log")[0])["message"] == "boom\n"
    run(cluster, job("silent", "true"))
    assert "message" not in terminated(pods(cluster, "silent")[0])


def test_a_program_without_a_handler_is_deaf_to_sigterm(cluster: FakeKubernetes) -> None:
    """As the first process of a container it goes on, and is killed after the grace: 137."""
    cluster.create(
        job("deaf", "echo up; while :; do sleep 0.1; done", pod={"terminationGracePeriodSeconds": 6}), "shop"
    )
    pod = started(cluster, "deaf")
    begun = time.monotonic()
    cluster.evict("shop", pod["metadata"]["name"])
    failed = ended(cluster, "deaf")
    assert time.monotonic() - begun >= 6 / 20
    assert [each["reason"] for each in failed["status"]["conditions"]] == ["BackoffLimitExceeded"] * 2
    assert exit_codes(cluster, pod) == [137]


def exit_codes(cluster: FakeKubernetes, pod: Object) -> list[int]:
    """The codes with which a pod's container has ever been seen to end."""
    uid = pod["metadata"]["uid"]
    seen = [each.object for each in cluster.storage.history if each.object["metadata"].get("uid") == uid]
    states = [
        each["status"]["containerStatuses"][0]["state"]
        for each in seen
        if "containerStatuses" in each["status"]
    ]
    return sorted({state["terminated"]["exitCode"] for state in states if "terminated" in state})


def test_a_program_that_ends_well_on_sigterm_makes_the_job_complete(cluster: FakeKubernetes) -> None:
    """The trap that a node's shutdown sets: exit code 0 on an interruption is success to Kubernetes."""
    script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"
    policy: Object = {
        "podFailurePolicy": IGNORE_DISRUPTION,
        "podReplacementPolicy": "Failed",
        "backoffLimit": 2,
    }
    cluster.create(job("polite", script, **policy), "shop")
    pod = started(cluster, "polite")
    cluster.wait(lambda: log(cluster, pod) == ["up"])
    cluster.evict("shop", pod["metadata"]["name"])
    assert conditions(ended(cluster, "polite"))[-1] == "Complete"


def test_what_a_process_left_running_ends_with_it(cluster: FakeKubernetes) -> None:
    """A container is its first process: a child in the background does not keep the pod."""
    run(cluster, job("parent", "sleep 60 & echo done"))
    assert log(cluster, pods(cluster, "parent")[0]) == ["done"]


def test_out_of_memory_is_told_by_its_reason(cluster: FakeKubernetes) -> None:
    """The code is 137, as for every kill; OOMKilled is only in the reason."""
    cluster.faults.oom("hungry-*")
    run(cluster, job("hungry", "sleep 30"))
    how = terminated(pods(cluster, "hungry")[0])
    assert (how["exitCode"], how["reason"]) == (137, "OOMKilled")


def test_a_command_that_does_not_exist_fails_the_pod(cluster: FakeKubernetes) -> None:
    """128 and StartError, with the system's words."""
    run(cluster, job("typo", "", main={"command": ["no-such-program"]}))
    how = terminated(pods(cluster, "typo")[0])
    assert (how["exitCode"], how["reason"]) == (128, "StartError")
    assert "no-such-program" in how["message"]


# How a Job ends.


def test_a_job_retries_after_a_backoff_that_doubles(cluster: FakeKubernetes) -> None:
    """Three attempts with a limit of two, 10 and 20 seconds of the cluster's time apart."""
    begun = time.monotonic()
    failed = run(cluster, job("again", "exit 1", backoffLimit=2))
    assert time.monotonic() - begun >= 30 / 20
    assert failed["status"]["failed"] == 3
    assert len(pods(cluster, "again")) == 3


def test_an_ignored_failure_is_not_counted(cluster: FakeKubernetes) -> None:
    """An evicted pod is replaced although the Job may not fail once."""
    policy: Object = {"podFailurePolicy": IGNORE_DISRUPTION, "podReplacementPolicy": "Failed"}
    script = "test -e ../../second && exit 0; touch ../../second; echo up; exec sleep 60"
    cluster.create(job("evicted", script, pod={"terminationGracePeriodSeconds": 1}, **policy), "shop")
    pod = started(cluster, "evicted")
    cluster.wait(lambda: log(cluster, pod) == ["up"])
    cluster.evict("shop", pod["metadata"]["name"])
    complete = ended(cluster, "evicted")
    assert conditions(complete)[-1] == "Complete"
    assert "failed" not in complete["status"]


def test_a_rule_on_exit_codes_fails_the_job_at_once(cluster: FakeKubernetes) -> None:
    """Before the backoff limit, with the rule in the message."""
    rule = {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [75]}}
    failed = run(cluster, job("rule", "exit 64", backoffLimit=5, podFailurePolicy={"rules": [rule]}))
    assert failed["status"]["conditions"][-1]["reason"] == "PodFailurePolicy"
    assert "exit code 64 matching FailJob rule at index 0" in failed["status"]["conditions"][-1]["message"]


def test_a_deadline_counts_from_the_resumption(cluster: FakeKubernetes) -> None:
    """A suspended Job does not age, and a pod that waits for an image does."""
    cluster.faults.image_missing("gone:*")
    cluster.create(
        job("late", "true", main={"image": "gone:1"}, activeDeadlineSeconds=4, suspend=True), "shop"
    )
    time.sleep(0.3)
    assert conditions(cluster.get("jobs", "shop", "late")) == ["Suspended"]
    cluster.storage.mutate(
        cluster.kinds.named("Job").key("shop", "late"), lambda found: found["spec"].update(suspend=False)
    )
    failed = ended(cluster, "late")
    assert failed["status"]["conditions"][-1]["reason"] == "DeadlineExceeded"
    assert "ready" in failed["status"]


def test_suspending_a_running_job_deletes_its_pod_and_counts_nothing(cluster: FakeKubernetes) -> None:
    """And resuming makes a new one."""
    script = "test -e ../../second && exit 0; touch ../../second; exec sleep 60"
    cluster.create(job("held", script, pod={"terminationGracePeriodSeconds": 1}), "shop")
    first = started(cluster, "held")
    key = cluster.kinds.named("Job").key("shop", "held")
    cluster.storage.mutate(key, lambda found: found["spec"].update(suspend=True))
    cluster.wait(lambda: pods(cluster, "held") == [])
    cluster.storage.mutate(key, lambda found: found["spec"].update(suspend=False))
    complete = ended(cluster, "held")
    assert "failed" not in complete["status"]
    assert pods(cluster, "held")[0]["metadata"]["uid"] != first["metadata"]["uid"]


def test_a_job_goes_when_its_time_is_over(cluster: FakeKubernetes) -> None:
    """``ttlSecondsAfterFinished`` takes the Job, its pods and so their logs."""
    run(cluster, job("brief", "true", ttlSecondsAfterFinished=2))
    cluster.wait(lambda: cluster.items("jobs", "shop") == [] and cluster.items("pods", "shop") == [])


def test_an_indexed_job_retries_the_index_that_failed(cluster: FakeKubernetes) -> None:
    """Each index runs once more until all are done, at most ``parallelism`` at a time."""
    script = (
        "i=$JOB_COMPLETION_INDEX f=../../tried; echo $i; test $i != 1 || test -e $f || { touch $f; exit 1; }"
    )
    complete = run(
        cluster, job("shards", script, completions=4, parallelism=2, completionMode="Indexed", backoffLimit=3)
    )
    assert complete["status"]["completedIndexes"] == "0-3"
    assert (complete["status"]["succeeded"], complete["status"]["failed"]) == (4, 1)
    shards = sorted(log(cluster, pod)[0] for pod in pods(cluster, "shards"))
    assert shards == ["0", "1", "1", "2", "3"]
    hostnames = {pod["spec"]["hostname"] for pod in pods(cluster, "shards")}
    assert hostnames == {"shards-0", "shards-1", "shards-2", "shards-3"}


def test_init_containers_run_first_and_fail_the_pod(cluster: FakeKubernetes) -> None:
    """The main container of such a pod never starts."""
    first = container("echo no; exit 7") | {"name": "first"}
    failed = run(cluster, job("init", "echo never", pod={"initContainers": [first]}))
    pod = pods(cluster, "init")[0]
    assert conditions(failed)[-1] == "Failed"
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert pod["status"]["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert log(cluster, pod) == []


def test_a_quota_shows_in_an_event_only(cluster: FakeKubernetes) -> None:
    """No pod, no condition; and the Job runs when the quota is lifted."""
    cluster.faults.quota_forbids_pods("exceeded quota: small")
    cluster.create(job("poor", "true"), "shop")
    cluster.wait(lambda: len(events(cluster, "FailedCreate")) >= 2)
    assert all("is forbidden: exceeded quota: small" in each for each in events(cluster, "FailedCreate"))
    assert "active" not in cluster.get("jobs", "shop", "poor")["status"]
    cluster.faults.quota_forbids_pods(None)
    assert conditions(ended(cluster, "poor"))[-1] == "Complete"


def test_a_service_account_that_does_not_exist_keeps_pods_from_being_made(cluster: FakeKubernetes) -> None:
    """FailedCreate, with the account's name."""
    cluster.create(job("nobody", "true", pod={"serviceAccountName": "ghost"}), "shop")
    cluster.wait(lambda: events(cluster, "FailedCreate") != [])
    assert 'serviceaccount "ghost" not found' in events(cluster, "FailedCreate")[0]


def test_a_mesh_that_injects_its_container_keeps_the_job(cluster: FakeKubernetes) -> None:
    """A plain container added at admission goes on when the task has ended: the Job stays active."""
    cluster.inject_sidecar(container("exec sleep 30") | {"name": "istio-proxy"})
    cluster.create(job("meshed", "exit 0"), "shop")

    def task_ended() -> bool:
        states = [pod["status"].get("containerStatuses", []) for pod in pods(cluster, "meshed")]
        return ["terminated" in each["state"] for found in states for each in found] == [True, False]

    cluster.wait(task_ended)
    assert cluster.get("jobs", "shop", "meshed")["status"]["active"] == 1


@pytest.mark.parametrize(
    "spec",
    [
        {"backoffLimitPerIndex": 1, "completionMode": "Indexed", "completions": 2},
        {"completions": None, "parallelism": 2},
        {"pod": {"restartPolicy": "OnFailure"}},
    ],
)
def test_what_the_fake_does_not_play_it_refuses(cluster: FakeKubernetes, spec: Object) -> None:
    """501, rather than a Job that goes otherwise than on a real cluster."""
    with pytest.raises(Refused, match="does not play") as caught:
        cluster.create(job("other", "true", **spec), "shop")
    assert caught.value.code == 501


# CronJobs.


def test_a_slot_is_in_the_jobs_name(cluster: FakeKubernetes) -> None:
    """Minutes since 1970, and the annotation; a slot that is there already makes no second Job."""
    cluster.create(cronjob("nightly", "true"), "shop")
    made = cluster.fire("shop", "nightly", SLOT)
    assert made is not None
    assert made["metadata"]["name"] == f"nightly-{int(SLOT.timestamp()) // 60}"
    annotations = made["metadata"]["annotations"]
    assert annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-11-23T02:00:00Z"
    ended(cluster, made["metadata"]["name"])
    assert cluster.fire("shop", "nightly", SLOT) is None


def test_forbid_and_suspend_hold_a_slot_back(cluster: FakeKubernetes) -> None:
    """While a Job of an earlier slot runs, and while the CronJob is suspended."""
    cluster.create(cronjob("slow", "sleep 30"), "shop")
    assert cluster.fire("shop", "slow", SLOT) is not None
    assert cluster.fire("shop", "slow", SLOT.replace(hour=3)) is None
    assert events(cluster, "JobAlreadyActive") != []
    cluster.create(cronjob("off", "true", suspend=True), "shop")
    assert cluster.fire("shop", "off", SLOT) is None


def test_ended_jobs_are_kept_up_to_the_limit(cluster: FakeKubernetes) -> None:
    """The oldest go first."""
    cluster.create(cronjob("kept", "true", successfulJobsHistoryLimit=1), "shop")
    for hour in (1, 2, 3):
        made = cluster.fire("shop", "kept", SLOT.replace(hour=hour))
        assert made is not None
        name = made["metadata"]["name"]
        cluster.wait(lambda: "active" not in cluster.get("cronjobs", "shop", "kept")["status"])
    cluster.wait(lambda: [each["metadata"]["name"] for each in cluster.items("jobs", "shop")] == [name])
