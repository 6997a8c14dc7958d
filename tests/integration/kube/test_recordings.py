"""Every recording of a real cluster, run again and followed: the verdict and the log that people get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import JOBS, Cluster
from oneoff.runs.status import Status
from oneoff.settings.kubernetes import KubernetesSettings
from tests.kubernetes import FakeKubernetes
from tests.kubernetes.followed import Followed
from tests.kubernetes.test_replay import FOLDERS, NAMESPACE, RECORDINGS, SCRIPTS, Replay, Script, apply
from tests.kubernetes.wire import Wire

pytestmark = pytest.mark.slow  # it runs many processes, by the clock

TICKS = [f"tick {place}" for place in range(12)]

SUCCEEDED = (Status.SUCCEEDED, 0, "")
EXPECTED: dict[str, tuple[tuple[Status, int | None, str], str]] = {
    "cronjob-every-minute": (SUCCEEDED, "cleaned"),
    "job-classic-sidecar-never-completes": (SUCCEEDED, "main done"),
    "job-deadline-exceeded": ((Status.TIMED_OUT, 137, "DeadlineExceeded"), ""),
    "job-deleted-while-running": ((Status.CANCELLED, 143, ""), "up\nSIGTERM seen"),
    "job-fails-exit-3": ((Status.FAILED, 3, "BackoffLimitExceeded"), "boom"),
    "job-image-missing": ((Status.REFUSED, None, "ErrImage.*|ImagePullBackOff"), ""),
    "job-indexed-3": (SUCCEEDED, r"\[\d\] shard \d\n\[\d\] shard \d\n\[2\] shard 2"),
    "job-native-sidecar": (SUCCEEDED, "main done"),
    "job-oom-killed": ((Status.FAILED, 137, "OOMKilled"), ""),
    "job-pod-evicted-and-replaced": (SUCCEEDED, r"(tick \d\n)+" + "\n".join(TICKS)),
    "job-pod-failure-policy": ((Status.FAILED, 42, "PodFailurePolicy"), ""),
    "job-quota-forbids-pods": ((Status.REFUSED, None, "FailedCreate"), ""),
    "job-succeeds": (SUCCEEDED, "tick 0\ntick 1\ntick 2"),
    "job-suspended-then-resumed": (SUCCEEDED, "ran"),
    "job-unschedulable": ((Status.REFUSED, None, "Unschedulable"), ""),
}
"""The status, the container's exit code and the reason; and the log, as a pattern."""


@pytest.fixture
def fake(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FakeKubernetes]:
    """As the recording's script has it: its pace, its faults."""
    script = SCRIPTS.get(request.getfixturevalue("folder"), Script())
    (tmp_path / "sitecustomize.py").write_text(script.sleep.format(pace=script.pace))
    with FakeKubernetes(tmp_path, speed=script.speed) as fake:
        fake.node.image_env["PYTHONPATH"] = str(tmp_path)
        fake.create_namespace(NAMESPACE)
        script.before(fake)
        yield fake


@pytest.fixture
def cluster(fake: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "kubeconfig", namespace=NAMESPACE)))
    cluster = connect(KubernetesSettings())
    yield cluster
    cluster.close()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_recording_is_followed(folder: str, fake: FakeKubernetes, cluster: Cluster) -> None:
    script, replay = SCRIPTS.get(folder, Script()), Replay(fake, Wire(fake.url))
    apply(replay, RECORDINGS / folder / "manifest.yaml")
    if folder.startswith("cronjob"):
        script.then(replay)
    (job,) = cluster.list(JOBS).items
    waits = timedelta(seconds=2 if EXPECTED[folder][0][0] is Status.REFUSED else 30)
    container = "cleanup" if folder.startswith("cronjob") else "task"
    run = Followed(cluster, job, container=container, start_within=waits)
    if not folder.startswith("cronjob"):
        script.then(replay)
    found = run.verdict()
    (status, code, reason), log = EXPECTED[folder]
    assert (found.status, found.exit_code) == (status, code)
    assert re.fullmatch(reason, found.reason)
    assert re.fullmatch(log, "\n".join(run.lines))
