from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import timedelta
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.errors import NotDerivable
from oneoff.kube.checks.judging import counting
from oneoff.kube.checks.place import of_objects
from oneoff.kube.derivation import jobs
from oneoff.kube.derivation.cronjobs import cronjob
from oneoff.kube.derivation.jobs import KINDS, Launch, Made, job
from oneoff.kube.names import MAX_SCHEDULED, cronjob_name, job_name, label_value
from oneoff.kube.selectors import counted_by, selects
from oneoff.schedules.schedule import schedule
from oneoff.settings import KubernetesSettings, SecretKey
from oneoff.tasks.task import NATURES
from oneoff.types import RUN_ID, RunId
from tests import recorded
from tests.unit.kube.samples import VERSIONS, found, workload

STORE = SecretKey("db", "store")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def launch(**changes: Any) -> Launch:
    """A run of ``purge``."""
    given: dict[str, Any] = {
        "task": "purge",
        "environment": "production",
        "run_id": RunId("r1"),
        "actor": "ann",
    }
    return Launch(**{**given, **changes})


def a_job(
    source: dict[str, Any] | None = None, *, settings: dict[str, Any] | None = None, **changes: Any
) -> Made:
    """The Job of a run."""
    where = KubernetesSettings(**{"store": STORE, **(settings or {})})
    return job(found(source or workload()), where, launch(**changes))


def a_cronjob(expression: str, zone: str = "Europe/Berlin", **changes: Any) -> dict[str, Any]:
    """The CronJob of a task."""
    where = KubernetesSettings(store=STORE, namespace="shop")
    given = launch(run_id=None, actor="cron:x", **changes)
    return cronjob(found(workload()), where, given, schedule(expression, zone)).object


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_made_is_valid(version: str) -> None:
    """The schema of every version takes it, and knows every field."""
    source = recorded.object_of("workload-stable", "Deployment", "web")
    settings = {"container": "web", "sidecars": ("nginx",)}
    for made in (
        a_job(source, settings=settings).object,
        a_job(source, settings=settings, command=("npm", "run", "x"), environ={"A": "1"}).object,
        a_job(kind=KINDS["migration"], timeout=timedelta(seconds=5)).object,
        a_job(kind=KINDS["resumable"]).object,
        a_job(kind=KINDS["resumable"], command=("true",)).object,
        a_cronjob("0 2 * * *"),
        a_cronjob("@every 90m", "UTC", command=("true",)),
    ):
        kubernetes_validate.validate(made, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**a_job().object, "specs": {}}, version, strict=True)


