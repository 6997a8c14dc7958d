"""Bare commands: an image without oneoff, and a record by whoever launched it."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

from tests.kubernetes.objects import conditions
from tests.kubernetes.shop import LAPTOP, NAMESPACE, Shop
from tests.kubernetes.wire import Wire

UNHEARD = """
from oneoff.commands.cluster import launch
from oneoff.errors import ClusterUnreachable
create = launch.create
def unheard(*given):
    create(*given)
    raise ClusterUnreachable("no answer")
launch.create = unheard
from oneoff.cli.main import main
main()
"""
LATER = """
from datetime import timedelta
from oneoff.wiring.system import SystemClock
now = SystemClock.now
SystemClock.now = lambda self: now(self) + timedelta(minutes=11)
from oneoff.cli.main import main
main()
"""


def test_a_bare_command_is_recorded_by_its_launcher(live: Shop) -> None:
    """With the intent before the Job, and how it ended as the pod tells."""
    ended = live("run", "db-migrate", "--env", "staging")
    assert (ended.code, ended.out) == (0, "migrating\n"), ended.err
    (run,) = live.laptop.runs()
    assert (run["task"], run["status"], run["exit_code"]) == ("db-migrate", "succeeded", 0)
    assert (run["launcher"], run["actor"]["name"], run["command"][0]) == ("kubernetes", "admin", "sh")
    assert run["launch"]["image"].endswith("@sha256:" + "a" * 64)
    assert run["launch"]["differs"] == {}
    outcome = live.laptop("audit", "log", "--type", "outcome", "-o", "json").json[-1]
    assert "watched from outside, without a lease" in outcome["event"]["data"]["outcome"]["evidence"]
    assert live.laptop("audit", "verify").code == 0


def test_its_exit_code_is_the_commands(live: Shop) -> None:
    """It fails as the command does, and a departure in a protected environment is refused before anything."""
    failed = live("run", "db-migrate", "--env", "staging", "--variable", "CODE=3", "-o", "json")
    assert (failed.code, failed.json["status"], failed.json["exit_code"]) == (1, "failed", 3), failed.err
    assert failed.json["launch"]["departures"] == ["env CODE"]
    assert failed.json["error"] == "the command exited with code 3"  # not what it printed
    refused = live(
        *("run", "db-migrate", "--env", "production", "--confirm", "production", "--variable", "CODE=3")
    )
    assert refused.code == 3
    assert "production is protected, and the run would not be the app: env CODE" in refused.err
    assert len(live.jobs()) == 1
    assert [run["status"] for run in live.laptop.runs()] == ["refused", "failed"]


def test_one_that_nobody_watched_is_collected(live: Shop) -> None:
    """Once, from its Job: by the store that asked for it, and by another one that never heard of it."""
    started = live("run", "db-migrate", "--env", "staging", "--detach", "--run-id", "m1")
    assert started.code == 0, started.err
    (name,) = [job["metadata"]["name"] for job in live.jobs()]
    live.cluster.wait(lambda: "Complete" in conditions(live.cluster.get("jobs", "shop", name)))
    assert live.laptop.latest()["status"] == "running"
    collected = live("kube", "collect", "--env", "staging", "-o", "json")
    assert collected.code == 0, collected.err
    assert [(run["id"], run["status"]) for run in collected.json] == [("m1", "succeeded")]
    assert live("kube", "collect", "--env", "staging").out == "nothing to collect\n"
    elsewhere = {"ONEOFF_STORE": str(live.laptop.root / "other.db")}
    again = live("kube", "collect", "--env", "staging", "-o", "json", environ=elsewhere)
    assert again.code == 0, again.err
    assert [(run["id"], run["actor"]["name"]) for run in again.json] == [("m1", "admin")]
    assert live("audit", "verify", environ=elsewhere).code == 0


def test_ctrl_c_lets_go_of_it(live: Shop) -> None:
    """The Job goes on, and the words say how to come back."""
    live.laptop.write(oneoff_toml=LAPTOP.format(more="").replace("echo migrating", "echo migrating; sleep 3"))
    process = live.start("run", "db-migrate", "--env", "staging")
    live.cluster.wait(lambda: bool(live.jobs()))
    assert process.stdout.readline() == "migrating\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "goes on" in err


def test_a_program_that_the_image_has_not(live: Shop) -> None:
    """It could not start: refused, with what the node says."""
    live.laptop.write(
        oneoff_toml=LAPTOP.format(more="").replace('"sh", "-c"', '"npm-of-another-image", "-c"')
    )
    ended = live("run", "db-migrate", "--env", "staging")
    assert ended.code == 3, ended.err
    assert "refused: " in ended.err
    assert "npm-of-another-image" in ended.err
    assert [run["status"] for run in live.laptop.runs()] == ["refused"]


def detached(live: Shop, script: str = "sleep 30") -> None:
    """A bare command at work that nobody watches."""
    live.laptop.write(oneoff_toml=LAPTOP.format(more="").replace("echo migrating", script))
    started = live("run", "db-migrate", "--env", "staging", "--detach", "--run-id", "m1")
    assert started.code == 0, started.err


def outcome(live: Shop) -> dict[str, Any]:
    """What the audit log has of its end."""
    assert live.laptop("audit", "verify").code == 0
    (event,) = live.laptop("audit", "log", "--type", "outcome", "-o", "json").json
    found: dict[str, Any] = event["event"]["data"]["outcome"]
    return found


@pytest.mark.parametrize("verb", [("wait",), ("cancel",), ("logs", "-f")], ids=" ".join)
def test_its_job_alone_tells_of_it(live: Shop, verb: tuple[str, ...]) -> None:
    """Without --env a verb would wait for ever, or ask what does not listen: it names the one that works."""
    detached(live)
    ended = live(*verb, "m1")
    assert ended.code == 2
    assert "run m1 is a bare command in staging, and its Job alone tells of it" in ended.err
    assert f"next:  oneoff {' '.join(verb)} m1 --env staging" in ended.err
    assert live.laptop.latest()["status"] == "running"


def test_whoever_waits_for_it_records_its_end(live: Shop) -> None:
    detached(live, "echo migrating; sleep 0.5")
    assert live("wait", "m1", "--env", "staging").code == 0
    assert live.laptop.latest()["status"] == "succeeded"
    assert "watched from outside" in outcome(live)["evidence"]
    assert live("kube", "collect", "--env", "staging").out == "nothing to collect\n"
    assert "next:  oneoff logs m1 --env staging" in live("logs", "m1").err


def test_one_that_is_cancelled_ends_in_the_record_too(hasty: Shop) -> None:
    """With who asked for it, and why: its Job is gone, and no other would tell."""
    detached(hasty)
    ended = hasty("cancel", "m1", "--env", "staging", "--yes", "--reason", "wrong table")
    assert ended.code == 0, ended.err
    assert hasty.laptop.latest()["status"] == outcome(hasty)["status"] == "cancelled"
    (asked,) = hasty.laptop("audit", "log", "--type", "cancelled", "-o", "json").json
    assert asked["event"]["data"]["request"]["reason"] == "wrong table"


def test_one_whose_job_is_gone_is_lost(live: Shop) -> None:
    """It does not stay at work for ever; not at once, because a Job may come late."""
    detached(live)
    wire = Wire(live.cluster.url)
    wire.send("DELETE", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/db-migrate-m1")
    live.cluster.wait(lambda: live.jobs() == [])
    assert live("kube", "collect", "--env", "staging").out == "nothing to collect\n"
    later = (sys.executable, "-c", LATER)
    collected = live("kube", "collect", "--env", "staging", program=later)
    assert collected.out == "run m1 lost: its Job is gone, and nobody saw how it ended\n", collected.err
    assert "no Job of it in shop" in outcome(live)["evidence"]
    assert live("kube", "collect", "--env", "staging", program=later).out == "nothing to collect\n"


def test_one_of_which_nobody_knows_whether_it_was_launched(live: Shop) -> None:
    """The answers are lost for good: it is lost, not refused, and ended as its Job did once that is known."""
    unheard = (sys.executable, "-c", UNHEARD)
    ended = live("run", "db-migrate", "--env", "staging", "--run-id", "m1", program=unheard)
    assert (ended.code, live.laptop.latest()["status"]) == (7, "lost"), ended.err
    assert "whether run m1 was launched is not known" in ended.err
    live.cluster.wait(lambda: "Complete" in conditions(live.cluster.get("jobs", NAMESPACE, "db-migrate-m1")))
    collected = live("kube", "collect", "--env", "staging")
    assert collected.out == "run m1 succeeded\n", collected.err
    assert live.laptop.latest()["status"] == "succeeded"
    assert live.laptop("audit", "verify").code == 0
