"""Points in time as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

from oneoff.errors import UsageError
from oneoff.tasks import durations
from oneoff.tasks.kind import Unfit


def since(text: str | None, now: datetime) -> datetime | None:
    """``2h`` ago, ``7d`` ago, a day, or a full time; a time without a zone is in UTC."""
    if text is None:
        return None
    try:
        return now - abs(durations.parse_duration(text))
    except OverflowError:  # longer ago than a calendar goes back
        return datetime.min.replace(tzinfo=UTC)
    except Unfit:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", next_step="write 2h, 7d, 2026-01-31 or 2026-01-31T09:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
