"""A pod that cannot record how it ended: the store is told what the cluster knows, by whoever sees it."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.kubernetes.objects import conditions
from tests.kubernetes.shop import LAPTOP, Shop

STAGING = ("--env", "staging")
DEAF = """
import signal
import time
from datetime import timedelta

import oneoff

admin = oneoff.App("shop")


@admin.task(timeout=timedelta(minutes=1), lock="table")
def count(ctx: oneoff.Context) -> None:
    "Count for ever, and listen to nobody."
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    print("deaf", flush=True)
    while True:
        time.sleep(0.1)
"""
COUNT = ("run", "count", *STAGING, "--up-to", "99", "--pause", "2", "--run-id", "r1")


def record(live: Shop, run_id: str = "r1") -> dict[str, Any]:
    """The run as the environment's store has it."""
    shown = live.in_pod("show", run_id, "-o", "json")
    assert shown.code == 0, shown.err
    found: dict[str, Any] = shown.json
    return found


def told(live: Shop, kind: str) -> list[dict[str, Any]]:
    """What the log has of the run, of events of this kind."""
    listed = live.in_pod("audit", "log", "--type", kind, "-o", "json").json
    return [one["event"]["data"] for one in listed]


def is_running(live: Shop) -> bool:
    shown = live.in_pod("show", "r1", "-o", "json")
    return shown.code == 0 and shown.json["status"] == "running"


def is_over(live: Shop) -> bool:
    return any({"Complete", "Failed"} & {*conditions(job)} for job in live.jobs())


def detached(live: Shop, *command: str) -> None:
    """A run that nobody watches, at work."""
    started = live(*(command or COUNT), "--detach")
    assert started.code == 0, started.err
    live.cluster.wait(lambda: is_running(live))


def out_of_memory(live: Shop) -> None:
    live.cluster.faults.oom("count-r1-*")


def deaf(live: Shop, settings: str = "") -> tuple[str, ...]:
    """A task that cannot be asked to end; the command that runs it."""
    (live.image / "admin.py").write_text(DEAF)
    live.laptop.write(oneoff_toml=LAPTOP.format(more=f", {settings}" if settings else ""))
    return ("run", "count", *STAGING, "--run-id", "r1")


def test_out_of_memory(live: Shop) -> None:
    """The watcher says so, and so does the record: at once, and by what it is known."""
    process = live.start(*COUNT)
    live.cluster.wait(lambda: is_running(live))
    out_of_memory(live)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1, err
    assert "run r1 failed: out of memory: its limit is reached" in err
    run = record(live)
    assert (run["status"], run["error"]) == ("failed", "out of memory: its limit is reached")
    assert (run["exit_code"], run["parameters"]["up_to"]) == (137, 99)
    (outcome,) = told(live, "outcome")
    (job,) = live.jobs()
    evidence = f"its Job tells: count-r1, uid {job['metadata']['uid']}: OOMKilled"
    assert outcome["outcome"]["evidence"] == evidence
    assert live.in_pod("audit", "verify").code == 0
    for again in ("wait", "cancel"):
        assert "run r1 failed: out of memory" in live(again, "r1", *STAGING).out
    assert live("kube", "collect", *STAGING).out == "nothing to collect\n"
    assert len(told(live, "outcome")) == 1


def test_before_the_store_heard_of_it(live: Shop) -> None:
    """The record is made, with who asked for it and how."""
    live.cluster.faults.oom("count-r1-*")
    ended = live(*COUNT, "-o", "json")
    assert (ended.code, ended.json["status"]) == (1, "failed"), ended.err
    run = record(live)
    assert (run["status"], run["actor"]["name"], run["parameters"]["up_to"]) == ("failed", "admin", 99)
    assert live.in_pod("audit", "verify").code == 0


def test_what_never_started(live: Shop) -> None:
    """An attempt that came to nothing is on record, too."""
    live.laptop.write(oneoff_toml=LAPTOP.format(more=", start_within = 2"))
    live.cluster.faults.image_missing("registry.example/other:*")
    ended = live(*COUNT, "--image", "registry.example/other:1", "--yes")
    assert ended.code == 3, ended.err
    run = record(live)
    assert run["status"] == "refused"
    assert "registry.example/other:1" in run["error"]
    assert live.in_pod("audit", "verify").code == 0


