"""What a task tried and a guard stopped, each thing once and in order. Threads may add to it at once."""

from __future__ import annotations

from collections.abc import Callable

from oneoff.errors import DryRunStopped
from oneoff.guards import where

_MOST = 100
"""Different attempts that are kept; a task that swallows what it is told may try for ever."""
_LENGTH = 300


class Attempts:
    """Notes down what was tried."""

    def __init__(self, mask: Callable[[str], str] = str) -> None:
        """``mask``: goes over each text before it is cut, which may make a secret unknowable."""
        self.mask = mask
        self._texts: dict[str, None] = {}
        self._left_out = 0

    def note(self, what: str, why: str) -> DryRunStopped:
        """Record what the task would do; the signal that ends the task is for the caller to raise."""
        place = where.line()
        text = f"the task would {_short(self.mask(what))}{f' ({place})' if place else ''}, {why}"
        if len(self._texts) < _MOST:
            self._texts.setdefault(text)
        elif text not in self._texts:
            self._left_out += 1
        return DryRunStopped(text)

    @property
    def texts(self) -> tuple[str, ...]:
        more = (f"and {self._left_out:,} other attempts",) if self._left_out else ()
        return (*self._texts, *more)


def _short(text: str) -> str:
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}…"
