"""Verbs with ``--env`` run in a pod of the release: the laptop has neither the app nor its store.

The store is a PostgreSQL database whose URL is in a Secret; the checkout has the table of environments only.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oneoff.kube.api.client import connect
from oneoff.kube.catalogue import catalogue_map
from oneoff.kube.derivation.errand import ERRAND
from oneoff.kube.release.live import read
from oneoff.settings import Settings, load
from tests.cli import Ended, Project, eventually
from tests.kubernetes.objects import secret
from tests.kubernetes.shop import DIGEST, LAPTOP, NAMESPACE, TASKS, Shop, shop
from tests.postgres import Server, make_store

SLOW = "import time\nprint('imported', flush=True)\ntime.sleep(60)\n"
STORE = 'store = { secret = "records", key = "url" }'


class Errands:
    """The shop, with a user who has a home, and a shell beside the database."""

    def __init__(self, live: Shop, url: str, home: Path) -> None:
        self.live = live
        self.home = home
        self.use(url)

    def __call__(self, *arguments: str, **more: Any) -> Ended:
        """On the laptop."""
        return self.live(*arguments, environ={"XDG_STATE_HOME": str(self.home)}, **more)

    def beside(self, *arguments: str, **more: Any) -> Ended:
        """Where the app and its store are at hand, as somebody who has seen nothing yet."""
        return Project(self.live.image)(*arguments, environ={"ONEOFF_STORE": self.url, "HOME": ""}, **more)

    def use(self, url: str) -> None:
        """Have the records there."""
        self.url = url
        made = secret("records", url=url)
        made["metadata"] |= {"namespace": NAMESPACE, "uid": "secret", "resourceVersion": "1"}
        self.live.cluster.load([made])

    def started(self) -> list[str]:
        """The verbs of all the errands that there were."""
        return [
            change.object["metadata"]["labels"][ERRAND]
            for change in list(self.live.cluster.storage.history)
            if change.type == "ADDED" and ERRAND in change.object["metadata"].get("labels", {})
            if change.object["kind"] == "Job"
        ]

    def configure(self, more: str) -> None:
        """Another kubernetes table on the laptop."""
        self.live.laptop.write(oneoff_toml=LAPTOP.format(more=f", {more}"))

    def settings(self) -> Settings:
        return load(self.live.laptop.root)


@pytest.fixture
def errands(tmp_path: Path, store_url: str) -> Iterator[Errands]:
    """The URL of the store is in a Secret that the laptop's settings name, and nowhere else."""
    with shop(tmp_path, settings=STORE) as live:
        live.deploy(env=[{"name": "MODE", "value": "1e3"}])
        yield Errands(live, store_url, tmp_path / "home")


def test_what_a_pod_prints_comes_out_unchanged(errands: Errands) -> None:
    """Byte for byte, both streams and the exit code, and a note where its next step is done; no Job stays."""
    assert errands.beside("run", "count").code == 0
    there, here = errands("runs", "--env", "staging", "-o", "json"), errands.beside("runs", "-o", "json")
    assert (there.code, there.out, there.err) == (0, here.out, here.err)
    missing = errands("show", "--env=staging", "nothing")
    assert (missing.code, missing.out) == (2, "")
    hint = "note: what a pod names as `oneoff …` wants --env staging here\n"
    assert missing.err == errands.beside("show", "nothing").err + hint
    assert errands.started() == ["runs", "show"]
    assert errands.live.jobs() == []
    assert not (errands.live.laptop.root / ".oneoff").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "verb",
    [
        ("runs", "--task", "purge", "--limit", "5", "--status", "failed", "--status", "lost"),
        ("show", "@latest"),
        ("show", "@latest", "-o", "json"),
        ("show", "purge"),
        ("tasks",),
        ("tasks", "-o", "json"),
        ("schedules", "--count", "1"),
        ("release", "-o", "json"),
        ("audit", "checkpoint"),
        ("audit", "prove", "@latest"),
        ("audit", "export", "--format", "ecs", "--until", "2026-01-01"),
        ("audit", "verify", "--checkpoint", "12"),
    ],
    ids=" ".join,
)
def test_every_verb(errands: Errands, verb: tuple[str, ...]) -> None:
    """With the options that it has."""
    assert errands.beside("run", "count").code == 0
    here = errands.beside(*verb)
    there = errands(*verb, "--env", "staging", stdin="")
    if verb[0] == "release":  # the pod's own host
        assert there.json | {"host": ""} == here.json | {"host": ""}
        return
    assert there.code == here.code, there.err
    assert there.out == here.out
    assert there.err == here.err


