"""What the threads that read from a cluster bring to the one that follows a run."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

ROOM: Final = 4 * 1024 * 1024
"""Bytes of logs that may wait to be written; who brings more has to wait."""


class InboxClosed(Exception):
    """Nobody takes anything any more: the thread has to end."""


@dataclass
class Lines:
    """Lines of one log, in order."""

    source: Any
    lines: list[bytes] = field(default_factory=list)


class Inbox:
    """Keeps the order in which things came; lines one after another from the same source are one entry."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._entries: deque[Any] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False

    def write(self, source: object, line: bytes) -> None:
        """A line of a log. Raises InboxClosed."""
        with self._changed:
            while self._bytes >= self._room and not self._closed:
                self._changed.wait()
            self.check()
            last = self._entries[-1] if self._entries else None
            if not isinstance(last, Lines) or last.source is not source:
                last = Lines(source)
                self._entries.append(last)
                self._changed.notify_all()
            last.lines.append(line)
            self._bytes += len(line)

    def put(self, entry: object) -> None:
        """Anything else. Raises InboxClosed."""
        with self._changed:
            self.check()
            self._entries.append(entry)
            self._changed.notify_all()

    def take(self, seconds: float) -> list[Any]:
        """All that is there; waits so long for the first."""
        with self._changed:
            if not self._entries:
                self._changed.wait(seconds)
            taken = list(self._entries)
            self._entries.clear()
            self._bytes = 0
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def check(self) -> None:
        """Raises InboxClosed."""
        if self._closed:
            raise InboxClosed
