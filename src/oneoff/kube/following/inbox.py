"""What the threads that read from a cluster bring to the one that follows a run."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
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


@dataclass(frozen=True)
class Broken:
    """A thread ended by what nobody foresaw."""

    error: Exception


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


class Worker(threading.Thread):
    """Brings something to an inbox until that is closed; what breaks it is brought as well."""

    def __init__(self, name: str, inbox: Inbox) -> None:
        super().__init__(name=f"oneoff-{name}", daemon=True)
        self.inbox = inbox
        self._wake = threading.Event()

    def work(self) -> None:
        """What it does; InboxClosed ends it."""
        raise NotImplementedError

    def run(self) -> None:
        with suppress(InboxClosed):
            try:
                self.work()
            except InboxClosed:
                raise
            except Exception as error:
                self.inbox.put(Broken(error))

    def wake(self) -> None:
        """End its pause."""
        self._wake.set()

    def pause(self, seconds: float) -> None:
        """Wait until it is woken, so long at most. Raises InboxClosed."""
        self.inbox.check()
        self._wake.wait(seconds)
        self._wake.clear()
        self.inbox.check()
