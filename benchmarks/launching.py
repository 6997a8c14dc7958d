"""From the command to the created Job, beside kubectl on the same server, each as a whole process."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.kubernetes import certificates
from tests.kubernetes.shop import NAMESPACE, Shop, shop

from benchmarks.paired import ratio

LIMIT = 3.0
"""A launch takes at most this many times as long as ``kubectl create -f`` of the same Job.

The fake server takes JSON, as custom resources do; ``kubectl create job`` itself sends protobuf.
"""
ROUNDS = 25


def main() -> int:
    """Measure, print, and say by the exit code whether the limit holds."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        print("launching: kubectl is not on this machine, so there is nothing to compare with")
        return 1
    with (
        tempfile.TemporaryDirectory() as name,
        shop(Path(name), tls=certificates.make(Path(name) / "tls")) as live,
    ):
        known = live("run", "count", "--env", "staging", "--help")  # asks the release for its tasks, once
        assert known.code == 0, known.err
        live.cluster.faults.unschedulable()  # or the pods' processes would run beside what is timed
        taken = _measure(live, kubectl)
    for what, seconds in taken.items():
        print(f"launching: {what:8} {sorted(seconds)[len(seconds) // 2] * 1000:6.0f} ms")
    found = ratio(taken, "oneoff", to="kubectl")
    held = found <= LIMIT
    print(f"launching: {found:.2f} × kubectl create -f, limit {LIMIT:.2f}: {'holds' if held else 'EXCEEDED'}")
    return 0 if held else 1


def _measure(live: Shop, kubectl: str) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {"oneoff": [], "kubectl": []}
    config = str(live.laptop.root / "kubeconfig")
    for number in range(ROUNDS):
        taken["oneoff"].append(_seconds(lambda: live("run", "count", "--env", "staging", "--detach").code))
        job = live.jobs()[0]
        job["metadata"] = {"name": f"again-{number}", "annotations": job["metadata"]["annotations"]}
        job["spec"]["template"]["metadata"].pop("labels", None)
        wanted = {key: job[key] for key in ("apiVersion", "kind", "metadata")}
        spec = {key: job["spec"][key] for key in ("template", "backoffLimit", "activeDeadlineSeconds")}
        file = live.laptop.root / "job.json"
        file.write_text(json.dumps({**wanted, "spec": spec}))
        create = [
            kubectl,
            "--kubeconfig",
            config,
            "-n",
            NAMESPACE,
            "create",
            "--validate=false",
            "-f",
            str(file),
        ]
        taken["kubectl"].append(_seconds(partial(_run, create)))
    return taken


def _run(command: Sequence[str]) -> int:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        print(ended.stderr)
    return ended.returncode


def _seconds(call: Callable[[], int]) -> float:
    start = time.perf_counter()
    assert call() == 0
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
