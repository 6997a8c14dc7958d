"""``oneoff kube sync`` keeps the CronJobs of an environment as the schedules of its release are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.cli import Ended
from tests.kubernetes import answers
from tests.kubernetes.kinds import Kind, Object
from tests.kubernetes.objects import CONFIGMAPS, CRONJOBS, conditions, cronjob, ended
from tests.kubernetes.resources import MERGE
from tests.kubernetes.shop import DIGEST, LAPTOP, NAMESPACE, TASKS, Shop, shop
from tests.kubernetes.wire import Wire

SYNC = ("kube", "sync", "--env", "production")
CONFIRMED = (*SYNC, "--confirm", "production")
SHOWN = (*SYNC, "--dry-run", "--exit-code")
SLOT = datetime(2026, 12, 1, 1, 0, tzinfo=UTC)
OTHERS = {
    "weekly": """
@admin.task(schedule="@weekly")
def weekly(ctx: oneoff.Context) -> None:
    print("week")
""",
    "slow": """
@admin.task(schedule="@hourly", confirm="It locks the table. Go on?")
def slow(ctx: oneoff.Context) -> None:
    __import__("time").sleep(3)
    print("done")
""",
    "broken": """
@admin.task(schedule="@daily")
def broken(ctx: oneoff.Context) -> None:
    raise RuntimeError("no")
""",
}
BARE = LAPTOP.format(more="") + 'schedule = "*/30 * * * *"\ntime_zone = "Europe/Berlin"\ntimeout = 600\n'


def release(live: Shop, tasks: str, revision: int = 2) -> None:
    """Have a release with these tasks serve."""
    (live.image / "admin.py").write_text(tasks)
    live.deploy(revision=revision, image_id=f"registry.example/shop@sha256:{str(revision) * 64}")


def actions(ended: Ended) -> dict[str, str]:
    """What becomes of each CronJob, of ``-o json``."""
    assert ended.out, ended.err
    return {one["name"]: one["action"] for one in ended.json["schedules"]}


def shown(live: Shop, *more: str) -> dict[str, Any]:
    """Each schedule as a dry run shows it."""
    return {one["name"]: one for one in live(*SYNC, "--dry-run", "-o", "json", *more).json["schedules"]}


def there(live: Shop) -> dict[str, Object]:
    """The CronJobs of the namespace."""
    return {one["metadata"]["name"]: one for one in live.cluster.items("cronjobs", NAMESPACE)}


def change(live: Shop, name: str, patch: Object, manager: str = "kubectl-edit") -> None:
    """As somebody else with a client of their own."""
    answer = Wire(live.cluster.url).send(
        "PATCH", f"{CRONJOBS}/{name}", patch, content_type=MERGE, fieldManager=manager
    )
    assert answer.code == 200, answer.text


def fire(live: Shop, name: str, at: datetime = SLOT) -> Object:
    """Let a slot be due, and wait for the end of its Job."""
    job = live.cluster.fire(NAMESPACE, name, at)
    assert job is not None
    return ended(live.cluster, job["metadata"]["name"])


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Shop]:
    """An app with four schedules."""
    with shop(tmp_path, tasks=TASKS + "".join(OTHERS.values())) as found:
        yield found


def test_a_schedule_becomes_a_cronjob(live: Shop) -> None:
    """Shown first, refused where nobody confirms it, applied once; its runs name who applied it."""
    before = live(*SHOWN)
    assert (before.code, "created  web-nightly" in before.out) == (10, True), before.err
    refused = live(*SYNC)
    assert (refused.code, there(live)) == (3, {})
    assert "next:  oneoff kube sync --env production --confirm production" in refused.err
    applied = live(*CONFIRMED)
    assert (applied.code, "applied by admin" in applied.err) == (0, True), applied.err
    made = there(live)["web-nightly"]
    assert (
        made["spec"]
        | {
            "schedule": "0 2 * * *",
            "timeZone": "Europe/Berlin",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 5,
        }
        == made["spec"]
    )
    (container,) = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == DIGEST
    for version in ("1.30", "1.37"):
        kubernetes_validate.validate(made, version, strict=True)
    again = live(*SHOWN)
    assert (again.code, "unchanged  web-nightly" in again.out) == (0, True), again.out
    assert conditions(fire(live, "web-nightly")) == ["SuccessCriteriaMet", "Complete"]
    (run,) = live.in_pod("runs", "-o", "json").json
    assert (run["id"], run["status"]) == ("web-nightly-29934780", "succeeded")
    assert (run["actor"]["kind"], run["actor"]["name"]) == ("schedule", "cron:web-nightly")
    assert (run["confirmation"], run["actor"]["claims"]["synced_by"]) == ("--confirm", "admin")
    assert (run["launch"]["schedule"], run["launch"]["slot"]) == (
        "web-nightly",
        "2026-12-01T01:00:00.000000Z",
    )
    (told,) = live.in_pod("audit", "log", "--type", "requested", "-o", "json").json
    claims = told["event"]["data"]["initiator"]["claims"]
    assert claims["synced_at"] == run["actor"]["claims"]["synced_at"]
    assert claims["synced_by"] == run["actor"]["opaque_claims"]["synced_by"] != "admin"
    assert live.in_pod("audit", "verify").code == 0


def test_a_protected_environment_is_typed(live: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal; its tasks' own questions stand beside what is confirmed."""
    release(live, TASKS + OTHERS["slow"])
    monkeypatch.setenv("KUBECONFIG", str(live.laptop.root / "kubeconfig"))
    with live.laptop.terminal(*SYNC) as typist:
        typist.read_until("Type production to go on")
        assert "asks: It locks the table. Go on?" in typist.seen
        assert there(live) == {}
        typist.type("production\n")
        assert typist.end() == 0
    assert there(live).keys() == {"web-nightly", "web-slow"}
    assert "environment typed" in there(live)["web-slow"]["metadata"]["annotations"]["oneoff.dev/synced"]


