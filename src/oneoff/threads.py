"""The threads that a task starts, and may leave behind."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Ours(threading.Thread):
    """A thread of oneoff's own, which is no newcomer: nobody waits for it."""


class Newcomers:
    """The threads that were started after this was made, by whomever."""

    def __init__(self) -> None:
        self._before = frozenset(threading.enumerate())

    def alive(self) -> set[threading.Thread]:
        """Those that still run, without the caller's own; nobody knows when one made by ``_thread`` ends."""
        started = set(threading.enumerate()) - self._before - {threading.current_thread()}
        return {thread for thread in started if not isinstance(thread, Ours | threading._DummyThread)}

    def when_gone(self, then: Callable[[], None]) -> None:
        """Call ``then`` once none is left: at once where there is none, else in a thread of its own."""
        if self.alive():
            Ours(target=self._outlive, args=[then], name="oneoff-guard", daemon=True).start()
        else:
            then()

    def _outlive(self, then: Callable[[], None]) -> None:
        while left := self.alive():
            for thread in left:
                thread.join()
        then()
