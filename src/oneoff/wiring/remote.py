"""Builds what reaches an environment in Kubernetes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from oneoff.commands.cluster.remote import Remote, kubernetes_of, named_of, place_of
from oneoff.kube.api.client import connect
from oneoff.settings import Settings
from oneoff.stores.witness import FileWitness
from oneoff.wiring.system import SystemClock, current_actor

if TYPE_CHECKING:
    from oneoff.protocols import Asker


def remote(
    settings: Settings, environment: str | None, *, asker: Asker, say: Callable[[str], None]
) -> Remote:
    """The environment of this name; nothing is asked of its cluster yet.

    Raises:
        UsageError: there is no such environment, or it is not in Kubernetes, or none is named.
        ClusterUnreachable: the kubeconfig cannot be used.
    """
    named = named_of(settings, environment)
    where = kubernetes_of(named)
    cluster = connect(where)
    place = place_of(cluster.context, cluster.namespace, where.workload)
    return Remote(
        settings=settings,
        environment=named,
        cluster=cluster,
        asker=asker,
        say=say,
        clock=SystemClock(),
        actor_kind=current_actor(settings.claims).kind,
        witness=FileWitness(settings.user_dir, place, say) if settings.user_dir else None,
        told=FileWitness(settings.user_dir, f"{place}#told", say) if settings.user_dir else None,
    )