def test_the_settings_of_a_job() -> None:
    """It is run once, bounded in time, and no second pod starts beside a first one."""
    spec = a_job(timeout=timedelta(minutes=5)).object["spec"]
    assert spec["backoffLimit"] == 0
    assert (spec["completions"], spec["parallelism"]) == (1, 1)
    assert spec["activeDeadlineSeconds"] == 300 + 600
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["ttlSecondsAfterFinished"] == 3 * 86_400
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": "app", "operator": "In", "values": [2, 3, 5]}
    assert a_job().object["spec"]["activeDeadlineSeconds"] == 86_400 + 600
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_settings_of_a_job_that_resumes() -> None:
    """What the cluster does to its pod is no failure of the run, and what the run itself says is its end."""
    spec = a_job(kind=KINDS["resumable"]).object["spec"]
    assert spec["backoffLimit"] == 3
    ignored, ended = spec["podFailurePolicy"]["rules"]
    assert ignored == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    assert ended["onExitCodes"]["values"] == [1, 2, 3, 5, 6]
    head = spec["template"]["metadata"]
    assert "cluster-autoscaler.kubernetes.io/safe-to-evict" not in head["annotations"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 60
    bare = a_job(kind=KINDS["resumable"], command=("true",)).object["spec"]
    assert bare["podFailurePolicy"]["rules"] == [ignored]


@pytest.mark.parametrize(
    ("kind", "given", "expected"), [("one-shot", 3, 30), ("migration", 3, 60), ("one-shot", 99, 99)]
)
def test_a_task_gets_time_to_stop(kind: str, given: int, expected: int) -> None:
    """At least what its kind wants, more where the app has more; and no node is cleared of it."""
    made = a_job(workload(spec={"terminationGracePeriodSeconds": given}), kind=KINDS[kind]).object
    template = made["spec"]["template"]
    assert template["spec"]["terminationGracePeriodSeconds"] == expected
    assert template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_the_run_knows_what_it_is() -> None:
    """Its command names task, environment and id; actor, release and store come by variables of the pod."""
    made = a_job(arguments=("--reason", "it's $(HOME)"), image="shop@sha256:1").object
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [
        *("oneoff", "run", "purge", "--env", "production", "--run-id", "r1"),
        *("--here", "--result-file", "/dev/termination-log", "--reason", "it's $$(HOME)"),
    ]
    sources = {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}
    assert sources == {
        "ONEOFF_INTENT": {"fieldRef": {"fieldPath": "metadata.annotations['oneoff.dev/intent']"}},
        "ONEOFF_STORE": {"secretKeyRef": {"name": "db", "key": "store"}},
    }
    for head in (made["metadata"], made["spec"]["template"]["metadata"]):
        assert head["annotations"]["oneoff.dev/actor"] == "ann"
        assert head["annotations"]["oneoff.dev/release"] == "shop@sha256:1"
        assert head["annotations"]["oneoff.dev/result"] == "expected"
        assert head["labels"]["oneoff.dev/run-id"] == "r1"
    assert made["metadata"]["annotations"]["oneoff.dev/departures"].startswith("image shop@sha256:1")


def test_both_sides_are_recorded() -> None:
    """The digests of the workload are on the Job, and those of the run where they are others."""
    same, other = (
        a_job().object["metadata"]["annotations"],
        a_job(image="x").object["metadata"]["annotations"],
    )
    assert json.loads(same[jobs.IDENTITY]) == json.loads(other[jobs.IDENTITY])
    assert jobs.DIFFERS not in same
    assert json.loads(other[jobs.DIFFERS]).keys() == {"image"}


def test_a_pinned_image_is_the_apps_own() -> None:
    """Both sides are compared by the digest, and the record names the release by it."""
    digest = f"shop@sha256:{'4' * 64}"
    annotations = a_job(pinned=digest).object["metadata"]["annotations"]
    assert annotations["oneoff.dev/release"] == digest
    assert jobs.DIFFERS not in annotations
    assert jobs.DEPARTURES not in annotations


def test_a_run_has_room_to_write() -> None:
    """For its log and its outcome, in an image whose folders its user may not write."""
    source = workload(
        volumeMounts=[{"name": "cfg", "mountPath": "/cfg"}],
        spec={"volumes": [{"name": "cfg", "emptyDir": {}}]},
    )
    made = a_job(source)
    spec = made.object["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["volumes"][-1] == {"name": "oneoff-state", "emptyDir": {}}
    assert container["volumeMounts"][-1] == {"name": "oneoff-state", "mountPath": "/run/oneoff"}
    assert {"name": "ONEOFF_STATE", "value": "/run/oneoff"} in container["env"]
    assert made.identity.differs == ()
    bare = a_job(source, command=("npm",)).object["spec"]["template"]["spec"]
    assert [one["name"] for one in bare["volumes"]] == ["cfg"]


@pytest.mark.parametrize(
    ("closed", "mounts", "dry_run", "expected"),
    [
        (True, [], True, True),
        (True, [], False, False),
        (False, [], True, False),
        (True, ["/tmp/"], True, False),
    ],
    ids=["no place", "a real run", "an open image", "the app's own place"],
)
def test_a_dry_run_has_a_place_for_temporary_files(
    closed: bool, mounts: list[str], dry_run: bool, expected: bool
) -> None:
    """It copies databases and lends files to the task; a real run has what the app has."""
    source = workload(
        securityContext={"readOnlyRootFilesystem": closed},
        volumeMounts=[{"name": "own", "mountPath": path} for path in mounts],
        spec={"volumes": [{"name": "own", "emptyDir": {}}]},
    )
    made = a_job(source, dry_run=dry_run)
    spec = made.object["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    mount = {"name": "oneoff-tmp", "mountPath": "/tmp"}
    assert (mount in container["volumeMounts"]) is expected
    assert ({"name": "oneoff-tmp", "emptyDir": {}} in spec["volumes"]) is expected
    assert made.identity.differs == ()


def test_a_bare_command_runs_as_it_is() -> None:
    """Nothing of oneoff is in the image: no result is expected, and no store is needed."""
    made = a_job(settings={"store": None}, command=("npm", "$x"), environ={"A": "$(B)"}).object
    template = made["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["args"] == ["npm", "$$x"]
    assert container["env"] == [{"name": "A", "value": "$$(B)"}]
    assert "oneoff.dev/result" not in template["metadata"]["annotations"]
    assert "podFailurePolicy" not in made["spec"]


def test_a_run_without_a_store_is_refused() -> None:
    """Its record would be lost with the pod; the workload's own variable will do, and envFrom is believed."""
    with pytest.raises(NotDerivable, match="no ONEOFF_STORE"):
        a_job(settings={"store": None})
    for own in (
        {"env": [{"name": "ONEOFF_STORE", "value": "postgresql://x"}]},
        {"envFrom": [{"secretRef": {"name": "all"}}]},
    ):
        assert a_job(workload(**own), settings={"store": None}).object


def test_the_same_run_is_the_same_job() -> None:
    """Whoever creates it a second time meets the first one."""
    assert a_job().object == a_job().object


@given(st.from_regex(r"[a-z0-9]+([-.:][a-z0-9]+)*", fullmatch=True), st.from_regex(RUN_ID, fullmatch=True))
def test_names_of_jobs(task: str, run_id: str) -> None:
    """A name of a host, with the whole id in it."""
    name = job_name(task[:63].strip("-.:"), run_id)
    assert len(name) <= 63
    assert DNS_LABEL.fullmatch(name)
    assert name.endswith(run_id)


@given(
    st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    st.text("abc-.:09", min_size=1, max_size=63),
)
def test_names_of_cronjobs(owner: str, task: str) -> None:
    """Short enough that the name of each of its Jobs is the id of a run."""
    name = cronjob_name(owner, task)
    assert len(name) <= MAX_SCHEDULED <= 52
    assert DNS_LABEL.fullmatch(name)
    assert RUN_ID.fullmatch(f"{name}-29923274")


def test_long_names_stay_apart() -> None:
    """What was cut off is in the mark."""
    names = {cronjob_name("web", f"recalculate-all-of-the-totals-{n}") for n in range(50)}
    assert len(names) == 50
    assert cronjob_name("web", "clean") == "web-clean"
    assert cronjob_name("web", "a.b") != cronjob_name("web", "a-b") == "web-a-b"
    assert label_value("reports:daily") == "reports_daily"


def test_the_settings_of_a_cronjob() -> None:
    """The zone is said, no run begins beside another, and one that could not start soon is left out."""
    made = a_cronjob("0 2 * * *")
    spec = made["spec"]
    assert made["metadata"]["name"] == "web-purge"
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (
        "0 2 * * *",
        "Europe/Berlin",
        "Forbid",
    )
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 5)
    inner = spec["jobTemplate"]["spec"]
    assert "ttlSecondsAfterFinished" not in inner
    (container,) = inner["template"]["spec"]["containers"]
    assert "$(ONEOFF_JOB)" in container["args"]
    fields = {one["name"]: one.get("valueFrom") for one in container["env"]}
    assert fields["ONEOFF_JOB"] == {
        "fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}
    }
    assert inner["template"]["metadata"]["annotations"]["oneoff.dev/actor"] == "cron:web-purge"


@pytest.mark.parametrize(
    ("expression", "kept"), [("0 2 * * *", 3), ("0 * * * *", 72), ("* * * * *", 100), ("@monthly", 3)]
)
def test_jobs_of_a_bare_command_stay_until_they_are_collected(expression: str, kept: int) -> None:
    """Three days of them, if that is not too many: nothing else tells of their runs."""
    spec = a_cronjob(expression, command=("true",))["spec"]
    assert spec["successfulJobsHistoryLimit"] == kept
    assert spec["failedJobsHistoryLimit"] == max(kept, 5)


@pytest.mark.parametrize(
    ("expression", "timeout", "start", "active"),
    [
        ("0 2 * * *", None, 3600, 86_400),
        ("* * * * *", None, 60, 600),
        ("*/10 * * * *", None, 300, 600),
        ("0 * * * *", timedelta(hours=3), 1800, 3 * 3600 + 600),
        ("@weekly", None, 3600, 86_400 + 600),
    ],
)
def test_deadlines_of_a_schedule(expression: str, timeout: timedelta | None, start: int, active: int) -> None:
    """A run starts within half of the period, and ends before the next, if its task has no limit."""
    spec = a_cronjob(expression, timeout=timeout)["spec"]
    assert spec["startingDeadlineSeconds"] == start
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == active


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "1", "b": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "z", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "z", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "z", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_selectors(selector: dict[str, Any], expected: bool) -> None:
    """As Kubernetes matches them: a subset is enough."""
    assert selects(selector, {"a": "1", "c": "3"}) is expected


def test_who_would_count_the_run() -> None:
    """The app's own labels are counted by its Service and its budget; those of a run are not."""
    there = recorded.objects("workload-stable")
    app = found(recorded.object_of("workload-stable", "Deployment", "web")).pod_labels
    run = a_job().object["spec"]["template"]["metadata"]["labels"]
    assert counted_by(there, app) == ["Service web", "PodDisruptionBudget web"]
    assert counted_by(there, run) == []
    assert counting(of_objects(there, "shop"), app) == ["Service web", "PodDisruptionBudget web"]
    assert counting(of_objects(there, "elsewhere"), app) == []
    headless = deepcopy(there)
    for one in headless:
        if one["kind"] == "Service":
            del one["spec"]["selector"]
    assert counted_by(headless, app) == ["PodDisruptionBudget web"]


def test_every_nature_of_a_task_has_its_kind_of_job() -> None:
    """Whatever a task may be declared as."""
    assert tuple(KINDS) == NATURES
