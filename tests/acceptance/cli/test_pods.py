"""What a pod does: the command of a Job that was rendered, as a process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from oneoff.runs.lastwords import LastWords, read_last_words
from oneoff.runs.status import Status
from tests.cli import ONEOFF, Ended, Project

TASKS = """
import oneoff

admin = oneoff.App("shop")


@admin.task(confirm="Really?")
def purge(older_than: int = 1, fail: bool = False) -> None:
    print("purging", older_than)
    if fail:
        raise ValueError("the table is gone")
"""
SETTINGS = """
[tool.oneoff]
app = "admin:admin"
[tool.oneoff.environments.production]
protected = true
kubernetes = { workload = "deployment/web" }
"""
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - {name: web, image: shop, env: [{name: ONEOFF_STORE, value: store.db}]}
"""


@pytest.fixture
def pod(tmp_path: Path) -> Project:
    """A folder as it would be in the image, and in the checkout."""
    project = Project(tmp_path)
    project.write(admin_py=TASKS, oneoff_toml=SETTINGS, web_yaml=MANIFEST)
    return project


HIDDEN = (
    "import sys; sys.modules.update(dict.fromkeys(('msgspec', 'yaml', 'python_socks')))\n"
    "sys.argv[0] = 'oneoff'; from oneoff.cli.main import main; main()"
)
"""oneoff in an image without the extra for Kubernetes."""


def started(
    pod: Project, *arguments: str, program: tuple[str, ...] = (ONEOFF,)
) -> tuple[Ended, LastWords | None]:
    """Render the Job of run r1, and start its command; returns what it left behind as well."""
    made = pod(
        "kube", "render", "purge", "--env", "production", "-f", "web.yaml", "--run-id", "r1", *arguments
    )
    assert made.code == 0, made.err
    template = yaml.safe_load(made.out)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    first, *words = container["args"]
    assert first == "oneoff"
    result = pod.root / "termination-log"
    result.write_text("")
    words[words.index("/dev/termination-log")] = str(result)
    intent = template["metadata"]["annotations"]["oneoff.dev/intent"]
    own = {"ONEOFF_INTENT": intent, "ONEOFF_STATE": str(pod.root / "state")}
    ended = pod(*words, program=program, environ=own)
    return ended, read_last_words(result.read_text())


def test_the_pod_of_a_rendered_job(pod: Project) -> None:
    """It runs unasked, says how it ended, and a second pod of the same run says the same and runs nothing."""
    confirmed = ("--confirm", "production", "--", "--older-than", "7")
    ended, words = started(pod, *confirmed)
    assert (ended.code, ended.out) == (0, "purging 7\n"), ended.err
    assert words is not None
    assert (words.id, words.status, words.message) == ("r1", Status.SUCCEEDED, "")
    (run,) = json.loads(pod("runs", "-o", "json").out)
    assert (run["id"], run["environment"], run["confirmation"]) == ("r1", "production", "--confirm")
    assert (run["launcher"], run["actor"]["kind"]) == ("kubernetes", "human")
    assert (run["launch"]["workload"], run["launch"]["image"]) == ("deployment/web", "shop")
    assert run["launch"]["identity"].keys() >= {"env", "envFrom", "volumes", "resources"}
    assert not (pod.root / "state" / "logs").exists()  # the container's own log is the run's
    again, same = started(pod, *confirmed)
    assert (again.code, again.out) == (0, "")
    assert same is not None
    assert (same.id, same.status) == (words.id, words.status)


def test_a_pod_needs_no_client_of_kubernetes(pod: Project) -> None:
    """Nor what would read a manifest: the image may have none of the extra's libraries."""
    program = (sys.executable, "-c", HIDDEN)
    ended, words = started(pod, "--confirm", "production", program=program)
    assert (ended.code, ended.out) == (0, "purging 1\n"), ended.err
    assert words is not None
    assert words.status is Status.SUCCEEDED


def test_a_task_that_fails_says_so(pod: Project) -> None:
    """With the words of its error, for whoever sees no store."""
    ended, words = started(pod, "--confirm", "production", "--", "--fail")
    assert ended.code == 1
    assert words is not None
    assert words.status is Status.FAILED
    assert "the table is gone" in words.message


def test_without_a_way_to_its_cluster_nothing_runs(pod: Project) -> None:
    """Outside of its pods a run is launched, and never executed here by mistake."""
    nowhere = {"KUBECONFIG": str(pod.root / "nowhere")}
    ended = pod("run", "purge", "--env", "production", "--confirm", "production", environ=nowhere)
    assert (ended.code, ended.out) == (3, "")
    assert "nowhere" in ended.err
    assert not (pod.root / "store.db").exists()


def test_a_result_that_cannot_be_left_changes_nothing(pod: Project) -> None:
    """The record counts; whoever waits for the file is told by the output."""
    ended = pod("run", "purge", "--yes", "--result-file", "no/such/folder")
    assert ended.code == 0
    assert "the result could not be written to no/such/folder" in ended.err
