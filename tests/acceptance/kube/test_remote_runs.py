"""``logs``, ``wait`` and ``cancel`` of a run in a cluster, from a laptop without the app or a store."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import CANCEL_REASON, CANCELLED_BY, ENVIRONMENT, RESULT, RUN_ID, TASK
from tests.kubernetes.kinds import Object
from tests.kubernetes.objects import conditions, job
from tests.kubernetes.shop import LAPTOP, NAMESPACE, Shop

WORKS = "echo up; while :; do sleep 0.02; done"
FOREVER = f"trap 'echo told; exit 143' TERM; {WORKS}"


def put(live: Shop, run_id: str, script: str, *, environment: str = "staging", **spec: Any) -> Object:
    """A Job as a launch makes it, of a bare command."""
    made = job(f"count-{run_id}", script, **spec)
    made["metadata"]["labels"] = {**MANAGED, RUN_ID: run_id}
    made["metadata"]["annotations"] = {RUN_ID: run_id, TASK: "count", ENVIRONMENT: environment}
    return live.cluster.create(made, NAMESPACE)


def is_over(live: Shop, run_id: str) -> bool:
    return bool(
        {"Complete", "Failed"} & {*conditions(live.cluster.get("jobs", NAMESPACE, f"count-{run_id}"))}
    )


def noted(live: Shop, run_id: str) -> Object:
    """What the Job said of who cancelled it, in its last state."""
    states = [each.object for each in live.cluster.storage.history if each.key.name == f"count-{run_id}"]
    about: Object = states[-1]["metadata"]["annotations"]
    return about


def test_a_log_is_printed_whole_and_followed(live: Shop) -> None:
    """By the id, its beginning or `@latest`; nothing is left on the laptop."""
    put(live, "20261130-a", "echo one; printf two")
    put(live, "20261130-b", "echo three; sleep 0.5; echo four; exit 9")
    followed = live("logs", "20261130-b", "--env", "staging", "-f")
    assert (followed.code, followed.out, followed.err) == (0, "three\nfour\n", "")
    live.cluster.wait(lambda: is_over(live, "20261130-a"))
    assert live("logs", "20261130-a", "--env", "staging").out == "one\ntwo"
    assert live("logs", "@latest", "--env", "staging").out == "three\nfour\n"
    assert sorted(path.name for path in live.laptop.root.iterdir()) == ["kubeconfig", "oneoff.toml"]


@pytest.mark.slow
def test_what_there_is_of_a_log_is_printed_at_once(live: Shop) -> None:
    """Without -f nobody waits, neither for a run that goes on nor for one that has not begun."""
    put(live, "r1", FOREVER)
    live.cluster.wait(lambda: live("logs", "r1", "--env", "staging").out == "up\n")
    put(live, "r2", "true", suspend=True)
    waiting = live("logs", "r2", "--env", "staging")
    assert (waiting.code, waiting.out) == (0, "")
    assert "run r2 has no pod: the Job is suspended" in waiting.err


@pytest.mark.slow
def test_a_run_that_is_not_there(live: Shop) -> None:
    """Nor one of another environment in the namespace, nor what is ambiguous; each with the next step."""
    put(live, "r11", "true", environment="production")
    absent = live("logs", "r1", "--env", "staging")
    assert absent.code == 2
    assert "there is no Job of the run 'r1' in staging (namespace shop)" in absent.err
    assert "`oneoff runs --env staging` lists the runs" in absent.err
    assert "there is no Job of a run in staging" in live("wait", "@latest", "--env", "staging").err
    put(live, "r12", "true", environment="production")
    several = live("wait", "r1", "--env", "production")
    assert (several.code, "fits several runs" in several.err, "r11, r12" in several.err) == (2, True, True)
    assert live("wait", "r12", "--env", "production").code == 0


def test_wait_exits_as_the_run_did(live: Shop) -> None:
    put(live, "r1", "echo unseen; sleep 0.3; exit 9")
    waited = live("wait", "r1", "--env", "staging", "-o", "json")
    assert waited.code == 1, waited.err
    found = {name: waited.json[name] for name in ("id", "task", "environment", "status", "exit_code")}
    expected = {"id": "r1", "task": "count", "environment": "staging", "status": "failed", "exit_code": 9}
    assert found == expected
    assert waited.err == ""


@pytest.mark.slow
@pytest.mark.parametrize("verb", [("logs", "-f"), ("wait",)])
def test_ctrl_c_lets_go(verb: tuple[str, ...], live: Shop) -> None:
    """The run goes on, and the words say how to come back."""
    put(live, "r1", FOREVER)
    live.cluster.wait(lambda: live("logs", "r1", "--env", "staging").out == "up\n")
    process = live.start(verb[0], "r1", "--env", "staging", *verb[1:])
    if verb[0] == "logs":
        assert process.stdout.readline() == "up\n"
    else:
        seen = len(live.cluster.server.requests)
        live.cluster.wait(lambda: len(live.cluster.server.requests) > seen + 4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "`oneoff logs -f r1 --env staging` comes back to it" in err
    assert not is_over(live, "r1")


@pytest.mark.slow
def test_cancel_asks_first(live: Shop) -> None:
    """No answer is a no; in a protected environment its name has to be given; nothing is done to the Job."""
    put(live, "r1", FOREVER)
    put(live, "p1", FOREVER, environment="production")
    refused = live("cancel", "r1", "--env", "staging", "--reason", "too slow")
    assert refused.code == 3
    assert "Cancel run r1 of count in staging?" in refused.err
    assert "oneoff cancel r1 --env staging --reason 'too slow' --yes" in refused.err
    refused = live("cancel", "p1", "--env", "production", "--yes")
    assert refused.code == 3
    assert "oneoff cancel p1 --env production --confirm production" in refused.err
    assert [CANCELLED_BY in one["metadata"]["annotations"] for one in live.jobs()] == [False, False]
    cancelled = live("cancel", "p1", "--env", "production", "--confirm", "production", "-o", "json")
    assert (cancelled.code, cancelled.json["status"]) == (0, "cancelled"), cancelled.err


def test_cancel_deletes_the_job_and_says_who_and_why(live: Shop) -> None:
    """What the pod prints in its grace is its own; the Job is gone, and the cluster's log has the names."""
    put(live, "r1", FOREVER)
    live.cluster.wait(lambda: live("logs", "r1", "--env", "staging").out == "up\n")
    cancelled = live("cancel", "r1", "--env", "staging", "--yes", "--reason", "too slow")
    assert cancelled.code == 0
    assert "run r1 cancelled" in cancelled.out
    assert {name: noted(live, "r1")[name] for name in (CANCELLED_BY, CANCEL_REASON)} == {
        CANCELLED_BY: "admin",
        CANCEL_REASON: "too slow",
    }
    live.cluster.wait(lambda: live.jobs() == [])


