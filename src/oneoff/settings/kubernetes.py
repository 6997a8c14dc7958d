"""``kubernetes = { … }`` of an environment: where its app runs, and what a run takes from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from oneoff.settings import values

VOLUMES = ("same-node", "empty", "keep")
"""What to do with a claim that may be held by the node of the app."""

_KEYS = frozenset(
    {
        *("container", "context", "departures", "keep_entrypoint", "namespace", "network_labels"),
        *("program", "sidecars", "start_within", "store", "volumes", "without", "workload", "wrapper"),
    }
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class SecretKey:
    """A value in a Secret of the cluster."""

    secret: str
    key: str


@dataclass(frozen=True, kw_only=True)
class KubernetesSettings:
    """The workload of an environment, and what a run takes from it."""

    context: str | None = None
    """Of the kubeconfig; its current one where None."""
    namespace: str | None = None
    workload: str | None = None
    """``KIND/NAME``; the only one there is where None."""
    container: str | None = None
    """The app's own, of several."""
    network_labels: tuple[str, ...] = ()
    """Labels of the app's pods that a run has too, because a NetworkPolicy selects by them."""
    sidecars: tuple[str, ...] = ()
    """Containers that a run needs beside it; they become native sidecars."""
    without: tuple[str, ...] = ()
    """Init containers that a run does not have."""
    store: SecretKey | None = None
    """Where the URL of the store is, if the workload has no ``ONEOFF_STORE`` of its own."""
    keep_entrypoint: bool | None = None
    """True: what starts the app gets the run as its arguments; False: the run starts without it."""
    wrapper: tuple[str, ...] = ()
    """Words before the run's command."""
    volumes: str | None = None
    """One of :data:`VOLUMES`."""
    program: tuple[str, ...] = ("oneoff",)
    """What starts oneoff in the image."""
    departures: bool = False
    """Whether a run may be other than the app (``--image``, ``--variable``) though this is protected."""
    start_within: timedelta = timedelta(minutes=10)
    """How long a pod may take to start before the run is given up: nodes come up, images are fetched."""


def kubernetes(value: Any) -> KubernetesSettings:
    """Read the table. Raises ValueError with what is wanted."""
    if not isinstance(value, dict):
        raise ValueError('a table is wanted, such as { namespace = "shop", workload = "deployment/web" }')
    unknown = sorted(value.keys() - _KEYS)
    if unknown:
        raise ValueError(f"there is no {unknown[0]}, but {', '.join(sorted(_KEYS))}")
    readers = {
        "context": values.text,
        "namespace": _label,
        "workload": _reference,
        "container": _label,
        "network_labels": _list,
        "sidecars": _list,
        "without": _list,
        "store": _secret,
        "keep_entrypoint": values.boolean,
        "wrapper": values.arguments,
        "volumes": _volumes,
        "program": values.arguments,
        "departures": values.boolean,
        "start_within": values.seconds,
    }
    return KubernetesSettings(**{key: _read(readers[key], key, given) for key, given in value.items()})


def _read(reader: Any, key: str, given: Any) -> Any:
    try:
        return reader(given)
    except ValueError as error:
        raise ValueError(f"{key} = {given!r}: {error}") from error


def _label(value: Any) -> str:
    if not isinstance(value, str) or not _LABEL.fullmatch(value) or len(value) > 63:
        raise ValueError("a name of Kubernetes is wanted: at most 63 lowercase letters, digits and dashes")
    return value


def _reference(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z]+/[a-z0-9.-]+", value):
        raise ValueError('KIND/NAME is wanted, such as "deployment/web"')
    return value


def _list(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of names is wanted")
    return values.texts(value)


def _secret(value: Any) -> SecretKey:
    if not isinstance(value, dict) or value.keys() != {"secret", "key"}:
        raise ValueError(
            'a Secret and its key are wanted, such as { secret = "db-credentials", key = "url" }'
        )
    return SecretKey(values.text(value["secret"]), values.text(value["key"]))


def _volumes(value: Any) -> str:
    if value not in VOLUMES:
        raise ValueError(f"one of {', '.join(VOLUMES)} is wanted")
    return str(value)