def test_past_its_deadline(hasty: Shop) -> None:
    """Deaf to the signal, it is killed after its grace; the record and the watcher say that it timed out."""
    ended = hasty(*deaf(hasty, "start_within = 2"))  # 62 seconds in all, of which the cluster makes 3
    assert ended.code == 6, ended.err
    assert "run r1 timed out: Job was active longer than specified deadline" in ended.err
    run = record(hasty)
    assert (run["status"], run["error"]) == ("timed_out", "Job was active longer than specified deadline")
    assert hasty.in_pod("audit", "verify").code == 0


@pytest.mark.slow
def test_one_that_hears_the_signal_says_itself_how_it_ended(hasty: Shop) -> None:
    """The watcher adds why the signal came."""
    hasty.laptop.write(oneoff_toml=LAPTOP.format(more=", start_within = 2"))
    tasks = hasty.image / "admin.py"
    tasks.write_text(
        tasks.read_text().replace("@admin.task\n", "@admin.task(timeout=timedelta(minutes=1))\n")
    )
    ended = hasty(*COUNT)
    assert ended.code == 75, ended.err
    why = "interrupted by a signal: Job was active longer than specified deadline"
    assert f"run r1 interrupted: {why}" in ended.err
    assert (record(hasty)["status"], len(told(hasty, "outcome"))) == ("interrupted", 1)


def test_what_nobody_watched_is_collected_once(live: Shop) -> None:
    """Two at the same time record it once, and a later one finds nothing to do."""
    detached(live)
    out_of_memory(live)
    live.cluster.wait(lambda: is_over(live))
    collectors = [live.start("kube", "collect", *STAGING, "-o", "json") for _ in range(2)]
    found = [json.loads(process.communicate(timeout=60)[0]) for process in collectors]
    assert [(run["id"], run["status"]) for runs in found for run in runs] == [("r1", "failed")]
    assert record(live)["status"] == "failed"
    assert len(told(live, "outcome")) == 1
    assert live("kube", "collect", *STAGING).out == "nothing to collect\n"
    assert not (live.laptop.root / ".oneoff").exists()  # no store was wanted here
    assert live.in_pod("audit", "verify").code == 0


def test_whoever_comes_back_tells_it(live: Shop) -> None:
    detached(live)
    out_of_memory(live)
    assert live("logs", "-f", "r1", *STAGING).code == 0
    assert record(live)["status"] == "failed"


def test_what_ended_well_sends_nobody(live: Shop) -> None:
    """The run said it all itself: no errand is made for it."""
    assert live("run", "count", *STAGING, "--run-id", "r1").code == 0
    sent = len([path for method, path in live.cluster.server.requests if method == "POST"])
    assert live("wait", "r1", *STAGING).code == 0
    assert live("kube", "collect", *STAGING).out == "nothing to collect\n"
    reviews = [path for method, path in live.cluster.server.requests if method == "POST"][sent:]
    assert [path for path in reviews if "/jobs" in path] == []


def test_a_forced_cancel_says_who_and_why(live: Shop) -> None:
    """Before its Job goes; so the record says cancelled, though the pod knew of a signal alone."""
    detached(live)
    ended = live("cancel", "r1", *STAGING, "--yes", "--force", "--reason", "wrong table", "-o", "json")
    assert (ended.code, ended.json["status"]) == (0, "cancelled"), ended.err
    assert record(live)["status"] == "cancelled", ended.err
    (event,) = told(live, "cancelled")
    assert event["request"] == {"force": True, "reason": "wrong table"}
    assert event["initiator"]["kind"] == "human"
    assert live.jobs() == []
    assert live.in_pod("audit", "verify").code == 0


def test_a_deaf_one_is_cancelled_all_the_same(hasty: Shop) -> None:
    """It is killed, and its record says so: nobody has to wait for its lease, and its lock is free."""
    detached(hasty, *deaf(hasty))
    ended = hasty("cancel", "r1", *STAGING, "--yes", "--force", "--reason", "wrong table")
    assert ended.code == 0, ended.err
    run = record(hasty)
    assert (run["status"], run["error"]) == ("cancelled", "the Job was deleted before its end")
    (event,) = told(hasty, "cancelled")
    assert event["request"] == {"force": True, "reason": "wrong table"}
    assert len(told(hasty, "outcome")) == 1
    assert hasty.in_pod("audit", "verify").code == 0


