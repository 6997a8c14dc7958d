"""An environment in Kubernetes, seen from outside: without the app, its variables or its store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from oneoff.audit.merkle import Checkpoint
from oneoff.audit.witness import Sighting, evident
from oneoff.errors import UsageError
from oneoff.kube.api.cluster import Caller, Cluster
from oneoff.settings import EnvironmentSettings, KubernetesSettings, Settings

if TYPE_CHECKING:
    from oneoff.protocols import Asker, Clock, Witness


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
    told: Witness | None = None
    """What runs have told of it since: by size and root alone, without a proof that it only grew."""

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

    @cached_property
    def known(self) -> tuple[Sighting, ...]:
        """What was remembered of the environment's audit log: to be looked at before anything is begun."""
        kept = (each.recall() for each in (self.witness, self.told) if each is not None)
        return tuple(one for one in kept if one is not None)

    def saw(self, log: str | None, checkpoint: str | None) -> None:
        """Remember a state of the environment's audit log, as a process there has told of it.

        Beside what was proved: else a log that was rewritten would pass for itself once it had grown.
        """
        if self.witness is None or log is None or checkpoint is None:
            return
        with suppress(ValueError):  # a word of a pod, which may be anything
            seen = Sighting(log=log, checkpoint=Checkpoint.parse(checkpoint), at=self.clock.now())
            if self.differs(seen):
                return
            if self.witness.recall() is None:
                self.witness.remember(seen)
            if self.told is not None:
                self.told.remember(seen)

    def differs(self, present: Sighting) -> bool:
        """Whether it shows that the log is not the one that was known; that is said."""
        found = [one for one in (evident(seen, present) for seen in self.known) if one is not None]
        for discrepancy in found[:1]:
            verify = f"oneoff audit verify --env {self.environment.name}"
            self.say(f"WARNING: {discrepancy}: `{verify}` says what differs")
        return bool(found)


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


def named_of(settings: Settings, name: str | None) -> EnvironmentSettings:
    """The environment in Kubernetes of this name; that of the settings where none is given.

    Raises:
        UsageError: there is none of that name, or none is named and that of the settings is elsewhere.
    """
    if name is None and settings.elsewhere and settings.environment not in settings.in_kubernetes:
        raise UsageError("which environment is meant?", next_step=f"name it: {settings.elsewhere}")
    return settings.environment_named(name)


def place_of(context: str, namespace: str, workload: str | None) -> str:
    """Names the environment's store in the same words each time, where its URL is not known."""
    return f"kubernetes://{context}/{namespace}/{workload or ''}"
