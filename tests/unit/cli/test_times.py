"""Points in time as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from oneoff.cli.times import since
from oneoff.errors import UsageError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("2h", NOW - timedelta(hours=2)),
        ("-2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T09:00Z", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31T09:00+02:00", datetime(2026, 1, 31, 9, tzinfo=timezone(timedelta(hours=2)))),
        ("999999d", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_what_can_be_typed(text: str | None, moment: datetime | None) -> None:
    """A while ago, a day, a full time; UTC where no zone is given; all of time where it is too long ago."""
    assert since(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "9" * 50 + "d", "12"])
def test_what_is_no_time(text: str) -> None:
    """It is a mistake of the command, with examples."""
    with pytest.raises(UsageError, match="is no time") as caught:
        since(text, NOW)
    assert "2h" in caught.value.next_step
