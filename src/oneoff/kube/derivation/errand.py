"""The Job of an errand: a short one of a release, that runs a verb of oneoff and is no run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from oneoff.kube.derivation.derive import MANAGED, Wish, derive, escaped
from oneoff.kube.derivation.jobs import (
    ACTOR,
    ENVIRONMENT,
    INTENT,
    PREFIX,
    WORKLOAD,
    check_store,
    own_variables,
    state_room,
)
from oneoff.kube.names import job_name, label_value
from oneoff.kube.objects import Object
from oneoff.kube.release.live import Live
from oneoff.kube.release.workload import container_of
from oneoff.runs.intent import Intent, write_intent
from oneoff.settings import KubernetesSettings

ERRAND: Final = f"{PREFIX}errand"
"""The label of an errand's Job and pod: the verb."""
LONGEST: Final = timedelta(minutes=10)
"""How long an errand may take, its start not counted."""
_KEPT_FOR: Final = timedelta(minutes=5)
"""How long its Job stays where whoever read it could not delete it."""
_GRACE: Final = 10
"""Seconds that it gets to stop: it changes nothing that it would have to bring to an end."""


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A verb of oneoff, to be run in a release."""

    id: str
    """Of this errand alone: by it the Job is known again where the answer to its creation was lost."""
    argv: tuple[str, ...]
    """Behind ``oneoff``: ``runs -o json``."""
    environment: str
    actor: str
    actor_kind: str
    needs_store: bool = True
    seen: str = "-"
    """What whoever asks saw last of the audit log; see :mod:`oneoff.cli.framed`."""


def errand_job(live: Live, settings: KubernetesSettings, errand: Errand) -> tuple[Object, str]:
    """The Job, and the name of the container that runs the verb.

    Raises:
        ManifestUnfit, NotDerivable: see :func:`oneoff.kube.derive.derive`.
        NotDerivable: it would find no store.
    """
    workload, verb = live.workload, errand.argv[0]
    if errand.needs_store:
        check_store(container_of(workload, settings.container), workload, settings)
    labels = {ERRAND: label_value(verb)}
    annotations = {ENVIRONMENT: errand.environment, ACTOR: errand.actor, WORKLOAD: workload.reference}
    intent = Intent(kind=errand.actor_kind, actor=errand.actor)
    wish = Wish(
        argv=escaped([*settings.program, "--framed", errand.seen, *errand.argv]),
        environ=own_variables(settings),
        labels=labels,
        annotations={**annotations, INTENT: write_intent(intent)},
        pinned=live.image,
        rooms=[state_room()],
        grace=_GRACE,
    )
    derived = derive(workload, settings, wish)
    head: Object = {
        "name": job_name(f"errand-{verb}", errand.id),
        "labels": {**MANAGED, **labels},
        "annotations": annotations,
    }
    if namespace := settings.namespace or workload.namespace:
        head["namespace"] = namespace
    spec: Object = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": int((LONGEST + settings.start_within).total_seconds()),
        "ttlSecondsAfterFinished": int(_KEPT_FOR.total_seconds()),
        "template": derived.template,
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": head, "spec": spec}, derived.container
