"""The log as static files (C2SP ``tlog-tiles``): its tree in tiles of 256 hashes, its events beside. Pure.

    checkpoint                      the note, or the three lines of it where no key is configured
    tile/<L>/<N>[.p/<W>]            hashes; each one at level L covers 256**L events
    tile/entries/<N>[.p/<W>]        the events themselves, each behind its length in 16 bits

Only what is at the right edge is partial, ``.p/<W>`` with its W hashes; a full file never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oneoff.audit.merkle import Place

WIDTH = 256
"""Hashes in a full tile, and events in a full bundle."""
_HEIGHT = 8  # 2**8 == WIDTH
CHECKPOINT = "checkpoint"
ENTRIES = "entries"


@dataclass(frozen=True)
class Tile:
    """One file below ``tile/``."""

    level: int
    index: int
    width: int

    @property
    def full(self) -> bool:
        return self.width == WIDTH

    @property
    def path(self) -> str:
        """Where the hashes are."""
        return _path(str(self.level), self)

    @property
    def bundle(self) -> str:
        """Where the events are, for a tile of level 0."""
        return _path(ENTRIES, self)

    @property
    def places(self) -> list[Place]:
        """The complete subtrees whose hashes are in it, in order."""
        first = self.index * WIDTH
        return [(self.level * _HEIGHT, first + number) for number in range(self.width)]


def tiles(size: int, level: int) -> Iterator[Tile]:
    """The tiles of one level of a log with ``size`` events; none where the level is above its tree."""
    full, rest = divmod(size >> level * _HEIGHT, WIDTH)
    for index in range(full):
        yield Tile(level, index, WIDTH)
    if rest:
        yield Tile(level, full, rest)


def levels(size: int) -> range:
    """The levels that a log of this size has tiles of."""
    return range((size.bit_length() + _HEIGHT - 1) // _HEIGHT)


def bundle(bodies: Iterable[bytes]) -> bytes:
    """The events of one file; no event is longer than 16 bits can say."""
    return b"".join(len(body).to_bytes(2) + body for body in bodies)


def _path(kind: str, tile: Tile) -> str:
    digits = f"{tile.index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{kind}/{number}" + ("" if tile.full else f".p/{tile.width}")
