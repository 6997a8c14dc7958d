"""The variables by which the processes of a run are known."""

from __future__ import annotations

from collections.abc import Mapping

RUN_ID = "ONEOFF_RUN_ID"
"""The id of the run, for whoever wants to read it. Another store may have a run of the same id."""
MARK = "ONEOFF_MARK"
"""A random word for one execution of one run: by it, not by the id, it is known what a run has started."""


def environ_of(run_id: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables for a process of this run that is not ended by a mark."""
    return {name: value for name, value in inherited.items() if name != MARK} | {RUN_ID: run_id}