@pytest.mark.slow
def test_an_environment_may_want_a_reason(live: Shop) -> None:
    settings = LAPTOP.format(more="").replace(
        "[tool.oneoff.environments.staging]", '[tool.oneoff.environments.staging]\nreason = "OPS-[0-9]+"'
    )
    live.laptop.write(oneoff_toml=settings)
    put(live, "r1", FOREVER)
    refused = live("cancel", "r1", "--env", "staging", "--yes", "--reason", "why not")
    assert refused.code == 3
    assert "next:  oneoff cancel r1 --env staging --reason '…'" in refused.err
    assert live("cancel", "r1", "--env", "staging", "--yes", "--reason", "OPS-7", "--force").code == 0


@pytest.mark.slow
def test_what_has_ended_is_not_cancelled(live: Shop) -> None:
    put(live, "r1", "exit 4")
    live.cluster.wait(lambda: is_over(live, "r1"))
    ended = live("cancel", "r1", "--env", "staging")
    assert (ended.code, "run r1 failed: the command exited with code 4" in ended.out) == (0, True)
    assert "run r1 has ended already" in ended.err
    assert len(live.jobs()) == 1


@pytest.mark.slow
def test_a_run_that_knows_of_the_signal_alone_was_cancelled(live: Shop) -> None:
    """Its last words say interrupted; who sent the signal is on the Job."""
    words = '{"kind":"oneoff.dev/run","id":"r1","status":"interrupted","message":"","checkpoint":null}'
    script = f"trap 'echo $WORDS > $FAKE_TERMINATION_LOG; exit 75' TERM; {WORKS}"
    made = job("count-r1", script, main={"env": [{"name": "WORDS", "value": words}]})
    made["metadata"]["labels"] = {**MANAGED, RUN_ID: "r1"}
    about = {RUN_ID: "r1", TASK: "count", ENVIRONMENT: "staging", RESULT: "expected"}
    made["metadata"]["annotations"] = about
    live.cluster.create(made, NAMESPACE)
    live.cluster.wait(lambda: live("logs", "r1", "--env", "staging").out == "up\n")
    cancelled = live("cancel", "r1", "--env", "staging", "--yes", "-o", "json")
    assert (cancelled.json["status"], cancelled.json["exit_code"]) == ("cancelled", 75)


@pytest.mark.slow
def test_a_job_that_a_sidecar_holds_is_ended(live: Shop) -> None:
    """Its task has ended, and that stays its end."""
    live.cluster.inject_sidecar({"name": "proxy", "image": "proxy:1", "command": ["sleep", "60"]})
    put(live, "r1", "echo done", pod={"terminationGracePeriodSeconds": 1})
    assert live("wait", "r1", "--env", "staging").code == 0
    ended = live("cancel", "r1", "--env", "staging", "--yes", "-o", "json")
    assert (ended.code, ended.json["status"]) == (0, "succeeded"), ended.err
    live.cluster.wait(lambda: live.jobs() == [])


@pytest.mark.slow
def test_without_the_right_nothing_is_done(live: Shop) -> None:
    put(live, "r1", FOREVER)
    live.cluster.access.deny("patch", "jobs")
    refused = live("cancel", "r1", "--env", "staging", "--yes")
    assert refused.code == 3
    assert "may not patch jobs" in refused.err
    assert len(live.jobs()) == 1