@pytest.mark.slow
def test_a_slot_is_run_once(three: Shop) -> None:
    """However many Jobs or pods are made for it: the second runs nothing, and ends as the first did."""
    assert three(*CONFIRMED).code == 0
    for name, condition in (("web-nightly", "Complete"), ("web-broken", "Failed")):
        job = fire(three, name)
        assert condition in conditions(job)
        Wire(three.cluster.url).send("DELETE", f"{job_path(job)}", {"propagationPolicy": "Foreground"})
        three.cluster.wait(lambda job=job: job["metadata"]["uid"] not in uids(three))  # type: ignore[misc]
        again = fire(three, name)
        assert (again["metadata"]["name"], condition in conditions(again)) == (job["metadata"]["name"], True)
        assert again["metadata"]["uid"] != job["metadata"]["uid"]
        printed = three("logs", job["metadata"]["name"], "--env", "production")
        assert "it is not started again" in printed.out + printed.err, printed
        three.cluster.wait(lambda name=name: not there(three)[name]["status"].get("active"))  # type: ignore[misc]
    three.cluster.faults.start_twice()
    job = fire(three, "web-slow")
    assert "Complete" in conditions(job)
    runs = three.in_pod("runs", "-o", "json").json
    assert sorted((run["task"], run["status"]) for run in runs) == [
        ("broken", "failed"),
        ("nightly", "succeeded"),
        ("slow", "succeeded"),
    ]
    assert len(three.in_pod("audit", "log", "--type", "starting", "-o", "json").json) == 3


def uids(live: Shop) -> set[str]:
    return {job["metadata"]["uid"] for job in live.jobs()}


def job_path(job: Object) -> str:
    return f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job['metadata']['name']}"


