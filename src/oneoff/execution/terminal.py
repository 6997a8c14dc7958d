"""The terminal of a run, with at most one status line at its foot, and text that is safe to show there."""

from __future__ import annotations

import os
import re
import select
import threading
from contextlib import suppress

_ERASE = b"\r\x1b[K"
_WIDTH = 80
_UNSAFE = (
    "[\x00-\x1f\x7f-\x9f"  # control characters, C0 and C1
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of what follows
    "\ud800-\udfff]"  # surrogates without a partner: no encoding takes them
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """The text on one line, with every character escaped that could forge lines or steer a terminal.

    The escapes are those of JSON strings (RFC 8259 §7), so a JSON text stays one.
    """
    if text.isprintable():
        return text
    return re.sub(_UNSAFE, _escape, text)


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}"


def cells(text: str) -> int:
    """How many columns the text takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte, also to a descriptor that somebody made non-blocking. Raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll()


class Terminal:
    """What stderr showed before the run's output was diverted: maybe a terminal, maybe not.

    The status line is drawn below whatever else is printed: output that goes through :meth:`write` takes it
    away first and puts it back once the cursor stands at the start of a line. Safe to use from threads; does
    nothing in a process that a task forked, where the lock might be held for ever.
    """

    def __init__(self, fd: int) -> None:
        self.isatty = os.isatty(fd)
        self._fd = fd
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._line = ""
        self._drawn = False
        self._at_line_start = True

    @property
    def width(self) -> int:
        """Columns, as of now: the window may have been resized."""
        try:
            return os.get_terminal_size(self._fd).columns or _WIDTH
        except OSError:
            return _WIDTH

    def show(self, line: str) -> None:
        """Make this the status line; an empty one takes it away. It has to fit :attr:`width`."""
        if not self.isatty or os.getpid() != self._owner:
            return
        with self._lock:
            self._line = line
            if self._at_line_start:
                self._draw(line)

    def write(self, fd: int, data: bytes) -> None:
        """Write output to ``fd``, which leads to this terminal. Raises OSError."""
        with self._lock:
            if self._drawn:
                self._draw("")
            write_all(fd, data)
            self._at_line_start = data.endswith(b"\n")
            if self._line and self._at_line_start:
                self._draw(self._line)

    def _draw(self, line: str) -> None:
        with suppress(OSError):  # a terminal that is gone is no reason for a task to fail
            write_all(self._fd, _ERASE + line.encode(errors="backslashreplace"))
        self._drawn = bool(line)
