"""Two streams and an exit code in one log: Kubernetes keeps what a container prints in one.

Each line of the log is a frame: which stream a line belongs to, and whether it goes on. The last one has the
exit code and the number of frames before it, so that a log that was cut anywhere is known to be. Frames are
short, so that other processes of the container cannot write into one; and they are text in UTF-8 whatever is
in them, because not everything that carries logs carries bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Stream = Literal[1, 2]
"""Standard output and standard error, by their descriptors."""

_LONGEST: Final = 1000
"""Characters of one frame: less than 4096 bytes, which a pipe takes at once (``PIPE_BUF``)."""
_WHOLE, _PIECE, _UNENDED = "|", "+", "."
"""A line, or its end; what more follows of; the end of a stream that has no end of line."""

FIRST_FRAME: Final = b"\noneoff/>\n"
"""Begins an answer. The empty line ends whatever was printed before in the same container."""
_FRAME: Final = re.compile(rb"oneoff/(?:([12])([|+.])(.*)|=(\d+) (\d+)(?: (.*))?|>)", re.DOTALL)
_ESCAPED: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), 0x7F)},
    **{0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)},  # bytes that are no UTF-8 (PEP 383)
    ord("\\"): "\\\\",
}
_ESCAPE: Final = re.compile(rb"\\(?:(\\)|x([0-9a-f]{2}))")


def frames(stream: Stream, line: bytes) -> Iterator[bytes]:
    """One line, with its end if it has one, as lines of the log."""
    content = line.removesuffix(b"\n")
    text = content.decode("utf-8", "surrogateescape").translate(_ESCAPED)
    pieces = [text[start : start + _LONGEST] for start in range(0, len(text), _LONGEST)] or [""]
    for piece in pieces[:-1]:
        yield f"oneoff/{stream}{_PIECE}{piece}\n".encode()
    yield f"oneoff/{stream}{_UNENDED if content == line else _WHOLE}{pieces[-1]}\n".encode()


def last_frame(exit_code: int, count: int, note: str = "") -> bytes:
    """How it ended, after so many frames, with whatever else whoever reads it should know."""
    return f"oneoff/={exit_code} {count} {note}".rstrip().encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class Framed:
    """What a log held."""

    stdout: bytes
    stderr: bytes
    """With the lines that are no frames: of what started the process, or of its oneoff, if that is older."""
    exit_code: int | None
    """None where the log is not whole: it was cut, or the process was killed."""
    note: str = ""
    begun: bool = False
    """Whether there was any frame."""


def read(log: bytes) -> Framed:
    """The inverse of :func:`frames` and :func:`last_frame`.

    Where a second pod was started for one Job there are two answers, and the first whole one counts.
    """
    answer, others = _Answer(), list[bytes]()
    for line in log.split(b"\n"):
        found = _FRAME.fullmatch(line)
        if found is None:
            others += [line, b"\n"] if line else []
        elif not answer.whole:
            if line == FIRST_FRAME.strip():
                answer = _Answer()
            answer.take(found)
    return Framed(
        stdout=_unescaped(b"".join(answer.streams[b"1"])),
        stderr=b"".join(others) + _unescaped(b"".join(answer.streams[b"2"])),
        exit_code=answer.exit_code if answer.whole else None,
        note=answer.note,
        begun=answer.begun,
    )


class _Answer:
    """What the frames of one process have said so far."""

    def __init__(self) -> None:
        self.streams: dict[bytes, list[bytes]] = {b"1": [], b"2": []}
        self.exit_code = 0
        self.note = ""
        self.begun = self.whole = False
        self._count = 0

    def take(self, frame: re.Match[bytes]) -> None:
        self.begun = True
        stream, kind, text, code, count, note = frame.groups()
        if stream:
            self._count += 1
            self.streams[stream] += [text, b"\n"] if kind == _WHOLE.encode() else [text]
        elif code:
            self.exit_code, self.note = int(code), (note or b"").decode(errors="replace")
            self.whole = int(count) == self._count


def _unescaped(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: b"\\" if found[1] else bytes([int(found[2], 16)]), text)
