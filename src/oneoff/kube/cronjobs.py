"""The CronJob of a schedule, and the slot that one of its Jobs stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from oneoff.kube.jobs import Launch, Made, deadline, head_of, job_spec, pod
from oneoff.kube.names import cronjob_name
from oneoff.kube.objects import Object, metadata, name_of
from oneoff.kube.workload import Workload
from oneoff.schedules.schedule import Schedule
from oneoff.settings import KubernetesSettings

LATEST_START: Final = timedelta(hours=1)
"""How late a run may start at most, where the next is far away."""
EARLIEST_START: Final = timedelta(seconds=60)
"""How late it may start at least: the controller looks every ten seconds."""
SHORTEST: Final = timedelta(minutes=10)
"""How long a run without a time limit may take at least, however soon the next is due."""

_SCHEDULED_AT: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"


@dataclass(frozen=True)
class Slot:
    """One time of one schedule: it is run once, however many Jobs are made for it."""

    schedule: str
    """The CronJob's name."""
    at: datetime


def cronjob(workload: Workload, settings: KubernetesSettings, launch: Launch, schedule: Schedule) -> Made:
    """The CronJob of a task; the same each time for the same task.

    Raises:
        ManifestUnfit, NotDerivable: see :func:`oneoff.kube.derive.derive`.
    """
    made = pod(workload, settings, launch)
    period = schedule.period()
    longest = deadline(launch.timeout, settings.start_within)
    active = longest if launch.timeout else min(longest, max(period, SHORTEST))
    head = head_of(workload, settings, launch, cronjob_name(workload.name, launch.task), made)
    late = max(min(period / 2, LATEST_START), EARLIEST_START)
    own = {key: head[key] for key in ("labels", "annotations")}
    spec: Object = {
        "schedule": schedule.expression,
        "timeZone": schedule.time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": int(late.total_seconds()),
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 5,
        "jobTemplate": {"metadata": own, "spec": job_spec(made, launch, active)},
    }
    return Made(
        object={"apiVersion": "batch/v1", "kind": "CronJob", "metadata": head, "spec": spec},
        derived=made.derived,
        identity=made.identity,
    )


def slot_of(job: Object) -> Slot | None:
    """The slot of a Job that a CronJob made; None where a person made it, or something else.

    Read from the Job's name, which the controller makes of the CronJob's and of the minute; the annotation
    says the same, and came later.
    """
    owner = next(
        (one for one in metadata(job).get("ownerReferences") or [] if one.get("kind") == "CronJob"), None
    )
    if owner is None:
        return None
    found = re.fullmatch(rf"{re.escape(str(owner['name']))}-([0-9]{{8,10}})", name_of(job))
    if found is not None:
        return Slot(owner["name"], datetime.fromtimestamp(int(found[1]) * 60, UTC))
    stamp = (metadata(job).get("annotations") or {}).get(_SCHEDULED_AT)
    return Slot(owner["name"], datetime.fromisoformat(stamp).astimezone(UTC)) if stamp else None
