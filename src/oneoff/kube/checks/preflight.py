"""What is looked at before a run is launched: everything that would keep it from starting, or do harm.

Nothing is created, and no check stops the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from oneoff.errors import ClusterError, NotPermitted, ObjectExists
from oneoff.kube.api.cluster import JOBS, Cluster
from oneoff.kube.checks.asking import asking
from oneoff.kube.checks.check import Check, not_looked_at
from oneoff.kube.checks.judging import judge
from oneoff.kube.checks.place import look
from oneoff.kube.checks.rights import RUNS, Right, not_given
from oneoff.kube.derivation.jobs import Made
from oneoff.kube.objects import name_of
from oneoff.kube.release.live import Live
from oneoff.settings import KubernetesSettings


def preflight(cluster: Cluster, live: Live, made: Made, settings: KubernetesSettings) -> list[Check]:
    """Every check, in the order in which they are read; none of them stops the others.

    Raises:
        ClusterError: the cluster does not answer.
    """
    with asking(cluster) as ask:
        rights = ask(partial(check_rights, cluster))
        creation = ask(partial(check_creation, cluster, made))
        place = look(cluster, live.workload)
        return [*rights.result(), *judge(place, live.workload, made, settings), *creation.result()]


def check_rights(
    cluster: Cluster, rights: Sequence[Right] = RUNS, well: str = "you may launch and follow runs"
) -> list[Check]:
    """Whether the user has these rights; first what it cannot do without."""
    step = f"ask for it in {cluster.namespace}; `oneoff doctor --env …` prints a Role that gives it"
    checks = [
        Check(
            "rights",
            "failure" if right.needed else "warning",
            f"you may not {right}, and cannot {right.purpose}",
            step,
        )
        for right in not_given(cluster, rights)
    ]
    return checks or [Check("rights", "ok", well)]


def check_creation(cluster: Cluster, made: Made) -> list[Check]:
    """The server itself takes the Job, or says why not, and what it warns of; nothing is created."""
    name = "creation"
    try:
        warnings = cluster.rehearse(JOBS, made.object)
    except ObjectExists:
        return [Check(name, "warning", f"a Job {name_of(made.object)} is there already")]
    except NotPermitted as error:  # that is for the rights to say
        return [not_looked_at(name, error)]
    except ClusterError as error:
        return [Check(name, "failure", f"the API server refuses the Job: {error.message}", error.next_step)]
    well = Check(name, "ok", "the API server takes the Job")
    return [Check(name, "warning", f"the API server warns: {said}") for said in warnings] or [well]
