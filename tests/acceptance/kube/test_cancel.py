"""``oneoff cancel --env``: a run is asked through its store before its Job goes."""

from __future__ import annotations

from tests.kubernetes.shop import Shop

CONFIRMED = ("--env", "production", "--confirm", "production")


def test_a_run_is_asked_first(live: Shop) -> None:
    """It ends at its next safe point, and the app's log has who asked for it, and why."""
    started = live("run", "count", *CONFIRMED, "--up-to", "99", "--pause", "2", "--run-id", "r1", "--detach")
    assert started.code == 0, started.err
    live.cluster.wait(lambda: any(job["status"].get("ready") for job in live.jobs()))
    ended = live("cancel", "r1", *CONFIRMED, "--reason", "wrong table", "-o", "json")
    assert (ended.json["id"], ended.json["status"]) == ("r1", "cancelled"), ended.err
    (run,) = live.in_pod("runs", "-o", "json").json
    assert run["status"] == "cancelled"
    told = live.in_pod("audit", "log", "--type", "cancelled", "-o", "json").json[-1]["event"]["data"]
    assert told["request"] == {"force": False, "reason": "wrong table"}
    again = live("cancel", "r1", *CONFIRMED)
    assert (again.code, "has ended already" in again.err) == (0, True), again.err
