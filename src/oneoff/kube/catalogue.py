"""A release's catalogue where whoever lacks the app finds it: a ConfigMap that ``kube sync`` publishes.

It is named after the workload, so that the next release's takes its place, and says of which release it is:
another one's is no use.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Final

from oneoff.errors import NotPermitted, ObjectMissing, UsageError
from oneoff.kube.api.cluster import CONFIG_MAPS, Cluster
from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import PREFIX, RELEASE, WORKLOAD
from oneoff.kube.names import label_value
from oneoff.kube.objects import Object, annotations_of, digest
from oneoff.kube.release.live import Live
from oneoff.kube.release.workload import container_of
from oneoff.settings import KubernetesSettings
from oneoff.tasks.fromschema import tasks_of
from oneoff.tasks.task import Task
from oneoff.types import JSON

CATALOGUE: Final = f"{PREFIX}catalogue"
"""The label of the ConfigMap: the workload's name."""
KEY: Final = f"{PREFIX}catalogue-of"
"""The annotation that names the release: :attr:`ReleaseKey.text`."""
_FILE: Final = "tasks.json.gz"
"""A ConfigMap holds 1 MiB, and a thousand tasks are more than that as text."""


@dataclass(frozen=True)
class ReleaseKey:
    """What a release's catalogue depends on."""

    text: str
    lasting: bool
    """By a digest. Else the image's name, the revision and the template are all that is known: the image may
    be replaced under its name without a trace, so what is known of it is good for a moment only."""


def key_of(live: Live, settings: KubernetesSettings) -> ReleaseKey:
    """What decides which tasks a release has: its image, and how the app is started in it."""
    container = container_of(live.workload, settings.container)
    what = {
        "program": list(settings.program),
        **{name: container.get(name) for name in ("command", "args", "env", "envFrom", "workingDir")},
    }
    if live.image is not None:
        return ReleaseKey(digest({**what, "image": live.image}), lasting=True)
    unsure = {"image": container.get("image"), "revision": live.revision, "template": live.workload.template}
    return ReleaseKey(digest({**what, **unsure}), lasting=False)


def name_of_map(live: Live) -> str:
    """The ConfigMap's name."""
    return f"oneoff-catalogue-{live.workload.name}"


def catalogue_map(live: Live, settings: KubernetesSettings, document: JSON) -> Object:
    """The ConfigMap to publish: the same bytes for the same release.

    Args:
        document: What ``oneoff tasks -o json`` prints in the release.
    """
    packed = gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)
    head: Object = {
        "name": name_of_map(live),
        "labels": {**MANAGED, CATALOGUE: label_value(live.workload.name)},
        "annotations": {
            KEY: key_of(live, settings).text,
            RELEASE: live.image or str(container_of(live.workload, settings.container).get("image") or ""),
            WORKLOAD: live.workload.reference,
        },
    }
    if namespace := settings.namespace or live.workload.namespace:
        head["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": head,
        "binaryData": {_FILE: base64.b64encode(packed).decode()},
    }


def published(cluster: Cluster, live: Live, settings: KubernetesSettings) -> list[Task] | None:
    """The tasks of this very release, if somebody has published them; None also where they cannot be read.

    Raises:
        ClusterError: the cluster does not answer.
    """
    key = key_of(live, settings)
    if not key.lasting:
        return None
    try:
        found = cluster.get(CONFIG_MAPS, name_of_map(live))
    except (NotPermitted, ObjectMissing):
        return None
    if annotations_of(found).get(KEY) != key.text:
        return None
    try:
        packed = base64.b64decode(str((found.get("binaryData") or {}).get(_FILE)), validate=True)
        return tasks_of(json.loads(gzip.decompress(packed)))
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError, UsageError):
        return (
            None  # whoever may write it has broken it, or has a oneoff of another time: the release is asked
        )
