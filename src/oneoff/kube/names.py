"""Names and labels that Kubernetes takes, the same each time for the same thing."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

MAX_NAME: Final = 63
"""A Job's name becomes a label and the name of a host (RFC 1123)."""
MAX_SCHEDULED: Final = 31
"""A CronJob's Jobs are called ``NAME-MINUTE``, eight digits more, and that is the id of a run: at most 40."""


def job_name(task: str, run_id: str) -> str:
    """``TASK-RUN``: the run's id is whole, and the task's name as far as there is room."""
    room = MAX_NAME - len(run_id) - 1
    return f"{_label(task)[:room].strip('-')}-{run_id}".lstrip("-")


def cronjob_name(workload: str, task: str) -> str:
    """``WORKLOAD-TASK``; where that is too long, its beginning and eight letters that stand for the whole."""
    whole = _label(f"{workload}-{task}")
    if len(whole) <= MAX_SCHEDULED and whole == f"{workload}-{task}":
        return whole
    mark = sha256(f"{workload}-{task}".encode()).hexdigest()[:8]
    return f"{whole[: MAX_SCHEDULED - 9].rstrip('-')}-{mark}"


def label_value(text: str) -> str:
    """The text as the value of a label, as far as that can hold it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:63].strip("_.-")


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
