"""Whatever goes wrong at the same time, the log is whole and the verdict right: faults by chance."""

from __future__ import annotations

import random
import time

import pytest

from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import JOBS, Cluster
from oneoff.runs.status import Status
from oneoff.settings.kubernetes import KubernetesSettings
from tests.kubernetes import FakeKubernetes
from tests.kubernetes.followed import Followed
from tests.kubernetes.objects import job

pytestmark = pytest.mark.slow  # it runs many processes, by the clock

LINES = 60


def harm(fake: FakeKubernetes, chance: random.Random) -> None:
    """One fault."""
    faults = fake.faults
    match chance.randrange(8):
        case 0:
            faults.drop_log_after(chance.randrange(LINES))
        case 1:
            faults.drop_watch_after(chance.randrange(4))
        case 2:
            faults.gone_410_once()
        case 3:
            faults.mute_watch()
        case 4:
            faults.answer_next(chance.choice([429, 500, 503, 401]), chance.randrange(1, 4), method="GET")
        case 5:
            faults.lose_next_answer(method="GET")
        case 6:
            fake.server.restart(down=chance.uniform(0.0, 0.5))
        case 7:
            time.sleep(0.1)


@pytest.mark.parametrize("seed", range(12))
def test_jobs_are_followed_through_all_of_it(seed: int, fake: FakeKubernetes, cluster: Cluster) -> None:
    chance = random.Random(seed)
    script = f"i=0; while [ $i -lt {LINES} ]; do echo $1 $i; i=$((i+1)); sleep 0.02; done; exit $2"
    codes = [chance.choice([0, 0, 1, 7]) for _ in range(3)]
    for _ in range(3):
        harm(fake, chance)
    runs: list[Followed] = []
    for number, code in enumerate(codes):
        command = ["sh", "-c", script, "sh", str(number), str(code)]
        made = cluster.create(JOBS, job(f"j{number}", "", main={"command": command}))
        runs.append(Followed(connect(KubernetesSettings()), made))  # as of so many processes
    for _ in range(10):
        harm(fake, chance)
        time.sleep(chance.uniform(0.0, 0.3))
    for run in runs:
        run.join()
    for number, (run, code) in enumerate(zip(runs, codes, strict=True)):
        found = run.verdict()
        assert (found.status, found.exit_code) == (Status.FAILED if code else Status.SUCCEEDED, code)
        assert run.lines == [f"{number} {line}" for line in range(LINES)]
        run.cluster.close()
