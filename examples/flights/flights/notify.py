"""Tell the people on duty. Stands in for a mail or a chat message: a line in ``data/outbox.txt``."""

from __future__ import annotations

from flights.db import DATA

OUTBOX = DATA / "outbox.txt"


def tell(text: str) -> None:
    """Send one line."""
    OUTBOX.parent.mkdir(parents=True, exist_ok=True)
    with OUTBOX.open("a", encoding="utf-8") as outbox:
        outbox.write(text + "\n")
