"""Bare commands: an image without oneoff, and a record by whoever launched it."""

from __future__ import annotations

import signal

from tests.kubernetes.objects import conditions
from tests.kubernetes.shop import LAPTOP, Shop


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
