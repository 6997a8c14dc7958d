"""``oneoff run --env`` starts a Job that is the app in every respect, except that it runs the task."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from tests.kubernetes.objects import secret
from tests.kubernetes.shop import DIGEST, LAPTOP, Shop

PURGE_THERE = ("run", "purge", "--env", "production", "--older-than", "7d")
CONFIRMED = ("--env", "production", "--confirm", "production")


def test_a_run_in_production(live: Shop) -> None:
    """Its log comes out here, it exits as the task did, and its record in the app's store tells all of it."""
    ended = live("run", "purge", *CONFIRMED, "--older-than", "7d", "--run-id", "r1")
    assert ended.code == 0, ended.err
    assert "purging 7 days, soft" in ended.out.splitlines()
    assert "run r1 succeeded" in ended.err
    assert "cannot be written" not in ended.out + ended.err  # a pod's home
    (job,) = live.jobs()
    assert job["metadata"]["name"] == "purge-r1"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"][-1]) == (DIGEST, {"name": "MODE", "value": "1e3"})
    (run,) = live.in_pod("runs", "-o", "json").json
    assert (run["id"], run["status"], run["launcher"]) == ("r1", "succeeded", "kubernetes")
    assert (run["actor"]["name"], run["actor"]["kind"]) == ("admin", "human")
    assert run["confirmation"] == "--confirm"
    assert (run["launch"]["image"], run["launch"]["differs"], run["launch"]["departures"]) == (DIGEST, {}, [])
    assert run["launch"]["identity"].keys() >= {"env", "envFrom", "volumes", "resources", "securityContext"}
    assert not (live.laptop.root / ".oneoff").exists()
    told = live.in_pod("audit", "log", "--type", "requested", "-o", "json").json
    assert told[-1]["event"]["data"]["launch"]["workload"] == "deployment/web"
    assert live.in_pod("audit", "verify").code == 0


def test_a_task_that_fails(live: Shop) -> None:
    """With the error's own words, as one JSON document."""
    ended = live("run", "purge", *CONFIRMED, "--older-than", "13d", "-o", "json")
    assert ended.code == 1
    assert (ended.json["status"], ended.json["environment"]) == ("failed", "production")
    assert "the table is gone" in ended.json["error"]
    assert "purging 13 days" in ended.err


def test_parameters_are_judged_here(live: Shop) -> None:
    """All mistakes at once, before anything is created; the catalogue is asked for once."""
    ended = live("run", "purge", *CONFIRMED, "--older-than", "long", "--mode", "gentle")
    assert ended.code == 2
    assert "older_than: 'long' is not a duration" in ended.err
    assert "mode: 'gentle'" in ended.err
    unknown = live("run", "purgee", *CONFIRMED)
    assert (unknown.code, "did you mean 'purge'" in unknown.err) == (2, True)
    assert live.jobs() == []
    assert [
        path for method, path in live.cluster.server.requests if method == "POST" and "/jobs" in path
    ] == ["/apis/batch/v1/namespaces/shop/jobs?fieldManager=oneoff"]


def test_production_wants_its_name(live: Shop) -> None:
    """Nobody can be asked without a terminal: refused with the command that works, and nothing is created."""
    ended = live("run", "purge", "--env", "production", "--older-than", "7d", "--yes")
    assert ended.code == 3
    assert "--confirm production" in ended.err
    with live.laptop.terminal(*PURGE_THERE, environ=live.reaching()) as typist:
        typist.read_until("Type production to go on")
        typist.type("staging\n")
        assert typist.end() == 3
    with live.laptop.terminal(*PURGE_THERE, environ=live.reaching()) as typist:
        typist.read_until("Type production to go on")
        typist.type("\x03")
        assert typist.end(insisting="\x03") == 3
        assert "the question was not answered" in typist.seen
    assert live.jobs() == []


def test_a_dry_run_is_one_of_the_pod(live: Shop) -> None:
    """It needs no confirmation, and its report comes out here."""
    ended = live("run", "purge", "--env", "production", "--dry-run", "--older-than", "7d", "--exit-code")
    assert ended.code == 0, ended.err
    (run,) = live.in_pod("runs", "-o", "json").json
    assert (run["dry_run"], run["status"], run["confirmation"]) == (True, "succeeded", "none needed")


