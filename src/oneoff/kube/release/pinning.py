"""The digest of the image that runs, as the nodes report it in ``status.containerStatuses[].imageID``.

Docker writes ``docker-pullable://REPOSITORY@sha256:…``, containerd and CRI-O ``REPOSITORY@sha256:…``. An
image that was built or loaded on the node has no repository to be had from: ``sha256:…``, with Docker
``docker://sha256:…``, with CRI-O at times the letters alone. One that ``kind load`` has loaded, which is
``ctr images import --digests``, has the name of a day: ``docker.io/library/import-2026-12-01@sha256:…``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from oneoff.errors import NotDerivable
from oneoff.kube.objects import Object, named

_SCHEME: Final = re.compile(r"[a-z0-9+.-]+://")
_REFERENCE: Final = re.compile(r"(?P<repository>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")
_IMPORTED: Final = re.compile(r"docker\.io/library/import-\d{4}-\d\d-\d\d@")


@dataclass(frozen=True)
class Pin:
    """What an image is pinned to."""

    image: str | None
    """``REPOSITORY@sha256:…``; None where there is none to pin."""
    note: str = ""
    """What whoever launches should know."""


def is_pinned(image: str) -> bool:
    """Whether it is named by its digest."""
    return "@sha256:" in image


def pin(where: str, image: str, container: str, pods: Iterable[Object]) -> Pin:
    """The digest by which the image of this container runs in these pods, which are those that serve.

    Raises:
        NotDerivable: they run several: the tag has moved.
    """
    if is_pinned(image):
        return Pin(image)
    reported = [_reported(pod, container) for pod in pods]
    if not any(reported):
        return Pin(None, f"no ready pod tells by which digest {image} runs: it is taken by its name")
    found = {match["digest"]: match["repository"] for one in reported if (match := _match(one))}
    if len(found) > 1:
        raise NotDerivable(
            f"the tag of {image} has moved: the pods of {where} run "
            + " and ".join(f"{repository}@{digest}" for digest, repository in sorted(found.items())),
            next_step="restart the workload so that all its pods run the same, or name its image by a digest "
            "(that of the index, where its nodes are of several architectures)",
        )
    if not found:
        return Pin(
            None,
            f"{image} was loaded onto the nodes, and has no digest in a repository: it is taken by its name",
        )
    references = sorted({match[0] for one in reported if (match := _match(one))})
    wanted = _repository(image)
    own = [one for one in references if _repository(one) == wanted]
    if own:
        return Pin(own[0])
    return Pin(references[0], f"the nodes have {image} as {references[0]}")


def _reported(pod: Object, container: str) -> str:
    status = named((pod.get("status") or {}).get("containerStatuses"), container) or {}
    return _SCHEME.sub("", str(status.get("imageID") or ""), count=1)


def _match(reported: str) -> re.Match[str] | None:
    return None if _IMPORTED.match(reported) else _REFERENCE.fullmatch(reported)


def _repository(image: str) -> str:
    """The repository in full: ``nginx`` is ``docker.io/library/nginx``."""
    name = image.partition("@")[0]
    head, _, last = name.rpartition("/")
    name = f"{head}/{last.partition(':')[0]}".lstrip("/")
    first, _, rest = name.partition("/")
    if not rest:
        return f"docker.io/library/{name}"
    if not ("." in first or ":" in first or first == "localhost"):
        return f"docker.io/{name}"
    return name.replace("index.docker.io/", "docker.io/", 1)