@pytest.mark.slow
def test_who_looked_is_who_the_cluster_knows(errands: Errands) -> None:
    """The look is recorded under the name that the API server has for whoever asked."""
    assert errands.beside("run", "count").code == 0
    for _ in range(2):
        assert errands("audit", "log", "--env", "staging").code == 0
    assert errands.beside("audit", "log", "--type", "log.queried").out.count(" admin ") == 2


@pytest.mark.slow
def test_the_environment_of_the_log_is_a_filter_too(errands: Errands) -> None:
    """It says where the log is, and which of its events are wanted; and --here that it is the one here."""
    assert errands.beside("run", "count", "--env", "staging", "--here").code == 0
    assert (
        errands.beside("run", "count", "--env", "production", "--here", "--confirm", "production").code == 0
    )
    found = errands("audit", "log", "--env", "staging", "--type", "outcome", "-o", "json").json
    assert [one["event"]["data"]["target"]["environment"] for one in found] == ["staging"]
    assert (
        errands.beside("audit", "log", "--env", "staging", "--here", "--type", "outcome").out.count("\n") == 2
    )


@pytest.mark.slow
def test_a_log_that_was_replaced_is_noticed(errands: Errands, postgres: Server) -> None:
    """The pod remembers nothing: what this user saw last goes with each errand."""
    assert errands.beside("run", "count").code == 0
    assert errands("audit", "verify", "--env", "staging").code == 0
    place = "kubernetes://fake/shop/deployment/web"
    kept = json.loads((errands.home / "oneoff" / "checkpoints.json").read_bytes())
    assert list(kept) == [place]
    # The same environment by another name has the same log.
    verified = errands("audit", "verify", "--env", "production", "-o", "json").json
    assert int(verified["held"].partition(":")[0]) >= kept[place]["size"] > 0

    with postgres.database() as other:
        errands.use(make_store(postgres, other))
        assert errands.beside("run", "count").code == 0
        shown = errands("runs", "--env", "staging")
        assert shown.code == 0
        assert "WARNING: the audit log was replaced" in shown.err
        assert errands("audit", "verify", "--env", "staging").code == 1
        accepted = errands("audit", "accept", "--env", "staging", "--yes", "--reason", "it moved")
        assert accepted.code == 0, accepted.err
        assert errands("audit", "verify", "--env", "staging").code == 0
        assert "it moved" in errands.beside("audit", "log", "--type", "log.accepted").out


