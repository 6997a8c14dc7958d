"""Launching, following, dry runs, bare commands: what people do every day."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cluster.world import World

pytestmark = pytest.mark.timeout(1500)
CLUSTER = ("--env", "cluster")


def test_a_run_is_launched_and_followed(world: World, tmp_path: Path) -> None:
    """From the first line to the last, with the record of it; nothing stays on the laptop."""
    here, run_id = world.on_another_laptop(tmp_path), world.run_id("follow")
    ended = here.ok("run", "count", "--up-to", "20", "--pause", "0.1", *CLUSTER, "--run-id", run_id)
    ticks = [line for line in ended.out.splitlines() if line.startswith("tick")]
    assert ticks == [f"tick {number}" for number in range(20)]
    run = world.shown(run_id)
    assert (run["status"], run["launcher"]) == ("succeeded", "kubernetes")
    assert run["actor"]["name"] == world.admin.whoami().name
    assert (run["launch"]["namespace"], run["launch"]["workload"]) == (world.namespace, "deployment/web")
    assert not (here.laptop.root / ".oneoff").exists()


def test_a_run_that_was_let_go_is_come_back_to(world: World) -> None:
    """Ctrl-C lets go of it; logs, wait and runs find it again."""
    run_id = world.run_id("detach")
    arguments = ("run", "count", "--up-to", "15", "--pause", "1", *CLUSTER, "--run-id", run_id)
    left = world.interfered(
        *arguments, after="tick 1", interfere=lambda process: process.send_signal(signal.SIGINT)
    )
    assert left.code == 130, left.err
    assert run_id in left.err
    assert world.running(run_id)
    assert world.ok("wait", run_id, *CLUSTER).code == 0
    printed = world.ok("logs", run_id, *CLUSTER).out.splitlines()
    assert [line for line in printed if line.startswith("tick")] == [f"tick {n}" for n in range(15)]
    listed = world.ok("runs", *CLUSTER, "-o", "json").json
    assert run_id in [run["id"] for run in listed]


def test_nobody_has_to_watch(world: World) -> None:
    """A detached run is followed from its beginning later."""
    run_id = world.run_id("later")
    started = world.ok("run", "count", "--pause", "0.5", *CLUSTER, "--run-id", run_id, "--detach")
    assert "tick" not in started.out
    followed = world.ok("logs", "-f", run_id, *CLUSTER)
    assert [line for line in followed.out.splitlines() if "tick" in line] == ["tick 0", "tick 1", "tick 2"]


def test_the_catalogue_and_the_records_come_from_the_release(world: World) -> None:
    """The laptop has neither the app nor its store."""
    tasks = world.ok("tasks", *CLUSTER, "-o", "json").json
    assert {"count", "purge", "tidy"} <= {task["name"] for task in tasks}
    assert world.ok("audit", "verify", *CLUSTER).out.startswith("ok")
    unknown = world("run", "cuont", *CLUSTER)
    assert unknown.code == 2
    assert "count" in unknown.err


def test_a_dry_run_writes_nothing(world: World) -> None:
    """It runs in a pod, reports what it would do, and leaves the data as it was."""
    run_id = world.run_id("dry")
    ended = world.ok("run", "purge", "--dry-run", *CLUSTER, "--run-id", run_id)
    assert "orders" in ended.out + ended.err
    found = world("run", "purge", "--dry-run", "--exit-code", *CLUSTER)
    assert found.code == 10, found.err
    script = (
        "import admin; print('rows', admin.connect().execute('SELECT count(*) FROM orders').fetchone()[0])"
    )
    assert "rows 2" in world.ok("exec", *CLUSTER, "--", "python", "-c", script).out
    run = world.shown(run_id)
    assert (run["status"], run["dry_run"]) == ("succeeded", True)


@pytest.mark.parametrize(
    ("task", "status", "code"), [("db-migrate", "succeeded", 0), ("db-fail", "failed", 1)]
)
def test_a_bare_command_is_judged_from_outside(
    world: World, tmp_path: Path, task: str, status: str, code: int
) -> None:
    """By the pod's end; its record is with whoever launched it."""
    here, run_id = world.on_another_laptop(tmp_path), world.run_id("bare")
    ended = here("run", task, *CLUSTER, "--run-id", run_id, "-o", "json")
    assert ended.code == code, f"{ended.code}\n{ended.out}\n{ended.err}"
    assert (ended.json["status"], ended.json["launcher"]) == (status, "kubernetes")
    assert here.ok("audit", "verify").out.startswith("ok")


def test_a_bare_command_that_nobody_watched_is_collected(world: World, tmp_path: Path) -> None:
    """Once, with how it ended."""
    here, run_id = world.on_another_laptop(tmp_path), world.run_id("unwatched")
    here.ok("run", "db-migrate", *CLUSTER, "--run-id", run_id, "--detach")

    def collected() -> bool:
        found = here.ok("kube", "collect", *CLUSTER, "-o", "json").json
        return (run_id, "succeeded") in [(run["id"], run["status"]) for run in found]

    world.eventually(collected, "run to collect")
    assert not collected()
