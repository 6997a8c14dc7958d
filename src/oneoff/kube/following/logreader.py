"""Reads the log of one container from its first line to its last, through lost connections.

A kubelet gives a log again from a whole second on, in the same order. So the stamps of the last seconds are
kept, and as many lines of each stamp as were had already are passed over: no line is lost or comes twice,
whatever lines have the same stamp or the same text, and however standard output and error are mixed. What the
kubelet has rotated away (10 MiB of a log, if nothing else is set) before it was read is gone.
"""

from __future__ import annotations

import re
import time
from array import array
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from oneoff.errors import ClusterError, LogNotReady, NotPermitted, ObjectMissing
from oneoff.kube.api.cluster import Cluster
from oneoff.kube.following.inbox import Inbox, Worker

PAUSES: Final = (0.1, 0.3, 1.0, 2.0, 5.0)
"""Seconds between two attempts to read on; the last for good."""
GIVE_UP: Final = 60.0
"""Seconds without a new line after which the log of a container that has ended is not asked for again."""

_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ")


class Place:
    """How far a log has been read."""

    def __init__(self) -> None:
        self._had: dict[int, array[int]] = {}
        """Hashes of the stamps that were had, by their second, in order."""
        self._second: int | None = None
        """That of the last line."""
        self._prefix = b""
        self._stamps = array("q")
        self._again: Counter[int] = Counter()

    def begin(self) -> str | None:
        """The log is read again: from when on; None for all of it."""
        self._again = Counter()
        for stamps in self._had.values():
            self._again.update(stamps)
        if self._second is None:
            return None
        # The next line may be older by a little, and in the second before: that of the other stream.
        return f"{datetime.fromtimestamp(self._second - 1, UTC):%Y-%m-%dT%H:%M:%SZ}"

    def is_new(self, stamp: bytes) -> bool:
        """Whether a line with this stamp has not been had yet; from then on it has."""
        key = hash(stamp)
        if self._again:
            if self._again[key] > 0:
                self._again[key] -= 1
                return False
            del self._again[key]
        if stamp[:19] != self._prefix:
            self._prefix = stamp[:19]
            self._turn_to(int(datetime.fromisoformat(stamp.decode()).timestamp()))
        self._stamps.append(key)
        return True

    def _turn_to(self, second: int) -> None:
        """Keep what may come again: from the second before this one, or before one that is older by one."""
        self._second = second
        self._had = {kept: stamps for kept, stamps in self._had.items() if kept >= second - 2}
        self._stamps = self._had.setdefault(second, array("q"))


def split(line: bytes) -> tuple[bytes, bytes]:
    """A line's stamp and what was printed; no stamp where the kubelet says something of its own."""
    found = _STAMP.match(line)
    return (found[1], line[found.end() :]) if found else (b"", line)


@dataclass(frozen=True)
class Paused:
    """A log came to an end for now: its container may have ended."""


@dataclass(frozen=True)
class Read:
    """All lines of a log are in the inbox, before this."""

    reader: LogReader
    problem: str
    """Why it is not whole."""


class LogReader(Worker):
    """Brings the lines of a log to an inbox."""

    def __init__(self, cluster: Cluster, pod: str, container: str, inbox: Inbox) -> None:
        super().__init__(f"log-{pod}", inbox)
        self.pod = pod
        self.heard = time.monotonic()
        """When something came last."""
        self._lines = 0
        """How many have been had."""
        self._progress_at = self.heard
        """When the last of them came, or the container had ended."""
        self._cluster = cluster
        self._container = container
        self._place = Place()
        self._rest = b""
        """A last line that has no end yet."""
        self._clean = False
        """Whether what was read last came to its end."""
        self._ended = False

    def end(self) -> None:
        """The container has ended: what can be read now is all."""
        if not self._ended:
            self._ended, self._progress_at = True, time.monotonic()
            self.wake()

    def work(self) -> None:
        failures, problem = 0, ""
        while True:
            ended, before, was_clean = self._ended, self._lines, self._clean
            try:
                self._read(follow=not ended)
            except ClusterError as error:
                hopeless, problem = self._judge(error, was_clean)
                if hopeless:
                    break
            else:
                if ended:
                    break
                self.inbox.put(Paused())
            failures = 0 if self._lines != before else failures + 1
            self.pause(PAUSES[min(failures, len(PAUSES) - 1)])
        if self._rest:
            self.inbox.write(self, self._rest)
        self.inbox.put(Read(self, problem))

    def silent_for(self) -> float:
        """Seconds since something came."""
        return time.monotonic() - self.heard

    def _read(self, *, follow: bool) -> None:
        self._clean = False
        since = self._place.begin()
        is_new, write = self._place.is_new, self.inbox.write
        for line in self._cluster.log(self.pod, self._container, follow=follow, since=since):
            self.heard = now = time.monotonic()
            stamp, text = split(line)
            if not line.endswith(b"\n"):
                self._rest = text  # the connection may have been lost in the middle of it
                continue
            self._rest = b""
            if not stamp or is_new(stamp):
                self._lines += 1
                self._progress_at = now
                write(self, text)
        self._clean = True

    def _judge(self, error: ClusterError, was_clean: bool) -> tuple[bool, str]:
        """Whether there is no use in asking again, and what is missing then."""
        if isinstance(error, ObjectMissing):
            return True, "" if was_clean else "its pod is gone, and with it what was not read of its log"
        if isinstance(error, LogNotReady) and self._ended:
            return True, ""
        given_up = self._ended and time.monotonic() - self._progress_at > GIVE_UP
        if isinstance(error, NotPermitted) or given_up:
            return True, f"its log cannot be read to its end: {error.message}"
        return False, ""
