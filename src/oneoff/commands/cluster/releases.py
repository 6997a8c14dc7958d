"""Which release of an environment a run is of, as it was asked for."""

from __future__ import annotations

from typing import Any

from oneoff.commands.cluster.remote import Remote
from oneoff.kube.release.live import Live, of_manifest, read
from oneoff.kube.release.releases import Release

Wanted = Release | list[Any] | None
"""``running``, ``target``, the documents of a manifest; None demands that the first two are the same."""


def live(remote: Remote, wanted: Wanted) -> Live:
    """The release to run.

    Raises:
        ManifestUnfit, NotDerivable, ClusterError: see :mod:`oneoff.kube.release.live`.
    """
    if isinstance(wanted, list):
        return of_manifest(remote.cluster, remote.where, wanted)
    return read(remote.cluster, remote.where, release=wanted)