def test_a_secret_goes_by_reference(live: Shop) -> None:
    """It is named here and read in the pod; its value is nowhere else."""
    live.cluster.create(secret("mail", token="s3cr3t-token"), "shop")
    given = live("run", "post", *CONFIRMED, "--token", "s3cr3t-token")
    assert given.code == 2
    assert "--token secret:NAME/KEY" in given.err
    ended = live("run", "post", *CONFIRMED, "--token", "secret:mail/token")
    assert ended.code == 0, ended.err
    assert "the token has 12 letters" in ended.out
    assert "s3cr3t-token" not in json.dumps(live.jobs())
    live.laptop.write(oneoff_toml=LAPTOP.format(more=", start_within = 2"))
    missing = live("run", "post", *CONFIRMED, "--token", "secret:nowhere/token")
    assert missing.code == 3, missing.err
    assert 'secret "nowhere" not found' in missing.err
    assert len(live.jobs()) == 1


def test_the_same_id_again_runs_nothing_again(live: Shop) -> None:
    """Of the same wish it is followed to its end; another wish under the id is refused."""
    wish = ("run", "count", *CONFIRMED, "--run-id", "r1")
    assert live(*wish).code == 0
    again = live(*wish)
    assert (again.code, "was launched before" in again.err) == (0, True)
    other = live(*wish, "--up-to", "9")
    assert other.code == 3
    assert "run r1 was launched before, as something else" in other.err
    assert len(live.jobs()) == 1
    assert len(live.in_pod("runs", "-o", "json").json) == 1


def test_a_lost_answer_makes_no_second_job(live: Shop) -> None:
    """The Job is there, and is ours."""
    assert live("run", "count", "--env", "production", "--help").code == 0  # the catalogue is known then
    live.cluster.faults.lose_next_answer(method="POST", path="*/jobs?fieldManager=oneoff")
    ended = live("run", "count", *CONFIRMED)
    assert ended.code == 0, ended.err
    assert len(live.jobs()) == 1


def test_two_pods_of_one_run(live: Shop) -> None:
    """The second one runs nothing, waits for the first, and ends as that does."""
    assert live("run", "count", "--env", "production", "--help").code == 0  # the catalogue is known then
    live.cluster.faults.start_twice()
    ended = live("run", "count", *CONFIRMED, "--pause", "0.5")
    assert ended.code == 0, ended.err
    assert ended.out.count("tick 1") == 1
    (run,) = live.in_pod("runs", "-o", "json").json
    assert (run["status"], run["fence"]) == ("succeeded", 1)
    events = [one["event"] for one in live.in_pod("audit", "log", "-o", "json").json]
    types = [one["type"].split(".")[-2] for one in events if one.get("subject") == run["id"]]
    assert sorted(types) == ["outcome", "refused", "requested", "starting"]


def test_ctrl_c_lets_go(live: Shop) -> None:
    """The run goes on, and the words lead back to it."""
    assert live("run", "count", "--env", "production", "--help").code == 0  # the catalogue is known then
    process = live.start("run", "count", *CONFIRMED, "--pause", "1", "--run-id", "r1")
    for line in process.stdout:
        if "tick 0" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "oneoff logs -f r1 --env production" in err
    assert live("wait", "r1", "--env", "production").code == 0


def test_detached(live: Shop) -> None:
    """The Job is created, and the command is back at once."""
    ended = live("run", "count", *CONFIRMED, "--detach", "--run-id", "r1")
    assert ended.code == 0, ended.err
    assert "run r1 is launched" in ended.err
    assert live("wait", "r1", "--env", "production").code == 0


