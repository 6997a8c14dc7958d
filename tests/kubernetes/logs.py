"""The log of a container: lines with the time at which they came, and how a client reads them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from tests.kubernetes import answers

Line = tuple[int, bytes]
"""When it came, in nanoseconds since 1970, and what it is, with its end of line."""


def written(nanoseconds: int) -> str:
    """A time as logs carry it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


class Log:
    """Grows while the container runs, then is closed."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.closed = False
        self._more = threading.Condition()

    def add(self, line: bytes) -> None:
        with self._more:
            self.lines.append((time.time_ns(), line))
            self._more.notify_all()

    def close(self) -> None:
        with self._more:
            self.closed = True
            self._more.notify_all()

    def tail(self, lines: int, length: int) -> str:
        """The end of the log, as a termination message that falls back to it."""
        text = b"".join(line for _, line in self.lines[-lines:])
        return text[-length:].decode(errors="replace")

    def read(self, query: Mapping[str, str], stopped: Callable[[], bool]) -> Iterator[bytes]:
        """What a client asked for, line by line; with ``follow`` until the container has ended.

        Refused, at once, with 400 for a question that makes no sense.
        """
        since = _since(query)
        return self._lines(query, since, self._first(query, since), stopped)

    def _lines(
        self, query: Mapping[str, str], since: int, place: int, stopped: Callable[[], bool]
    ) -> Iterator[bytes]:
        stamps = query.get("timestamps") == "true"
        left = int(query["limitBytes"]) if "limitBytes" in query else None
        while True:
            with self._more:
                if query.get("follow") == "true":
                    while place >= len(self.lines) and not self.closed and not stopped():
                        self._more.wait(0.2)
                batch = self.lines[place:]
            if not batch or stopped():
                return
            place += len(batch)
            for at, line in batch:
                if at < since:
                    continue
                shown = f"{written(at)} ".encode() + line if stamps else line
                if left is not None:
                    shown = shown[:left]
                    left -= len(shown)
                    if not shown:
                        return
                yield shown

    def _first(self, query: Mapping[str, str], since: int) -> int:
        with self._more:
            wanted = [place for place, (at, _) in enumerate(self.lines) if at >= since]
            if "tailLines" in query:
                tail = int(query["tailLines"])
                wanted = wanted[len(wanted) - tail :] if 0 < tail <= len(wanted) else wanted if tail else []
            return wanted[0] if wanted else len(self.lines)


def _since(query: Mapping[str, str]) -> int:
    """The first moment that is asked for, in nanoseconds since 1970; whole seconds, as a kubelet reads it."""
    if "sinceTime" in query and "sinceSeconds" in query:
        raise answers.bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if "sinceSeconds" in query:
        return int((datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))).timestamp() * 1e9)
    if "sinceTime" in query:
        try:
            at = datetime.fromisoformat(query["sinceTime"].replace("Z", "+00:00"))
        except ValueError as error:
            raise answers.bad_request(f"parsing time: {error}") from error
        return int(at.timestamp()) * 1_000_000_000
    return 0
