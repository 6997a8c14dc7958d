"""What is looked at before a run is launched: everything that would keep it from starting, or do harm.

Nothing is created, and no check stops the others.
"""

from __future__ import annotations

from oneoff.errors import ClusterError, NotPermitted, ObjectExists
from oneoff.kube.checks import Check, not_looked_at
from oneoff.kube.cluster import JOBS, Cluster
from oneoff.kube.jobs import Made
from oneoff.kube.judging import judge
from oneoff.kube.live import Live
from oneoff.kube.objects import name_of
from oneoff.kube.place import look
from oneoff.kube.rights import LAUNCH, RUNS
from oneoff.settings import KubernetesSettings


def preflight(cluster: Cluster, live: Live, made: Made, settings: KubernetesSettings) -> list[Check]:
    """Every check, in the order in which they are read; none of them stops the others.

    Raises:
        ClusterError: the cluster does not answer.
    """
    place = look(cluster, live.workload)
    rights = check_rights(cluster)
    dry = check_creation(cluster, made, permitted=LAUNCH[0].given(cluster))
    return [*rights, *judge(place, live.workload, made, settings), dry]


def check_rights(cluster: Cluster) -> list[Check]:
    """Whether the user may do what a launch needs; first what it cannot do without."""
    step = f"ask for it in {cluster.namespace}; `oneoff doctor --env …` prints a Role that gives it"
    checks = [
        Check(
            "rights",
            "failure" if right.needed else "warning",
            f"you may not {right}, and cannot {right.purpose}",
            step,
        )
        for right in RUNS
        if not right.given(cluster)
    ]
    return checks or [Check("rights", "ok", "you may launch and follow runs")]


def check_creation(cluster: Cluster, made: Made, *, permitted: bool) -> Check:
    """The server itself takes the Job, or says why not; nothing is created."""
    name = "creation"
    if not permitted:
        return not_looked_at(name, "you may not create Jobs")
    try:
        cluster.create(JOBS, made.object, dry_run=True)
    except ObjectExists:
        return Check(name, "warning", f"a Job {name_of(made.object)} is there already")
    except NotPermitted as error:
        return Check(name, "failure", error.message, "ask for the right to create Jobs in the namespace")
    except ClusterError as error:
        return Check(name, "failure", f"the API server refuses the Job: {error.message}", error.next_step)
    return Check(name, "ok", "the API server takes the Job")
