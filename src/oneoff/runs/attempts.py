"""Attempts of one run: where a cluster takes its pod away, the next pod goes on under an id of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from oneoff.errors import RunNotFound
from oneoff.runs.run import Run
from oneoff.runs.status import Status
from oneoff.types import LONGEST_RUN_ID, RunId

CUT_OFF = frozenset({Status.INTERRUPTED, Status.LOST})
"""Ended from outside, before it was done."""


def attempt(first: RunId, number: int) -> RunId:
    """The id of an attempt; the first has that of the run itself."""
    if number == 1:
        return first
    suffix = f"-{number}"
    return RunId(first[: LONGEST_RUN_ID - len(suffix)] + suffix)


def number_of(first: str, run_id: str) -> int | None:
    """Which attempt of the run has this id; None where it is of another run."""
    if run_id == first:
        return 1
    found = re.fullmatch(r".+-([0-9]{1,4})", run_id)
    number = int(found[1]) if found else 0
    return number if number > 1 and attempt(RunId(first), number) == run_id else None


def last_attempt(run: Run, look: Callable[[RunId], Run]) -> Run:
    """The run, or the attempt that went on last where it was cut off.

    Args:
        look: Finds a run by its id; raises RunNotFound.
    """
    first, number = run.id, 1
    with suppress(RunNotFound):
        while run.status in CUT_OFF:
            number += 1
            later = look(attempt(first, number))
            if later.rerun_of != run.id:
                break
            run = later
    return run
