"""What is being read from an API server, so that another thread can end it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from oneoff.errors import ClusterUnreachable
from oneoff.kube.api.connection.http import Answer


class Streams:
    """Answers that are open, and threads that wait for their turn to ask again."""

    def __init__(self) -> None:
        self._open: set[Answer] = set()
        self._changed = threading.Condition()
        self._times = 0

    @contextlib.contextmanager
    def reading(self, answer: Answer) -> Iterator[None]:
        """While an answer is read."""
        with self._changed:
            self._open.add(answer)
        try:
            yield
        finally:
            with self._changed:
                self._open.discard(answer)
            answer.close()

    def pause(self, seconds: float) -> None:
        """Wait before asking again. Raises ClusterUnreachable where somebody hung up."""
        with self._changed:
            before = self._times
            if self._changed.wait_for(lambda: self._times != before, seconds):
                raise ClusterUnreachable("nobody waits for the answer any more")

    def hang_up(self) -> None:
        """End all of it, from whatever thread: a reader sees a lost connection."""
        with self._changed:
            self._times += 1
            self._changed.notify_all()
            for answer in self._open:
                with contextlib.suppress(OSError):  # it is closed already
                    answer.cut()