@pytest.mark.slow
def test_a_schedule_that_left_the_code_goes(three: Shop) -> None:
    """What runs at that moment goes on; a renamed task has its new one, and what changes is shown."""
    assert three(*CONFIRMED).code == 0
    running = three.cluster.fire(NAMESPACE, "web-slow", SLOT)
    assert running is not None
    assert three.cluster.fire(NAMESPACE, "web-slow", SLOT + timedelta(hours=1)) is None  # missed: Forbid
    three.cluster.wait(lambda: three.in_pod("runs", "--status", "running", "-o", "json").json != [])
    changed = TASKS.replace('"0 2 * * *"', '"30 3 * * *"') + OTHERS["weekly"].replace("weekly(", "sundays(")
    release(three, changed + OTHERS["broken"].replace('@admin.task(schedule="@daily")', "@admin.task"))
    found = shown(three)
    assert {name: one["action"] for name, one in found.items()} == {
        "web-nightly": "changed",
        "web-sundays": "created",
        "web-weekly": "deleted",
        "web-slow": "deleted",
        "web-broken": "deleted",
    }
    lines = found["web-nightly"]["difference"].splitlines()
    assert {'-  schedule: "0 2 * * *"', '+  schedule: "30 3 * * *"'} < set(lines)
    assert f'+            image: "registry.example/shop@sha256:{"2" * 64}"' in lines
    assert not any("oneoff.dev/" in line for line in lines)
    assert three(*CONFIRMED).code == 0
    three.cluster.wait(lambda: there(three).keys() == {"web-nightly", "web-sundays"})
    job = ended(three.cluster, running["metadata"]["name"])
    assert "Complete" in conditions(job)
    assert "ownerReferences" not in job["metadata"]
    assert job["spec"]["ttlSecondsAfterFinished"] == 3 * 86_400
    (run,) = three.in_pod("runs", "-o", "json").json
    assert (run["task"], run["status"]) == ("slow", "succeeded")


def test_what_an_operator_suspends_stays_so(live: Shop) -> None:
    """It is no difference, and a new release changes all but that."""
    assert live(*CONFIRMED).code == 0
    change(live, "web-nightly", {"spec": {"suspend": True}})
    before = shown(live)["web-nightly"]
    assert (before["action"], before["suspended"]) == ("unchanged", True)
    release(live, TASKS.replace('"0 2 * * *"', '"30 3 * * *"'))
    assert live(*CONFIRMED).code == 0
    spec = there(live)["web-nightly"]["spec"]
    assert (spec["suspend"], spec["schedule"]) == (True, "30 3 * * *")
    assert live.cluster.fire(NAMESPACE, "web-nightly", SLOT) is None


@pytest.mark.slow
def test_fields_of_others_are_taken_only_if_told(live: Shop) -> None:
    """The conflict names the field and who has it; until it is settled nothing at all is changed."""
    assert live(*CONFIRMED).code == 0
    change(live, "web-nightly", {"spec": {"schedule": "0 5 * * *"}})
    release(live, TASKS + OTHERS["weekly"])
    refused = live(*CONFIRMED)
    assert (refused.code, set(there(live))) == (3, {"web-nightly"})
    assert '.spec.schedule ("kubectl-edit" using batch/v1)' in refused.out
    assert "oneoff kube sync --env production --confirm production --adopt" in refused.err
    adopted = live(*CONFIRMED, "--adopt")
    assert adopted.code == 0, adopted.err
    assert there(live)["web-nightly"]["spec"]["schedule"] == "0 2 * * *"
    change(live, "web-nightly", {"spec": with_variable(there(live)["web-nightly"], "DEBUG")}, "kubectl-set")
    release(live, TASKS, revision=3)
    added = live(*CONFIRMED, "--adopt")
    assert added.code == 3
    assert "env[DEBUG] (kubectl-set)" in added.out
    assert "delete cronjob web-nightly --cascade=orphan" in added.err


def with_variable(made: Object, name: str) -> Object:
    """Its spec, with a variable more."""
    spec: Object = made["spec"]
    spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"].append(
        {"name": name, "value": "1"}
    )
    return {"jobTemplate": spec["jobTemplate"]}


