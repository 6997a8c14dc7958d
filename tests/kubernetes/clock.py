"""The cluster's time, which can run faster than the test's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Backoffs and the controllers' own pace are divided by ``speed``, what programs are given by ``limits``.

    Those are graces, deadlines, and for how long a Job is kept: a program is no faster in a fast cluster.
    Time stamps are real, and a client's ``timeoutSeconds`` and the pods' programs take the time they take.
    """

    speed: float = 20.0
    limits: float = 20.0

    def real(self, seconds: float) -> float:
        """How long so many seconds of the cluster take here."""
        return seconds / self.speed

    def given(self, seconds: float) -> float:
        """How long a program is given here that has so many seconds in the cluster."""
        return seconds / self.limits