@pytest.mark.slow
def test_files_are_read_and_written_here(errands: Errands, tmp_path: Path) -> None:
    """A receipt, an export and a checkpoint that was kept are the laptop's files."""
    assert errands.beside("run", "count").code == 0
    kept = tmp_path / "kept.txt"
    kept.write_text(errands.beside("audit", "checkpoint").out)
    receipt = tmp_path / "receipt.json"
    proven = errands(
        "audit", "prove", "@latest", "--env", "staging", "-o", str(receipt), "--checkpoint", str(kept)
    )
    assert (proven.code, proven.out) == (0, ""), proven.err
    assert str(receipt) in proven.err
    assert errands("audit", "check", str(receipt), "--checkpoint", str(kept)).code == 0

    verified = errands("audit", "verify", "--env", "staging", "--checkpoint", str(kept), "-o", "json")
    assert [one["checkpoint"] for one in verified.json["compared_with"]] == [kept.read_text().strip()]
    by_stdin = errands("audit", "verify", "--env", "staging", "--checkpoint", "-", stdin="3:" + "0" * 64)
    assert by_stdin.code == 1

    exported = tmp_path / "events.jsonl"
    done = errands("audit", "export", "--env", "staging", str(exported))
    assert (done.code, done.out) == (0, ""), done.err
    assert len(exported.read_text().splitlines()) >= 3
    nowhere = errands("audit", "export", "--env", "staging", str(tmp_path / "no" / "events.jsonl"))
    assert nowhere.code == 1
    assert "cannot be written" in nowhere.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("audit", "export", "--env", "staging", "--format", "tiles", "t"), 2, "a pod does not see it"),
        (("audit", "verify", "--env", "staging", "--checkpoint", "nothing"), 2, "neither a checkpoint nor"),
        (("audit", "verify", "--env", "staging", "--checkpoint", "large.txt"), 2, "give the last lines"),
        (("runs", "--env", "nowhere"), 2, "there is no environment 'nowhere'"),
    ],
)
def test_what_cannot_be_asked_starts_nothing(
    errands: Errands, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """It is refused with the reason before there is a Job."""
    (errands.live.laptop.root / "large.txt").write_text(f"1:{'0' * 64}\n" * 2000)
    ended = errands(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert errands.started() == []


def test_an_environment_that_is_here(errands: Errands) -> None:
    """Where it is not in Kubernetes, --env changes nothing."""
    errands.live.laptop.write(oneoff_toml="[tool.oneoff.environments.desk]\n")
    plain, named = errands("runs"), errands("runs", "--env", "desk")
    assert (named.code, named.out, named.err) == (plain.code, plain.out, plain.err)


@pytest.mark.slow
def test_in_the_middle_of_a_rollout(errands: Errands) -> None:
    """Whichever release serves knows the store."""
    assert errands.beside("run", "count").code == 0
    errands.live.roll(ready=1)
    ended = errands("runs", "--env", "staging", "-o", "json")
    assert (ended.code, len(ended.json)) == (0, 1), ended.err


# The catalogue of a release.


def run(errands: Errands) -> Ended:
    """A run whose options nobody here knows."""
    return errands("run", "count", "--up-to", "1", "--env", "staging")


@pytest.mark.slow
def test_a_release_is_asked_once_for_its_tasks(errands: Errands) -> None:
    """By its digest; another image is another release, and a file that was broken is no catalogue."""
    wrong = errands("run", "purge", "--env", "staging", "--older-than", "soon", "--mode", "hardly")
    assert (wrong.code, wrong.out) == (2, "")
    assert "older_than: 'soon' is not a duration" in wrong.err
    assert "mode: 'hardly' is not one of these; allowed: one of soft, hard" in wrong.err
    assert run(errands).code == 0
    assert errands.started() == ["tasks"]
    kept = json.loads((errands.home / "oneoff" / "checkpoints.json").read_bytes())
    assert kept["kubernetes://fake/shop/deployment/web"]["size"] > 0  # by the run's last words

    errands.live.deploy(image_id=DIGEST.replace("a", "b"))
    assert run(errands).code == 0
    assert errands.started() == ["tasks"] * 2
    for file in (errands.home / "oneoff" / "catalogues").iterdir():
        file.write_text('[{"name": "broken"}]')
    assert run(errands).code == 0
    assert errands.started() == ["tasks"] * 3


@pytest.mark.slow
def test_without_a_digest_a_catalogue_is_good_for_minutes(errands: Errands) -> None:
    """A side-loaded image may be replaced under its name, and nothing tells."""
    errands.live.deploy(image_id="sha256:" + "c" * 64)
    assert run(errands).code == 0
    assert run(errands).code == 0
    assert errands.started() == ["tasks"]
    [file] = (errands.home / "oneoff" / "catalogues").iterdir()
    os.utime(file, (time.time() - 400, time.time() - 400))
    assert run(errands).code == 0
    assert errands.started() == ["tasks"] * 2


@pytest.mark.slow
def test_a_published_catalogue_needs_no_job(errands: Errands, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to be of this very release."""
    monkeypatch.setenv("KUBECONFIG", errands.live.reaching()["KUBECONFIG"])
    where = errands.settings().environments["staging"].kubernetes
    assert where is not None
    cluster = connect(where)
    live = read(cluster, where)
    document = errands.beside("tasks", "-o", "json").json
    errands.live.cluster.create(catalogue_map(live, where, document), NAMESPACE)
    cluster.close()
    assert run(errands).code == 0
    assert errands.started() == []
    errands.live.deploy(image_id=DIGEST.replace("a", "b"))
    assert run(errands).code == 0
    assert errands.started() == ["tasks"]


@pytest.mark.slow
def test_an_app_that_is_broken_says_so(errands: Errands) -> None:
    """The pod's own words and its next step; nothing is remembered."""
    (errands.live.image / "admin.py").write_text("import oneoff\nraise RuntimeError('no licence')\n")
    ended = run(errands)
    assert (ended.code, ended.out) == (3, "")
    assert "the release in staging cannot list its tasks" in ended.err
    assert "RuntimeError: no licence" in ended.err
    assert not (errands.home / "oneoff" / "catalogues").exists()


# What goes wrong.


@pytest.mark.parametrize("program", ["no-such-oneoff", 'sh", "-c", "exec no-such-oneoff'])
def test_an_image_without_oneoff(errands: Errands, program: str) -> None:
    """It says what to do about it."""
    errands.configure(f'{STORE}, program = ["{program}"]')
    ended = errands("runs", "--env", "staging")
    assert (ended.code, ended.out) == (3, "")
    assert "the release in staging could not be asked" in ended.err
    assert "no-such-oneoff" in ended.err
    assert "is oneoff in the image?" in ended.err
    assert "runner = false" in ended.err
    assert errands.live.jobs() == []


@pytest.mark.slow
def test_an_image_with_an_older_oneoff(errands: Errands) -> None:
    """It knows no errands, and its complaint is shown."""
    errands.configure(f'{STORE}, program = ["sh", "-c", "echo Error: No such option: --framed >&2; exit 2"]')
    ended = errands("runs", "--env", "staging")
    assert (ended.code, ended.out) == (3, "")
    assert "an older oneoff" in ended.err


@pytest.mark.slow
def test_a_store_that_the_pod_cannot_reach(errands: Errands) -> None:
    """The pod's own error, with its exit code."""
    errands.use("postgresql://shop@127.0.0.1:1/none")
    ended = errands("runs", "--env", "staging")
    assert (ended.code, ended.out) == (3, "")
    assert "error: " in ended.err
    assert "next: " in ended.err


@pytest.mark.slow
def test_a_pod_that_cannot_start(errands: Errands) -> None:
    """The reason that the cluster gives, once it has had its time; and nothing is left."""
    errands.configure('store = { secret = "absent", key = "url" }, start_within = 2')
    ended = errands("runs", "--env", "staging")
    assert (ended.code, ended.out) == (3, "")
    assert 'CreateContainerConfigError: web: secret "absent" not found' in ended.err
    assert errands.live.jobs() == []


def test_a_release_without_a_store(errands: Errands) -> None:
    """A record inside of a pod would be lost with it: nothing is asked there."""
    errands.configure("start_within = 60")
    ended = errands("runs", "--env", "staging")
    assert ended.code == 3
    assert "deployment/web has no ONEOFF_STORE" in ended.err
    assert errands.started() == []


def test_a_pod_that_a_service_would_send_requests_to(errands: Errands) -> None:
    """Users would meet it: it is not made."""
    errands.configure(f'{STORE}, network_labels = ["app"]')
    ended = errands("runs", "--env", "staging")
    assert ended.code == 3
    assert "Service web would send requests to the errand's pod" in ended.err
    assert errands.started() == []


@pytest.mark.slow
def test_lost_answers_and_a_second_pod(errands: Errands) -> None:
    """One Job, one answer."""
    assert errands.beside("run", "count").code == 0
    faults = errands.live.cluster.faults
    faults.lose_next_answer(method="POST", path="*/jobs*")
    faults.drop_log_after(2)
    faults.start_twice()
    ended = errands("runs", "--env", "staging", "-o", "json")
    assert (ended.code, len(ended.json)) == (0, 1), ended.err
    assert errands.started() == ["runs"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("oneoff/>\\noneoff/1|[]\\noneoff/=0 2\\n", "did not come whole: its log was cut"),
        ("oneoff/>\\noneoff/1|[]\\n", "did not come whole: its log was cut"),
        ("oneoff/>\\noneoff/1|[\\noneoff/=137 1\\n", "did not answer to the end"),
    ],
)
def test_half_an_answer_is_none(errands: Errands, log: str, words: str) -> None:
    """A line is missing, or the end is, or the verb was killed before its own."""
    code = "137" if "137" in log else "0"
    errands.configure(f"{STORE}, program = ['sh', '-c', \"\"\"printf '{log}'; exit {code}\"\"\"]")
    ended = errands("runs", "--env", "staging")
    assert (ended.code, ended.out) == (3, "")
    assert words in ended.err


@pytest.mark.slow
def test_a_pod_that_is_killed(errands: Errands) -> None:
    """Half an answer is none."""
    errands.live.image.joinpath("admin.py").write_text(f"{TASKS}\n{SLOW}")
    errands.live.cluster.faults.oom("errand-tasks-*")
    ended = errands("tasks", "--env", "staging")
    assert (ended.code, ended.out) == (3, "")
    assert "OOMKilled" in ended.err


@pytest.mark.slow
def test_ctrl_c_takes_the_job_away(errands: Errands) -> None:
    """Whoever asked waits no longer for an answer."""
    errands.live.image.joinpath("admin.py").write_text(f"{TASKS}\n{SLOW}")
    with errands.live.start("tasks", "--env", "staging") as process:
        eventually(errands.live.jobs)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    eventually(lambda: not errands.live.jobs())
