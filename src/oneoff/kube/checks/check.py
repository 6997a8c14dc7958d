"""One thing that is looked at before a run is launched, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oneoff.errors import OneoffError

State = Literal["ok", "warning", "failure"]
"""``failure``: the run would not start, or would do harm; ``warning``: it may, or nobody could look."""


@dataclass(frozen=True)
class Check:
    """What was found of one thing."""

    name: str
    state: State
    message: str
    next_step: str = ""


def not_looked_at(name: str, *reasons: OneoffError) -> Check:
    """It could not be looked at, which is never the same as being well."""
    steps = dict.fromkeys(reason.next_step for reason in reasons if reason.next_step)
    return Check(
        name,
        "warning",
        f"not looked at: {'; '.join(reason.message for reason in reasons)}",
        "; ".join(steps),
    )
