"""Which events may be pruned: the longest beginning of the log that is old enough. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from oneoff.audit.event import StoredEvent
from oneoff.types import JSONObject, RunId, rfc3339

OPEN_LIMIT = 80
"""How many runs may be under way at the place of a cut: the event that states it names them all."""


@dataclass(frozen=True)
class Cut:
    """A beginning of the log."""

    start: int
    """The first event that is there now."""
    to: int
    """The first one that stays."""
    oldest: str | None = None
    newest: str | None = None
    """Times of what goes."""
    runs: int = 0
    """How many runs start in it."""
    open: frozenset[RunId] = frozenset()
    """Runs that start in it and end later."""

    @property
    def count(self) -> int:
        return self.to - self.start

    def statement(self, root: bytes, before: datetime, reason: str, note: str | None) -> JSONObject:
        """What the event ``log.pruned`` says.

        Args:
            note: a signed checkpoint of the log at ``to``; None where no key is configured.
        """
        signed: JSONObject = {} if note is None else {"note": note}
        return signed | {
            "from": self.start,
            "to": self.to,
            "root": root.hex(),
            "before": rfc3339(before),
            "oldest": self.oldest,
            "newest": self.newest,
            "open": [*sorted(self.open)],
            "reason": reason,
        }


def longest(
    events: Iterable[StoredEvent],
    start: int,
    before: datetime,
    *,
    under_way: Container[RunId],
    opened: frozenset[RunId] = frozenset(),
) -> Cut:
    """The longest beginning of events older than ``before`` in which no run is that is under way.

    Clocks may have jumped: the beginning ends with the first event that is not older, whatever follows.

    Args:
        events: from ``start`` on; read as far as need be.
        opened: runs that had started before ``start`` and ended later.
    """
    end, best = rfc3339(before), Cut(start, start, open=opened)
    now = best
    for event in events:
        time = str(event.columns["time"])
        if time >= end or RunId(str(event.columns["run_id"])) in under_way:
            break
        now = _with(now, event, time)
        if len(now.open) <= OPEN_LIMIT:
            best = now
    return best


def _with(cut: Cut, event: StoredEvent, time: str) -> Cut:
    run_id, type_ = RunId(str(event.columns["run_id"])), event.columns["type"]
    starts = type_ == "starting"
    opened = cut.open | {run_id} if starts else cut.open - {run_id} if type_ == "outcome" else cut.open
    return replace(
        cut,
        to=event.seq + 1,
        oldest=min(cut.oldest or time, time),
        newest=max(cut.newest or time, time),
        runs=cut.runs + starts,
        open=opened,
    )
