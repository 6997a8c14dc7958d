"""The CronJob of a schedule, and the slot that one of its Jobs stands for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final

from oneoff.kube.derivation.jobs import KEPT_FOR, SCHEDULE, Launch, Made, deadline, head_of, job_spec, pod
from oneoff.kube.names import cronjob_name
from oneoff.kube.objects import Object, annotations_of, metadata, name_of
from oneoff.kube.release.workload import Workload
from oneoff.runs.slot import Slot, slot_named
from oneoff.schedules.schedule import Schedule
from oneoff.settings import KubernetesSettings

LATEST_START: Final = timedelta(hours=1)
"""How late a run may start at most, where the next is far away."""
EARLIEST_START: Final = timedelta(seconds=60)
"""How late it may start at least: the controller looks every ten seconds."""
SHORTEST: Final = timedelta(minutes=10)
"""How long a run without a time limit may take at least, however soon the next is due."""
SUCCESSES: Final = 3
"""How many Jobs that succeeded stay to be looked at."""
MOST_KEPT: Final = 100
"""How many of a bare command stay at most."""

_SCHEDULED_AT: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def cronjob(workload: Workload, settings: KubernetesSettings, launch: Launch, schedule: Schedule) -> Made:
    """The CronJob of a task; the same each time for the same task. The actor of its runs is itself.

    Raises:
        ManifestUnfit, NotDerivable: see :func:`oneoff.kube.derive.derive`.
    """
    name = cronjob_name(workload.name, launch.task)
    launch = replace(
        launch,
        actor=f"cron:{name}",
        actor_kind="schedule",
        about={**launch.about, "schedule": name},
        marks={**launch.marks, SCHEDULE: name},
    )
    made = pod(workload, settings, launch)
    period = schedule.period()
    longest = deadline(launch.timeout, settings.start_within)
    active = longest if launch.timeout else min(longest, max(period, SHORTEST))
    head = head_of(workload, settings, launch, name, made)
    late = max(min(period / 2, LATEST_START), EARLIEST_START)
    kept = SUCCESSES if launch.command is None else _uncollected(period)
    own = {key: head[key] for key in ("labels", "annotations")}
    spec: Object = {
        "schedule": schedule.expression,
        "timeZone": schedule.time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": int(late.total_seconds()),
        "successfulJobsHistoryLimit": kept,
        "failedJobsHistoryLimit": max(kept, 5),
        "jobTemplate": {"metadata": own, "spec": job_spec(made, launch, active)},
    }
    return Made(
        object={"apiVersion": "batch/v1", "kind": "CronJob", "metadata": head, "spec": spec},
        derived=made.derived,
        identity=made.identity,
    )


def _uncollected(period: timedelta) -> int:
    """How many Jobs of a bare command stay: until it is collected, nothing else tells of a run."""
    return min(max(SUCCESSES, ceil(KEPT_FOR / period)), MOST_KEPT)


def schedule_of(job: Object) -> str | None:
    """The CronJob that a Job is of, by its name; None where a person made it, or something else."""
    owners = metadata(job).get("ownerReferences") or []
    owner = next((str(one["name"]) for one in owners if one.get("kind") == "CronJob"), None)
    return owner or annotations_of(job).get(SCHEDULE)


def slot_of(job: Object) -> Slot | None:
    """The slot of a Job that a CronJob made; None where a person made it, or something else.

    Read from the Job's name; the annotation says the same, and came later.
    """
    schedule = schedule_of(job)
    if schedule is None:
        return None
    stamp = annotations_of(job).get(_SCHEDULED_AT)
    at = datetime.fromisoformat(stamp).astimezone(UTC) if stamp else None
    return slot_named(schedule, name_of(job)) or (Slot(schedule, at) if at else None)