@pytest.mark.parametrize("how", ["--image", "--variable"])
def test_departures_are_refused_in_a_protected_environment(live: Shop, how: str) -> None:
    """Elsewhere they are named in the record."""
    value = {"--image": "registry.example/shop:next", "--variable": "MODE=slow"}[how]
    refused = live("run", "count", *CONFIRMED, how, value)
    assert refused.code == 3
    assert "the run would not be the app" in refused.err
    done = live("run", "count", "--env", "staging", how, value)
    assert done.code == 0, done.err
    (run,) = live.in_pod("runs", "-o", "json").json
    assert len(run["launch"]["departures"]) == 1
    shown = live.in_pod("show", "@latest").out
    assert "workload     deployment/web in shop, revision 1\n" in shown
    assert f"not the app  {run['launch']['departures'][0]}\ndiffers      " in shown
    assert run["launch"]["differs"].keys() == ({"image"} if how == "--image" else {"env"})


def test_a_raw_command(live: Shop) -> None:
    """It is the app's own process in all but its command; its record is in the app's store."""
    ended = live("exec", *CONFIRMED, "--", "sh", "-c", "echo $MODE $1", "x", "$HOME")
    assert ended.code == 0, ended.err
    assert "1e3 $HOME" in ended.out.splitlines()
    (run,) = live.in_pod("runs", "-o", "json").json
    assert (run["task"], run["status"], run["launcher"]) == ("exec", "succeeded", "kubernetes")
    assert (run["actor"]["name"], run["confirmation"]) == ("admin", "--confirm")
    assert run["launch"]["differs"] == {}
    assert not (live.laptop.root / ".oneoff").exists()


def test_again(live: Shop) -> None:
    """With the parameters that the environment's store has; a secret is named again."""
    assert live("run", "purge", *CONFIRMED, "--older-than", "7d", "--run-id", "r1").code == 0
    ended = live("rerun", "r1", *CONFIRMED)
    assert ended.code == 0, ended.err
    assert "purging 7 days, soft" in ended.out.splitlines()
    again, first = live.in_pod("runs", "-o", "json").json
    assert (again["rerun_of"], again["parameters"]) == ("r1", first["parameters"])
    nothing = live("rerun", "r9", *CONFIRMED)
    assert (nothing.code, "there is no run 'r9' in production" in nothing.err) == (2, True), nothing.err


def interrupted(live: Shop, when: Callable[[], bool], *wish: str) -> tuple[int, str]:
    """The exit code, and what was said, of a command that gets Ctrl-C then."""
    process = live.start(*wish)
    live.cluster.wait(when)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    return process.returncode, err


def test_ctrl_c_while_the_release_is_asked_for_its_tasks(live: Shop) -> None:
    """Nothing was launched, and what asked is taken away again."""
    live.cluster.faults.start_delay(60)
    code, err = interrupted(live, lambda: bool(live.jobs()), "run", "count", *CONFIRMED)
    assert (code, "error: interrupted" in err) == (130, True)
    live.cluster.wait(lambda: live.jobs() == [])


def test_ctrl_c_before_the_pod_has_started(live: Shop) -> None:
    """The Job is there, and starts; the words lead back to it."""
    assert live("run", "count", "--env", "production", "--help").code == 0  # the catalogue is known then
    live.cluster.faults.start_delay(30)
    code, err = interrupted(live, lambda: bool(live.jobs()), "run", "count", *CONFIRMED, "--run-id", "r1")
    assert (code, "oneoff logs -f r1 --env production" in err) == (130, True), err
    live.cluster.faults.start_delay(0)
    assert live("wait", "r1", "--env", "production").code == 0


def test_two_people_launch_the_same_at_once(live: Shop) -> None:
    """With one id it is one run, which both follow to its end."""
    assert live("run", "count", "--env", "production", "--help").code == 0  # the catalogue is known then
    wish = ("run", "count", *CONFIRMED, "--pause", "0.3", "--run-id", "r1")
    two = [live.start(*wish) for _ in range(2)]
    said = [process.communicate(timeout=30) for process in two]
    assert [process.returncode for process in two] == [0, 0], said
    assert sorted("was launched before" in err for _, err in said) == [False, True]
    assert all("tick 2" in out for out, _ in said)
    assert len(live.jobs()) == len(live.in_pod("runs", "-o", "json").json) == 1
