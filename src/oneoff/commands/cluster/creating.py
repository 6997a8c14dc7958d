"""Creates a Job once, however often answers get lost: its name is of one run or errand alone."""

from __future__ import annotations

from typing import Final

from oneoff.errors import ClusterUnreachable, ObjectExists, ObjectMissing
from oneoff.kube.api.cluster import JOBS, Cluster
from oneoff.kube.objects import Object, name_of

ATTEMPTS: Final = 3
"""How often it is tried where answers get lost and nothing is there."""


def create(cluster: Cluster, wanted: Object) -> tuple[Object, bool]:
    """The Job of this name as the server has it, and whether it was there before.

    Raises:
        ClusterUnreachable: whether it is there is not known.
        ClusterError: the server refuses it.
    """
    lost: ClusterUnreachable | None = None
    for _ in range(ATTEMPTS):
        try:
            return cluster.create(JOBS, wanted), False
        except (ObjectExists, ClusterUnreachable) as error:
            lost = error if isinstance(error, ClusterUnreachable) else lost
            try:
                return cluster.get(JOBS, name_of(wanted)), lost is None
            except ObjectMissing:
                continue
    raise lost or ClusterUnreachable(f"the Job {name_of(wanted)} comes and goes")