def test_one_that_never_started_is_cancelled(live: Shop) -> None:
    """The store hears of it with who cancelled it, and why."""
    live.cluster.faults.image_missing("registry.example/other:*")
    assert live(*COUNT, "--image", "registry.example/other:1", "--yes", "--detach").code == 0
    live.cluster.wait(lambda: bool(live.cluster.items("pods", "shop")))
    ended = live("cancel", "r1", *STAGING, "--yes", "--force", "--reason", "wrong image")
    assert ended.code == 0, ended.err
    assert record(live)["status"] == "cancelled", ended.err
    (event,) = told(live, "cancelled")
    assert event["request"]["reason"] == "wrong image"


@pytest.mark.parametrize("why", ["right", "node"])
def test_a_store_that_cannot_be_told(live: Shop, why: str) -> None:
    """It is said in a line, and the exit code is that of the run."""
    live.laptop.write(oneoff_toml=LAPTOP.format(more=", start_within = 2"))
    process = live.start(*COUNT)
    live.cluster.wait(lambda: is_running(live))
    if why == "right":
        live.cluster.access.deny("create", "jobs")
    else:
        live.cluster.faults.unschedulable()
    out_of_memory(live)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1, err
    (line,) = [line for line in err.splitlines() if "the store was not told" in line]
    assert line.startswith("the store was not told how run r1 ended: ")
    assert {"right": "create jobs", "node": "Unschedulable"}[why] in line
    assert err.splitlines()[-1] == "run r1 failed: out of memory: its limit is reached"
    assert record(live)["status"] == "lost"  # as whoever looks at the store alone has to say


def test_a_release_that_cannot_record_it(live: Shop) -> None:
    """An older one has no such verb."""
    detached(live)
    package = live.image / "sitecustomize.py"
    package.write_text("from oneoff.cli import main\nmain.COMMANDS.pop('settle')\n")
    live.cluster.node.image_env["PYTHONPATH"] = str(live.image)
    out_of_memory(live)
    waited = live("wait", "r1", *STAGING)
    assert waited.code == 1
    assert "the store was not told how run r1 ended: the release in staging does not record it" in waited.err


@pytest.mark.slow
def test_ctrl_c_while_the_store_is_told(live: Shop) -> None:
    """The run has ended, and that is what is said; the errand is taken away."""
    process = live.start(*COUNT)
    live.cluster.wait(lambda: is_running(live))
    live.cluster.faults.start_delay(200)
    out_of_memory(live)
    seen = live.cluster.server.requests
    live.cluster.wait(lambda: any("/jobs/errand-settle-" in path for method, path in seen if method == "GET"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1, err
    assert "the store was not told how run r1 ended: interrupted" in err
    live.cluster.wait(lambda: len(live.jobs()) == 1)


def test_a_process_that_lives_is_not_contradicted(live: Shop) -> None:
    """As behind a partition: the cluster took its pod for gone, and nobody has seen it end."""
    detached(live)
    ending = {
        "run": record(live) | {"status": "timed_out", "error": "too late", "ended_at": None},
        "evidence": "its Job tells",
        "started": True,
        "seen_to_end": False,
    }
    answer = live.in_pod("settle", json.dumps(ending))
    assert (answer.code, answer.json[0]["changed"]) == (0, False), answer.err
    assert answer.json[0]["run"]["status"] == "running"
    assert told(live, "outcome") == []
    # A word that its end was seen is believed; what lives against it is ended, and contradicts nobody.
    answer = live.in_pod("settle", json.dumps(ending | {"seen_to_end": True}))
    assert answer.json[0]["changed"]
    live.cluster.wait(lambda: is_over(live))
    assert record(live)["status"] == "timed_out"
    assert live("wait", "r1", *STAGING).code == 6
    assert len(told(live, "outcome")) == 1
    for unfit in ({}, ending | {"run": record(live) | {"status": "running"}}, ending | {"more": 1}):
        assert live.in_pod("settle", json.dumps(unfit)).code == 2
