"""An environment in Kubernetes, seen from outside: without the app, its variables or its store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from oneoff.audit.merkle import Checkpoint
from oneoff.audit.witness import Sighting
from oneoff.errors import UsageError
from oneoff.kube.api.cluster import Caller, Cluster
from oneoff.protocols import Asker, Clock, Witness
from oneoff.settings import EnvironmentSettings, KubernetesSettings, Settings


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What a verb with ``--env`` uses where that environment is in Kubernetes."""

    settings: Settings
    """Of the checkout here, which may lack the app, and differ from the live release."""
    environment: EnvironmentSettings
    cluster: Cluster
    asker: Asker
    say: Callable[[str], None]
    clock: Clock
    actor_kind: str
    """human or ci, as this machine has it."""
    witness: Witness | None
    """What this user saw last of the environment's audit log; None where nothing can be remembered."""

    @property
    def where(self) -> KubernetesSettings:
        return kubernetes_of(self.environment)

    @cached_property
    def caller(self) -> Caller:
        """Who the cluster takes us for. Raises ClusterError."""
        return self.cluster.whoami()

    @property
    def actor(self) -> str:
        """The name in the records of what is started from here. Raises ClusterError."""
        return self.caller.name

    def saw(self, log: str | None, checkpoint: str | None) -> None:
        """Remember a state of the environment's audit log, as a process there has told of it."""
        if self.witness is None or log is None or checkpoint is None:
            return
        with suppress(ValueError):  # a word of a pod, which may be anything
            seen = Sighting(log=log, checkpoint=Checkpoint.parse(checkpoint), at=self.clock.now())
            self.witness.remember(seen)


def kubernetes_of(environment: EnvironmentSettings) -> KubernetesSettings:
    """Where this environment's app runs.

    Raises:
        UsageError: not in Kubernetes.
    """
    if environment.kubernetes is None:
        raise UsageError(
            f"the environment {environment.name} is not in Kubernetes",
            next_step=f"say where it is, in [tool.oneoff.environments.{environment.name}]: "
            'kubernetes = { namespace = "NAMESPACE", workload = "deployment/NAME" }',
        )
    return environment.kubernetes


def place_of(context: str, namespace: str, workload: str | None) -> str:
    """Names the environment's store in the same words each time, where its URL is not known."""
    return f"kubernetes://{context}/{namespace}/{workload or ''}"
