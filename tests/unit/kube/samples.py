"""Workloads for tests, with only what a test cares about spelled out."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from oneoff.kube.derivation.derive import Derived, Wish, derive
from oneoff.kube.release.workload import Workload, find
from oneoff.settings import KubernetesSettings

VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")


def workload(
    kind: str = "Deployment", *, spec: dict[str, Any] | None = None, **container: Any
) -> dict[str, Any]:
    """A workload of one container ``app``, whose pod's other fields are ``spec``."""
    template = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "app", "image": "shop:1", **container}], **(spec or {})},
    }
    made: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": template},
    }
    return made


def found(*objects: dict[str, Any], reference: str | None = None) -> Workload:
    """The workload among these objects."""
    return find(deepcopy(list(objects)), reference, None)


def derived(*objects: dict[str, Any], wish: Wish | None = None, **settings: Any) -> Derived:
    """The pod template of a run of ``run it``, made of the workload among these objects."""
    return derive(found(*objects), KubernetesSettings(**settings), wish or Wish(argv=("run", "it")))


def container_of(made: Derived) -> dict[str, Any]:
    """The container that runs the task."""
    only: list[dict[str, Any]] = made.template["spec"]["containers"]
    (one,) = only
    return one
