"""The fake goes through the same states as a real cluster: every recording, run again.

Each manifest is applied as it was recorded. Its programs are Python's, and run here as they are; their
``sleep`` is divided by ``pace``, as the cluster's own time is by ``speed``. `states` says what a state is
and what is left out of it. `DIFFERENCES` is what the fake does not do as recorded, and why.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.kubernetes import FakeKubernetes, states
from tests.kubernetes.kinds import Object
from tests.kubernetes.wire import Stream, Wire

pytestmark = pytest.mark.slow  # it runs many processes, by the clock

RECORDINGS = Path(__file__).parent.parent / "recordings"
NAMESPACE = "rec"

SLEEP = """
import time
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(seconds / {pace})
"""

SLEEP_TOGETHER = """
import os, pathlib, time
_sleep = time.sleep
def sleep(seconds):
    here, index = pathlib.Path(__file__).parent, os.environ["JOB_COMPLETION_INDEX"]
    (here / index).touch()
    pair = [here / each for each in ("0", "1")] if index in ("0", "1") else [here / index]
    while not all(each.exists() for each in pair):
        _sleep(0.005)
    _sleep(max(each.stat().st_mtime for each in pair) + seconds / {pace} - time.time())
time.sleep = sleep
"""
"""The first two shards ended within a hundredth of a second: here they begin to sleep together."""

DIFFERENCES = {
    (
        "Pod",
        "Warning",
        "MissingClusterDNS",
    ): "the recorded cluster had no DNS; others have, and so has the fake",
}
"""Events that were recorded and that the fake does not send."""

STAND_INS = {
    "job-image-missing": "the image is declared to be missing: the fake runs every image as a local process",
    "job-indexed-3": "two shards end at the same moment, here because they wait for each other",
    "job-oom-killed": "the kill is asked for: the fake does not measure the memory of a process",
    "cronjob-every-minute": "the slot is fired by hand: the fake does not wait for the minute",
}
"""What a recording had from its surroundings, and the replay brings about by a call."""


@dataclass
class Replay:
    """A cluster in which a recording is run again."""

    cluster: FakeKubernetes
    wire: Wire

    def path(self, plural: str, name: str = "", *, group: str = "apis/batch/v1") -> str:
        return f"/{group}/namespaces/{NAMESPACE}/{plural}" + (f"/{name}" if name else "")

    def wait_for_output(self, text: str) -> None:
        """Wait until the first pod has written something."""
        uid = self.only_pod()["metadata"]["uid"]

        def seen() -> bool:
            log = self.cluster.kubelet.log(uid, "task")
            return log is not None and any(text.encode() in line for _, line in log.lines)

        self.cluster.wait(seen)

    def only_pod(self) -> Object:
        self.cluster.wait(lambda: bool(self.cluster.items("pods", NAMESPACE)))
        return self.cluster.items("pods", NAMESPACE)[0]


def resume(replay: Replay) -> None:
    job = replay.path("jobs", "susp")
    replay.cluster.wait(lambda: bool(replay.wire.get(job)["status"].get("conditions")))
    patch = {"spec": {"suspend": False}}
    replay.wire.send("PATCH", job, patch, content_type="application/merge-patch+json")


def delete(replay: Replay) -> None:
    replay.wait_for_output("up")
    replay.cluster.wait(lambda: replay.wire.get(replay.path("jobs", "victim"))["status"].get("ready") == 1)
    replay.wire.send("DELETE", replay.path("jobs", "victim"), {"propagationPolicy": "Foreground"})


def evict(replay: Replay) -> None:
    replay.wait_for_output("tick 0")
    name = replay.only_pod()["metadata"]["name"]
    body = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": name, "namespace": NAMESPACE}}
    answer = replay.wire.send("POST", replay.path("pods", f"{name}/eviction", group="api/v1"), body)
    assert answer.code == 201


def fire(replay: Replay) -> None:
    assert replay.cluster.fire(NAMESPACE, "cleanup-old-data", datetime(2026, 11, 23, 1, 14, tzinfo=UTC))


def nothing(replay: Replay) -> None:
    """The manifest is all."""


@dataclass(frozen=True)
class Script:
    """How one recording is run again."""

    sleep: str = SLEEP
    before: Callable[[FakeKubernetes], None] = lambda cluster: None
    then: Callable[[Replay], None] = nothing
    speed: float = 8.0
    pace: float = 8.0


SCRIPTS = {
    "job-image-missing": Script(
        before=lambda cluster: cluster.faults.image_missing("docker.io/local/absent:9")
    ),
    "job-oom-killed": Script(before=lambda cluster: cluster.faults.oom("oom-*")),
    "job-suspended-then-resumed": Script(then=resume),
    "job-deleted-while-running": Script(then=delete, speed=4, pace=2),
    "job-pod-evicted-and-replaced": Script(then=evict),
    "job-deadline-exceeded": Script(speed=4, pace=4),
    "job-indexed-3": Script(sleep=SLEEP_TOGETHER, speed=4, pace=4),
    "cronjob-every-minute": Script(then=fire),
}
FOLDERS = sorted(path.name for path in RECORDINGS.iterdir() if path.name.startswith(("job-", "cronjob-")))


def recorded(folder: str, plural: str) -> list[Object]:
    path = RECORDINGS / folder / f"{plural}.watch.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def apply(replay: Replay, manifest: Path) -> None:
    for obj in yaml.safe_load_all(manifest.read_text()):
        kind = replay.cluster.kinds.of(obj)
        group = f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
        answer = replay.wire.send("POST", replay.path(kind.plural, group=group), obj)
        assert answer.code == 201, answer.text


@contextlib.contextmanager
def watching(replay: Replay, folder: str) -> Iterator[dict[str, Stream]]:
    """The streams that the recorder kept, opened as it did."""
    groups = {"jobs": "apis/batch/v1", "cronjobs": "apis/batch/v1", "pods": "api/v1", "events": "api/v1"}
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    with contextlib.ExitStack() as stack:
        yield {
            plural: stack.enter_context(replay.wire.watch(replay.path(plural, group=group), **query))
            for plural, group in groups.items()
            if (RECORDINGS / folder / f"{plural}.watch.jsonl").exists()
        }


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_same_states_in_the_same_order(folder: str, tmp_path: Path) -> None:
    """Jobs, Pods and CronJobs go through the recorded states, and the recorded Events are sent."""
    script = SCRIPTS.get(folder, Script())
    (tmp_path / "sitecustomize.py").write_text(script.sleep.format(pace=script.pace))
    with FakeKubernetes(tmp_path, speed=script.speed) as cluster:
        cluster.node.image_env["PYTHONPATH"] = str(tmp_path)
        cluster.create_namespace(NAMESPACE)
        replay = Replay(cluster, Wire(cluster.url))
        script.before(cluster)
        with watching(replay, folder) as streams:
            apply(replay, RECORDINGS / folder / "manifest.yaml")
            script.then(replay)
            for plural in streams:
                expect(cluster, plural, streams[plural], recorded(folder, plural))
        written = [each for pod in cluster.items("pods", NAMESPACE) for each in output(cluster, pod)]
        assert sorted(written) == sorted(recorded_output(folder))


def expect(cluster: FakeKubernetes, plural: str, stream: Stream, lines: list[Object]) -> None:
    """Wait until as much has been seen as was recorded, then compare."""
    if plural == "events":
        wanted = states.events(lines) - set(DIFFERENCES)
        with contextlib.suppress(AssertionError):
            cluster.wait(lambda: states.events(list(stream.lines)) >= wanted, 10)
        assert states.events(stream.lines) == wanted
        return
    histories = states.histories(lines)
    lengths = [len(history) for history in histories]

    def reached() -> bool:
        seen = [len(history) for history in states.histories(list(stream.lines))]
        return len(seen) >= len(lengths) and all(a >= b for a, b in zip(seen, lengths, strict=False))

    with contextlib.suppress(AssertionError):
        cluster.wait(reached, 15)
    assert states.histories(stream.lines) == histories


def recorded_output(folder: str) -> list[str]:
    """What the pods wrote that were there in the end, without the times."""
    logs = [path.read_text() for path in (RECORDINGS / folder).glob("*.log")]
    return [line.split(" ", 1)[1] for text in logs for line in text.splitlines()]


def output(cluster: FakeKubernetes, pod: Object) -> list[str]:
    """What the containers of a pod have written."""
    spec = pod["spec"]
    names = [each["name"] for each in [*spec.get("initContainers", []), *spec["containers"]]]
    logs = [cluster.kubelet.log(pod["metadata"]["uid"], name) for name in names]
    return [line.decode().rstrip() for log in logs if log is not None for _, line in log.lines]


def test_every_stand_in_is_said() -> None:
    """A recording that is helped along by a fault or by hand is in the table that says why."""
    helped = {
        name
        for name, script in SCRIPTS.items()
        if script.before is not Script.before or script.sleep is not SLEEP or script.then is fire
    }
    assert helped == set(STAND_INS)
