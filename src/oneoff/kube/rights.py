"""What a user has to be allowed in a namespace: one table, for launching and for what comes after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from oneoff.kube.cluster import CONFIG_MAPS, CRONJOBS, EVENTS, JOBS, PODS, Resource


@dataclass(frozen=True)
class Right:
    """One verb on one kind of object."""

    verb: str
    resource: Resource
    purpose: str
    """What cannot be done without it."""
    subresource: str = ""
    needed: bool = True
    """Without it nothing is done."""

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

SYNC: Final = (
    Right("list", CRONJOBS, "see which schedules are there"),
    Right("create", CRONJOBS, "apply a schedule"),
    Right("patch", CRONJOBS, "apply a schedule"),
    Right("delete", CRONJOBS, "take away a schedule that left the code"),
    Right("list", JOBS, "tidy up after a schedule that left the code", needed=False),
    Right("patch", JOBS, "tidy up after a schedule that left the code", needed=False),
    Right("create", CONFIG_MAPS, "publish the catalogue", needed=False),
    Right("patch", CONFIG_MAPS, "publish the catalogue", needed=False),
)
