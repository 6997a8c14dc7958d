"""A Job that prints 10,000 lines a second is followed without loss, through lost connections; at what cost.

The cluster is the tests' fake, the pod a process, and who follows it a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.objects import job

from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import JOBS
from oneoff.kube.following.follow import follow
from oneoff.runs.status import Status
from oneoff.settings.kubernetes import KubernetesSettings

RATE = 10_000
"""Lines a second that the pod prints, of a hundred bytes each."""
SECONDS = 10
CUTS = (7, 12_345, 30_000)
"""After so many lines each reading of the log is cut off."""
BEHIND = 5
"""Seconds after the last line at which the verdict has to be there, the pod's start included."""
MEMORY = 100
"""MB that who follows may take at most; the whole log has 10."""

_PRINTS = f"""
import sys, time
begun = time.monotonic()
for burst in range({SECONDS} * 100):
    first = burst * {RATE // 100}
    sys.stdout.write("".join(f"line {{number:094}}\\n" for number in range(first, first + {RATE // 100})))
    sys.stdout.flush()
    time.sleep(max(0.0, begun + (burst + 1) / 100 - time.monotonic()))
"""


@dataclass(frozen=True)
class _Followed:
    """What one who followed found, and what it cost."""

    lines: int
    whole: bool
    seconds: float
    cpu: float
    memory: float


def main() -> int:
    """Measure, print, and say by the exit code whether the limits hold."""
    with tempfile.TemporaryDirectory() as name, FakeKubernetes(Path(name) / "cluster") as fake:
        fake.create_namespace("shop")
        config = fake.kubeconfig(Path(name) / "kubeconfig", namespace="shop")
        for lines in CUTS:
            fake.faults.drop_log_after(lines)
        printing = {"command": [sys.executable, "-c", _PRINTS]}
        fake.create(job("prints", "", main=printing), "shop")
        live = _follow(config)
        again = _follow(config)
    held = live.whole and again.whole and live.memory <= MEMORY and live.seconds < SECONDS + BEHIND
    print(
        f"following {RATE:,} lines a second for {SECONDS} s: {live.lines:,} lines after {live.seconds:.1f} s "
        f"through {len(CUTS)} cuts, {'each once and in order' if live.whole else 'NOT WHOLE'}"
    )
    print(
        f"it takes {live.cpu / live.seconds:.0%} of a core and {live.memory:.0f} MB, limit {MEMORY} MB: "
        f"{'holds' if held else 'EXCEEDED'}"
    )
    print(f"reading the same log when it is over: {again.lines / again.seconds:,.0f} lines a second")
    return 0 if held else 1


def _follow(config: Path) -> _Followed:
    environ = os.environ | {"KUBECONFIG": str(config)}
    command = [sys.executable, "-m", "benchmarks.following", "prints"]
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    return _Followed(**json.loads(done.stdout))


def _measure(name: str) -> _Followed:
    """Follow a Job in this process."""
    cluster = connect(KubernetesSettings())
    begun, cpu = time.monotonic(), time.process_time()
    lines, whole, rest = 0, True, b""

    def write(text: bytes) -> None:
        nonlocal lines, whole, rest
        *found, rest = (rest + text).split(b"\n")
        for line in found:
            whole = whole and line == b"line %094d" % lines
            lines += 1

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    found = follow(
        cluster, cluster.get(JOBS, name), container="task", start_within=None, write=write, say=say
    )
    whole = whole and not rest and lines == RATE * SECONDS and found.status is Status.SUCCEEDED
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cluster.close()
    return _Followed(lines, whole, time.monotonic() - begun, time.process_time() - cpu, memory)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(asdict(_measure(sys.argv[1]))))
    else:
        sys.exit(main())
