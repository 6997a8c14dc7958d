"""The slot of a schedule's run: which schedule, and for which of its times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Slot:
    """One time of one schedule: it is run once, however many Jobs are made for it."""

    schedule: str
    """The CronJob's name."""
    at: datetime


def slot_named(schedule: str, name: str) -> Slot | None:
    """The slot that a name stands for; None where the schedule did not give it.

    The controller of CronJobs calls a Job ``SCHEDULE-MINUTE``, in minutes since 1970.
    """
    found = re.fullmatch(rf"{re.escape(schedule)}-([0-9]{{8,9}})", name)
    return Slot(schedule, datetime.fromtimestamp(int(found[1]) * 60, UTC)) if found else None
