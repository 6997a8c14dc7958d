"""``nature="resumable"``: where the cluster takes the pod away, another one goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oneoff.kube.objects import name_of
from tests.kubernetes.shop import NAMESPACE, Shop, shop

STAGING = ("--env", "staging")
TASKS = '''
import os
import signal
from pathlib import Path

import oneoff

admin = oneoff.App("shop")
PLACE = Path(__file__).parent.parent / "records" / "place"


@admin.task(nature="resumable", timeout=600)
def backfill(ctx: oneoff.Context, rows: int = 6, fail_at: int = -1, die_at: int = -1) -> None:
    """Fill rows, and remember the place."""
    first = int(PLACE.read_text()) if PLACE.exists() else 0
    for row in range(first, rows):
        if row == fail_at:
            raise RuntimeError(f"row {row} is odd")
        if row == die_at and not first:
            os.kill(os.getpid(), signal.SIGKILL)
        PLACE.write_text(str(row + 1))
        print(f"row {row}", flush=True)
        ctx.sleep(0.3)
        if ctx.should_stop:
            return
'''


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path, tasks=TASKS, speed=5) as live:
        yield live


def printed(live: Shop) -> bool:
    place = live.store.parent / "place"
    return place.exists() and int(place.read_text() or 0) >= 2


def pods(live: Shop) -> list[str]:
    """Of runs, not of the app."""
    return [
        name
        for pod in live.cluster.items("pods", NAMESPACE)
        if (name := name_of(pod)).startswith("backfill-")
    ]


def records(live: Shop) -> dict[str, tuple[str, str | None]]:
    return {run["id"]: (run["status"], run["rerun_of"]) for run in live.in_pod("runs", "-o", "json").json}


def test_the_next_pod_goes_on_after_an_eviction(live: Shop) -> None:
    """Each attempt has a record; who follows the run gets its whole output and how it ended."""
    watching = live.start("run", "backfill", *STAGING, "--run-id", "r1", "-o", "json", "--reason", "gaps")
    live.cluster.wait(lambda: printed(live))
    live.cluster.evict(NAMESPACE, *pods(live))
    out, err = watching.communicate(timeout=60)
    assert watching.returncode == 0, err
    assert [line for line in err.splitlines() if line.startswith("row")] == [f"row {row}" for row in range(6)]
    assert "run r1 was cut off (interrupted); r1-2 goes on" in err
    ended = json.loads(out)
    assert (ended["id"], ended["status"], ended["rerun_of"]) == ("r1-2", "succeeded", "r1")
    assert records(live) == {"r1": ("interrupted", None), "r1-2": ("succeeded", "r1")}
    first, second = (live.in_pod("show", one, "-o", "json").json for one in ("r1", "r1-2"))
    for same in ("actor", "parameters", "reason", "launch", "confirmation", "requested_at"):
        assert first[same] == second[same]
    assert live("wait", "r1", *STAGING).code == 0


def test_and_after_it_was_killed_without_a_word(live: Shop) -> None:
    """The record of the first says that it is lost: nobody can tell how far it came."""
    ended = live("run", "backfill", *STAGING, "--die-at", "2", "--run-id", "r1", "-o", "json")
    assert ended.code == 0, ended.err
    assert records(live) == {"r1": ("lost", None), "r1-2": ("succeeded", "r1")}


def test_a_failure_is_the_end(live: Shop) -> None:
    """What raised once would raise again."""
    ended = live("run", "backfill", *STAGING, "--fail-at", "1", "--run-id", "r1")
    assert ended.code == 1
    assert records(live) == {"r1": ("failed", None)}
    (job,) = live.jobs()
    assert len(pods(live)) == 1
    assert job["spec"]["backoffLimit"] == 3
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert "cluster-autoscaler.kubernetes.io/safe-to-evict" not in annotations


def test_a_cancel_is_the_end(live: Shop) -> None:
    started = live("run", "backfill", *STAGING, "--rows", "99", "--run-id", "r1", "--detach")
    assert started.code == 0, started.err
    live.cluster.wait(lambda: printed(live))
    ended = live("cancel", "r1", *STAGING, "--yes")
    assert ended.out == "run r1 cancelled: cancelled\n", ended.err
    assert records(live) == {"r1": ("cancelled", None)}


def test_a_cancel_reaches_the_attempt_that_is_at_work(live: Shop) -> None:
    """Whoever launched the run knows its first id only."""
    started = live("run", "backfill", *STAGING, "--rows", "99", "--run-id", "r1", "--detach")
    assert started.code == 0, started.err
    live.cluster.wait(lambda: printed(live))
    live.cluster.evict(NAMESPACE, *pods(live))
    live.cluster.wait(lambda: records(live).get("r1-2", ("", None))[0] == "running")
    asked = live.in_pod("cancel", "r1", "-o", "json")
    assert asked.json["id"] == "r1-2"
    assert live.in_pod("wait", "r1").code == 5
    assert records(live) == {"r1": ("interrupted", None), "r1-2": ("cancelled", "r1")}
