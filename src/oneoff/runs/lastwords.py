"""What a run says of its end in a few bytes, to whoever started its process and has no store at hand.

Kubernetes keeps 4096 bytes that a container leaves in a file. They may hold anything else as well, such as
the end of the output of a process that was killed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from oneoff.runs.run import Run
from oneoff.runs.status import FINAL, Status
from oneoff.types import RunId

MAX_BYTES = 4000
_FORMAT = "oneoff.dev/run"


@dataclass(frozen=True)
class LastWords:
    """A run's own word on its end."""

    id: str
    status: Status
    message: str
    """Why it failed or was refused, for people; its end is cut off where it is long."""
    checkpoint: str | None
    has_effects: bool | None = None
    """Whether its effects were measured and there were any."""
    log: str | None = None
    """The name of the audit log that the checkpoint is of."""


def last_words(run: Run, log: str | None = None) -> str:
    """One line of JSON of at most 4000 bytes on a run that has ended.

    Args:
        log: The name of the audit log that its checkpoint is of.
    """
    report = run.report
    return _written(
        run.id,
        run.status,
        (run.outcome.error if run.outcome else None) or "",
        checkpoint=run.checkpoint,
        log=log,
        has_effects=bool(report["has_effects"]) if report and "has_effects" in report else None,
    )


def refusal_words(run_id: RunId, message: str) -> str:
    """The same for a run that was refused before it had a record."""
    return _written(run_id, Status.REFUSED, message, checkpoint=None, log=None, has_effects=None)


def _written(
    run_id: RunId,
    status: Status,
    message: str,
    *,
    checkpoint: str | None,
    log: str | None,
    has_effects: bool | None,
) -> str:
    message = message[:MAX_BYTES]
    while True:
        text = json.dumps(
            {
                "kind": _FORMAT,
                "id": run_id,
                "status": status.value,
                "message": message,
                "checkpoint": checkpoint,
                "log": log,
                "has_effects": has_effects,
            },
            separators=(",", ":"),
        )
        if len(text) <= MAX_BYTES:
            return text
        message = message[: len(message) - max(1, (len(text) - MAX_BYTES) // 12)]


def read_last_words(text: str) -> LastWords | None:
    """The inverse of :func:`last_words`; None where the text is something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("kind") != _FORMAT:
        return None
    run_id, status, message, checkpoint, log = (
        found.get(key) for key in ("id", "status", "message", "checkpoint", "log")
    )
    final = {one.value: one for one in FINAL}
    effects = found.get("has_effects")
    if not isinstance(run_id, str) or not isinstance(status, str) or status not in final:
        return None
    return LastWords(
        run_id,
        final[status],
        message if isinstance(message, str) else "",
        checkpoint if isinstance(checkpoint, str) else None,
        effects if isinstance(effects, bool) else None,
        log if isinstance(log, str) else None,
    )
