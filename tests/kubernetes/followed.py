"""Follows a Job of the fake as the command line does, and keeps what was written and said."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from oneoff.kube.api.cluster import JOBS, Cluster
from oneoff.kube.following.follow import PACE, Pace, follow
from oneoff.kube.following.verdict import Verdict
from tests.kubernetes.kinds import Object

BRISK = replace(PACE, starting=0.1, running=2.0, least=0.02, silence=1.0, ending=1.0)


@dataclass
class Followed:
    """A Job that is followed in a thread of its own, until `verdict` is asked for."""

    cluster: Cluster
    job: Object
    container: str = "task"
    start_within: timedelta | None = timedelta(seconds=30)
    withdraw: bool = False
    pace: Pace = BRISK
    said: list[str] = field(default_factory=list)
    written: bytearray = field(default_factory=bytearray)
    error: BaseException | None = None
    _verdict: Verdict | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        try:
            self._verdict = follow(
                self.cluster,
                self.job,
                container=self.container,
                start_within=self.start_within,
                write=self.written.extend,
                say=self.said.append,
                withdraw=self.withdraw,
                pace=self.pace,
            )
        except BaseException as error:
            self.error = error

    def join(self, seconds: float = 30.0) -> None:
        """Wait for the verdict."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still followed after {seconds} s; said {self.said}"

    def verdict(self, seconds: float = 30.0) -> Verdict:
        """How it ended; no thread that followed is left."""
        self.join(seconds)
        left = [each.name for each in threading.enumerate() if each.name.startswith("oneoff-")]
        assert left == []
        if self.error is not None:
            raise self.error
        assert self._verdict is not None
        return self._verdict

    @property
    def lines(self) -> list[str]:
        return bytes(self.written).decode().splitlines()


def followed(cluster: Cluster, job: Object, **options: Any) -> Followed:
    """Create a Job and follow it."""
    return Followed(cluster, cluster.create(JOBS, job), **options)
