"""Which release of an environment a run is of, as it was asked for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from oneoff.commands.cluster.remote import Remote
from oneoff.errors import NotDerivable
from oneoff.kube.release.live import Live, of_manifest, read
from oneoff.kube.release.releases import Release

Wanted = Release | list[Any] | None
"""``running``, ``target``, the documents of a manifest; None demands that the first two are the same."""

_ROLLING: Final[tuple[Release, ...]] = ("running", "target")
"""Which release is asked during a rollout; where several serve, neither is the running one."""


def live(remote: Remote, wanted: Wanted) -> Live:
    """The release to run.

    Raises:
        ManifestUnfit, NotDerivable, ClusterError: see :mod:`oneoff.kube.release.live`.
    """
    if isinstance(wanted, list):
        return of_manifest(remote.cluster, remote.where, wanted)
    return read(remote.cluster, remote.where, release=wanted)


def serving(remote: Remote) -> Live:
    """The release to ask. In the middle of a rollout any that serves knows the store.

    Raises:
        ManifestUnfit, NotDerivable, ClusterError: see :func:`oneoff.kube.release.live.read`.
    """
    try:
        return read(remote.cluster, remote.where)
    except NotDerivable as unsettled:
        for release in _ROLLING:
            with suppress(NotDerivable):
                return read(remote.cluster, remote.where, release=release)
        raise unsettled
