"""What a launcher knows of a run that the run's own process cannot know: who asked, when, and for what place.

It travels with the process, in Kubernetes as an annotation that the pod reads as ``ONEOFF_INTENT``; the
process records it with the run. Whoever may write it may make pods of the app, and so could do all that the
app can: it says who is at work, and decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from oneoff.runs.slot import slot_named
from oneoff.types import JSONObject, RunId, from_rfc3339, rfc3339

KUBERNETES = "kubernetes"
"""The launcher of a run whose process is a pod."""

SYNCED_BY = "synced_by"
"""The claim of a schedule's run that says who applied the schedule, and so confirmed each of its runs."""
SYNCED_AT = "synced_at"

_FORMAT = "oneoff.dev/intent"


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One wish, as a launcher hands it on."""

    kind: str
    """Of the actor: human, ci, schedule or agent."""
    actor: str
    """Who asked, as the launcher knows it: in Kubernetes, the API server's word (SelfSubjectReview)."""
    run_id: RunId | None = None
    """None for a schedule, each of whose Jobs is a run, and for what is no run."""
    requested_at: datetime | None = None
    confirmation: str | None = None
    """How it was confirmed where it was asked for."""
    launch: JSONObject | None = None
    """Of which workload and image it was made, and in what it differs from the app; of which schedule."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """What else the launcher says of the actor: :data:`SYNCED_BY`, :data:`SYNCED_AT`."""

    def launch_of(self, run_id: RunId | None) -> JSONObject | None:
        """The same for one run, with the slot where the run is one of a schedule's."""
        schedule = (self.launch or {}).get("schedule")
        slot = slot_named(schedule, run_id) if isinstance(schedule, str) and run_id else None
        return {**(self.launch or {}), "slot": rfc3339(slot.at)} if slot else self.launch


def write_intent(intent: Intent) -> str:
    """One line of JSON."""
    return json.dumps(
        {
            "format": _FORMAT,
            "run": intent.run_id,
            "actor": {"kind": intent.kind, "name": intent.actor, "claims": dict(intent.claims)},
            "requested_at": rfc3339(intent.requested_at) if intent.requested_at else None,
            "confirmation": intent.confirmation,
            "launch": intent.launch,
        },
        separators=(",", ":"),
        sort_keys=True,
    )


def read_intent(text: str) -> Intent | None:
    """The inverse of :func:`write_intent`; None where the text is something else."""
    try:
        found = json.loads(text)
        if found["format"] != _FORMAT:
            return None
        actor, launch, at = found["actor"], found["launch"], found["requested_at"]
        texts = (actor["kind"], actor["name"], found["run"], found["confirmation"])
        if not all(one is None or isinstance(one, str) for one in texts) or None in texts[:2]:
            return None
        return Intent(
            kind=actor["kind"],
            actor=actor["name"],
            run_id=found["run"],
            requested_at=from_rfc3339(at) if at else None,
            confirmation=found["confirmation"],
            launch=launch if isinstance(launch, dict) else None,
            claims={name: str(value) for name, value in (actor.get("claims") or {}).items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None
