"""How a run ended, as the command line says it: in a line, and by its exit code."""

from __future__ import annotations

from oneoff.cli.output import duration
from oneoff.runs.run import Run

FOUND_EFFECTS = 10
"""Exit code of a dry run with ``--exit-code`` that found effects."""
LET_GO = 130
"""Exit code of a command that was interrupted while it watched a run: 128 + SIGINT, as a shell has it."""


def ending_line(run: Run) -> str:
    """How a run stands, in one line."""
    outcome = run.outcome
    parts = [f"run {run.id}", "(dry run)" if run.dry_run else "", run.status.replace("_", " ")]
    if outcome and outcome.duration_ms is not None:
        parts.append(f"after {duration(outcome.duration_ms)}")
    line = " ".join(part for part in parts if part)
    return f"{line}: {outcome.error}" if outcome and outcome.error else line
