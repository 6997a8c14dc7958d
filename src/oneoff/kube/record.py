"""The record of a run as its Job tells it, where no store is at hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from oneoff.kube.derivation.jobs import DRY_RUN, ENVIRONMENT, INTENT, RESULT, RUN_ID, TASK
from oneoff.kube.objects import Object, annotations_of, metadata, name_of
from oneoff.kube.syncing import stamp_of
from oneoff.runs.intent import KUBERNETES, read_intent
from oneoff.runs.run import Actor, Release, Run
from oneoff.runs.status import Status
from oneoff.tasks.task import RAW
from oneoff.types import RunId, TaskName, from_rfc3339


def run_id_of(job: Object) -> RunId:
    """The run that a Job is; that of a schedule's is the Job's name."""
    return RunId(annotations_of(job).get(RUN_ID) or name_of(job))


def created_at(job: Object) -> datetime:
    created = moment(metadata(job).get("creationTimestamp"))
    assert created is not None
    return created


def started_at(job: Object) -> datetime | None:
    """When it was first taken in hand."""
    return moment((job.get("status") or {}).get("startTime"))


def ended_at(job: Object) -> datetime | None:
    """When the last of what holds of it was found; None while nothing does."""
    conditions = (job.get("status") or {}).get("conditions") or []
    times = [one.get("lastTransitionTime") for one in conditions if one.get("status") == "True"]
    return moment(times[-1]) if times else None


def run_of(job: Object) -> Run:
    """The run as its launcher wrote it on the Job; whether it has ended is not looked at."""
    annotations = annotations_of(job)
    intent, synced = read_intent(str(annotations.get(INTENT) or "")), stamp_of(job)
    container = job["spec"]["template"]["spec"]["containers"][0]
    run_id = run_id_of(job)
    words = [str(word).replace("$$", "$") for key in ("command", "args") for word in container.get(key) or []]
    if RESULT in annotations:  # the words are oneoff's own, before those of a raw command
        words = words[words.index("--") + 1 :] if annotations.get(TASK) == RAW and "--" in words else []
    return Run(
        id=run_id,
        app=name_of(job).removesuffix(f"-{run_id}"),
        task=TaskName(annotations.get(TASK) or "unknown"),
        status=Status.RUNNING,
        requested_at=(intent and intent.requested_at) or created_at(job),
        actor=Actor(kind=intent.kind, name=intent.actor, claims=intent.claims)
        if intent
        else Actor(kind="agent", name=""),
        release=Release(),
        environment=str(annotations.get(ENVIRONMENT)),
        reason=synced.reason if synced else None,
        confirmation=intent.confirmation if intent else None,
        dry_run=annotations.get(DRY_RUN) == "true",
        command=tuple(words) or None,
        launcher=KUBERNETES,
        launch=intent.launch_of(run_id) if intent else None,
    )


def moment(text: Any) -> datetime | None:
    """A time as Kubernetes writes it."""
    return from_rfc3339(str(text).replace("Z", "+00:00")) if text else None
