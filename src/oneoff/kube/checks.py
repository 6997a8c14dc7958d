"""One thing that is looked at before a run is launched, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failure"]
"""``failure``: the run would not start, or would do harm; ``warning``: it may, or nobody could look."""


@dataclass(frozen=True)
class Check:
    """What was found of one thing."""

    name: str
    state: State
    message: str
    next_step: str = ""


def not_looked_at(name: str, why: str) -> Check:
    """It could not be looked at, which is never the same as being well."""
    return Check(name, "warning", f"not looked at: {why}")
