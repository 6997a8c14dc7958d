"""The cluster's time, which can run faster than the test's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Graces, backoffs, deadlines and the controllers' own pace are divided by ``speed``.

    Time stamps are real, and a client's ``timeoutSeconds`` and the pods' programs take the time they take.
    """

    speed: float = 20.0

    def real(self, seconds: float) -> float:
        """How long so many seconds of the cluster take here."""
        return seconds / self.speed
