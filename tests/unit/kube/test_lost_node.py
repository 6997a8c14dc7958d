"""A node that is lost keeps its pod from ending, and who follows the Job comes to an end all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from oneoff.errors import ClusterUnreachable
from oneoff.kube.api.cluster import JOBS, Cluster, Listing, Resource, Selection
from oneoff.kube.following import logreader
from oneoff.kube.following.follow import follow
from oneoff.kube.objects import Object
from oneoff.runs.status import Status
from tests.kubernetes.followed import BRISK

LATE = {
    "type": "FailureTarget",
    "status": "True",
    "reason": "DeadlineExceeded",
    "message": "Job was active longer than specified deadline",
}
JOB: Object = {"metadata": {"name": "j", "uid": "j"}, "status": {"conditions": [LATE]}}
RUNNING = {"name": "task", "state": {"running": {"startedAt": "2026-11-30T00:00:00Z"}}}
POD: Object = {
    "metadata": {"name": "p", "uid": "p", "deletionTimestamp": "2026-11-30T00:00:00Z"},
    "spec": {"terminationGracePeriodSeconds": 0.1},
    "status": {"phase": "Running", "containerStatuses": [RUNNING]},
}


class LostNode:
    """An API server that reaches a pod's node no more."""

    def get(self, resource: Resource, name: str) -> Object:
        return JOB

    def list(self, resource: Resource, selection: Selection) -> Listing:
        return Listing([JOB] if resource is JOBS else [POD], "1")

    def watch(self, *_: Any, **__: Any) -> Iterator[tuple[str, Object]]:
        return iter(())

    def log(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield b"2026-11-30T00:00:00.000000001Z one\n"
        raise ClusterUnreachable("the node does not answer")

    def hang_up(self) -> None:
        pass


def test_it_is_not_waited_for_beyond_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict is there, with what was had of the log, and a word that it is not whole."""
    monkeypatch.setattr(logreader, "GIVE_UP", 0.1)
    written, said = bytearray(), list[str]()
    found = follow(
        cast(Cluster, LostNode()),
        JOB,
        container="task",
        start_within=None,
        write=written.extend,
        say=said.append,
        pace=replace(BRISK, ending=0.1),
    )
    assert found.status is Status.TIMED_OUT
    assert bytes(written) == b"one\n"
    assert said == ["pod p: its log cannot be read to its end: the node does not answer"]
