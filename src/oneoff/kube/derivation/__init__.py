"""From the pod template of a release to the Job of a run, the CronJob of a schedule, an errand."""

from __future__ import annotations