@pytest.mark.slow
def test_others_are_left_alone(live: Shop) -> None:
    """CronJobs of other people, environments and workloads; one that has a name of ours is a conflict."""
    assert live(*CONFIRMED).code == 0
    for name in ("backup", "web-weekly"):
        live.cluster.create(cronjob(name, "true"), NAMESPACE)
    for name, about in (
        ("web-old", {"environment": "staging"}),
        ("worker-old", {"workload": "deployment/worker"}),
    ):
        copied(live, name, about)
    found = live(*SYNC, "--dry-run")
    assert "web-old" not in found.out + found.err
    assert "deployment/worker is gone, and its schedules still run" in found.err
    assert shown(live).keys() == {"web-nightly"}
    staging = live("kube", "sync", "--env", "staging", "--yes")
    assert staging.code == 3
    assert "belongs to deployment/web of the environment production" in staging.out
    release(live, TASKS + OTHERS["weekly"])
    refused = shown(live)
    assert {name: one["action"] for name, one in refused.items()} == {
        "web-nightly": "changed",
        "web-weekly": "conflict",
    }
    assert "was made by" in refused["web-weekly"]["why"]
    assert live(*CONFIRMED, "--adopt").code == 3  # its own container would stay in the pod
    assert there(live)["web-weekly"]["spec"]["schedule"] == "0 2 * * *"
    assert there(live).keys() == {"web-nightly", "web-weekly", "backup", "web-old", "worker-old"}
    rendered(live, "web-gone")
    left = shown(live)["web-gone"]
    assert (left["action"], left["why"]) == ("left", "left the code, and was made by argocd")
    assert shown(live, "--adopt")["web-gone"]["action"] == "deleted"


def copied(live: Shop, name: str, about: Object) -> None:
    """A CronJob as a sync of another environment or workload has applied it."""
    made = there(live)["web-nightly"]
    made["metadata"] |= {"name": name, "uid": name}
    made["metadata"]["annotations"] |= {f"oneoff.dev/{key}": value for key, value in about.items()}
    live.cluster.load([made])


def rendered(live: Shop, name: str) -> None:
    """A CronJob that was rendered for this environment, and applied by somebody else."""
    made = there(live)["web-nightly"]
    made["metadata"] |= {"name": name, "uid": name}
    made["metadata"]["managedFields"] = [
        one | {"manager": "argocd"}
        for one in made["metadata"]["managedFields"]
        if one["operation"] == "Apply"
    ]
    live.cluster.load([made])


@pytest.mark.slow
def test_nothing_is_half_applied_where_it_can_be_known(three: Shop) -> None:
    """A missing right, and what the server would refuse of any of them, come before the first apply."""
    three.cluster.access.deny("delete", "cronjobs")
    denied = three(*CONFIRMED)
    assert (denied.code, there(three)) == (3, {})
    assert "you may not delete cronjobs.batch" in denied.err
    three.cluster.access.denials.clear()
    three.cluster.resources.admit.append(refusing("web-weekly", after=0))
    refused = three(*CONFIRMED)
    assert (refused.code, there(three)) == (3, {})
    assert "web-weekly: a rule of the cluster refuses it" in refused.err


@pytest.mark.slow
def test_what_was_applied_is_said_and_a_second_sync_goes_on(three: Shop) -> None:
    """Where the last of four fails although the server had taken it on trial."""
    three.cluster.resources.admit.append(refusing("web-weekly", after=1))
    stopped = three(*CONFIRMED)
    assert stopped.code == 1
    assert "error: web-weekly could not be created: a rule of the cluster refuses it" in stopped.err
    assert "done: web-broken (created), web-nightly (created), web-slow (created)" in stopped.err
    assert "not done: web-weekly (created)" in stopped.err
    assert "not done: oneoff-catalogue-web (created)" in stopped.err
    assert there(three).keys() == {"web-broken", "web-nightly", "web-slow"}
    three.cluster.resources.admit.pop()
    three.cluster.faults.lose_next_answer(method="PATCH", path="*/web-weekly*")
    assert actions(three(*CONFIRMED, "-o", "json")) == {
        "web-broken": "unchanged",
        "web-nightly": "unchanged",
        "web-slow": "unchanged",
        "web-weekly": "created",
    }
    assert three(*SHOWN).code == 0


def refusing(name: str, *, after: int) -> Any:
    """An admission that refuses a CronJob, save the first times that it sees it."""
    seen = [0]

    def admit(kind: Kind, obj: Object) -> None:
        if (kind.kind, obj["metadata"]["name"]) == ("CronJob", name):
            seen[0] += 1
            if seen[0] > after:
                raise answers.not_permitted(kind, name, "exceeded quota: schedules")

    return admit


