"""What a user has to be allowed in a namespace: one table, for launching and for what comes after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from oneoff.kube.cluster import EVENTS, JOBS, PODS, Resource


@dataclass(frozen=True)
class Right:
    """One verb on one kind of object."""

    verb: str
    resource: Resource
    purpose: str
    """What cannot be done without it."""
    subresource: str = ""
    needed: bool = True
    """Without it nothing is launched."""

    def __str__(self) -> str:
        """As RBAC names it: ``get pods/log``, ``create jobs.batch``."""
        return f"{self.verb} {self.resource}{f'/{self.subresource}' if self.subresource else ''}"


LAUNCH: Final = (
    Right("create", JOBS, "launch a run"),
    Right("get", JOBS, "see how a run ends"),
    Right("list", PODS, "see how a run ends"),
    Right("watch", JOBS, "follow a run"),
    Right("watch", PODS, "follow a run"),
    Right("get", PODS, "read a run's output", subresource="log"),
    Right("list", EVENTS, "say why a run does not start", needed=False),
    Right("delete", JOBS, "cancel a run", needed=False),
)