@pytest.mark.slow
def test_a_bare_command_is_collected(live: Shop) -> None:
    """The image has no oneoff: the CronJob runs the command, and a Job tells its slot and who synced."""
    live.laptop.write(oneoff_toml=BARE)
    where = ("--env", "staging", "--bare")
    assert live("kube", "sync", *where, "--yes", "--reason", "OPS-7").code == 0
    made = there(live)["web-db-migrate"]
    kubernetes_validate.validate(made, "1.37", strict=True)
    assert made["spec"]["successfulJobsHistoryLimit"] == 100  # nothing else tells of its runs
    (container,) = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c", "echo migrating; exit $${CODE:-0}"]
    assert live.cluster.items("configmaps", NAMESPACE) == []
    fire(live, "web-db-migrate")
    live.laptop.write(oneoff_toml=LAPTOP.format(more=""))
    assert live("kube", "sync", *where, "--yes").code == 0
    live.cluster.wait(lambda: there(live) == {})
    collected = live("kube", "collect", "--env", "staging", "-o", "json")
    (run,) = collected.json
    assert (run["id"], run["app"], run["status"]) == ("web-db-migrate-29934780", "laptop", "succeeded")
    assert (run["actor"]["name"], run["actor"]["claims"]["synced_by"]) == ("cron:web-db-migrate", "admin")
    assert (run["confirmation"], run["reason"]) == ("--yes", "OPS-7")
    assert run["launch"]["slot"] == "2026-12-01T01:00:00.000000Z"
    assert live("kube", "collect", "--env", "staging").out == "nothing to collect\n"


@pytest.mark.slow
def test_the_catalogue_is_published(live: Shop) -> None:
    """Whoever never asked the release reads it there, and the next release's takes its place."""
    assert live(*CONFIRMED).code == 0
    (made,) = live.cluster.items("configmaps", NAMESPACE)
    assert made["metadata"]["annotations"]["oneoff.dev/release"] == DIGEST
    listed = live("tasks", "--env", "production", "-o", "json", environ={"XDG_STATE_HOME": str(live.image)})
    assert "nightly" in [task["name"] for task in listed.json]
    Wire(live.cluster.url).send("DELETE", f"{CONFIGMAPS}/{made['metadata']['name']}")
    live.cluster.access.deny("patch", "configmaps")
    without = live(*SYNC, "--dry-run", "-o", "json")
    assert (without.code, without.json["catalogue"]) == (0, None)
    assert any("publish the catalogue" in note for note in without.json["notes"])


@pytest.mark.slow
def test_what_cannot_be_scheduled(live: Shop) -> None:
    """A task that needs what no schedule gives, and an image without oneoff: with the next step."""
    needs = OTHERS["weekly"].replace("ctx: oneoff.Context", "ctx: oneoff.Context, since: int")
    release(live, TASKS + needs)
    refused = live(*CONFIRMED)
    assert (refused.code, there(live)) == (3, {})
    assert "weekly has a schedule, and needs --since" in refused.err
    live.laptop.write(
        oneoff_toml=BARE.replace('container = "web"', 'container = "web", program = ["nothing"]')
    )
    without = live(*CONFIRMED)
    assert without.code == 3
    assert "an image without oneoff: add --bare" in without.err
    alone = live(*SYNC, "--exit-code")
    assert (alone.code, "add --dry-run" in alone.err) == (2, True)


@pytest.mark.slow
def test_a_quota_that_is_full_now_is_a_note(live: Shop) -> None:
    """When the schedule is due, it may not be."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    live.cluster.load(
        [
            quota
            | {"spec": {"hard": {"pods": "2"}}, "status": {"hard": {"pods": "2"}, "used": {"pods": "2"}}}
            | {"metadata": {"name": "small", "namespace": NAMESPACE, "uid": "q", "resourceVersion": "1"}}
        ]
    )
    found = live("kube", "sync", "--env", "staging", "--bare", "--dry-run")
    assert (found.code, found.out) == (0, "no task has a schedule\n"), found.err
    live.laptop.write(oneoff_toml=BARE)
    found = live("kube", "sync", "--env", "staging", "--bare", "--dry-run")
    assert (found.code, "created  web-db-migrate" in found.out) == (0, True), found.err
    assert "note: ResourceQuota small has 2 of 2 pods in use" in found.err
