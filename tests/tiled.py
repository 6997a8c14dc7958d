"""Reads a folder of tiles as a client of C2SP ``tlog-tiles`` would, with nothing of oneoff's own code."""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path


def read(folder: Path) -> list[bytes]:
    """Every event of the folder, once each tile and the checkpoint were computed again from the events."""
    origin, size_line, root_line = (folder / "checkpoint").read_text().split("\n")[:3]
    assert origin.startswith("oneoff/")
    size, events, bundle = int(size_line), list[bytes](), 0
    while bundle * 256 < size:
        events += _entries(_file(folder, "entries", bundle, min(256, size - bundle * 256)))
        bundle += 1
    assert len(events) == size
    hashes = [sha256(b"\x00" + event).digest() for event in events]
    level = 0
    while hashes:
        for start in range(0, len(hashes), 256):
            group = hashes[start : start + 256]
            assert _file(folder, str(level), start // 256, len(group)) == b"".join(group)
        hashes = [
            _root(hashes[start : start + 256]) for start in range(0, len(hashes) - len(hashes) % 256, 256)
        ]
        level += 1
    leaves = [sha256(b"\x00" + event).digest() for event in events]
    assert base64.b64decode(root_line) == _root(leaves)
    return events


def _file(folder: Path, kind: str, index: int, width: int) -> bytes:
    number = f"{index:03d}"
    while len(number) % 3:
        number = "0" + number
    parts = [number[at : at + 3] for at in range(0, len(number), 3)]
    path = folder.joinpath("tile", kind, *(f"x{part}" for part in parts[:-1]), parts[-1])
    if width < 256:
        path = path.with_name(path.name + ".p") / str(width)
    return path.read_bytes()


def _entries(data: bytes) -> list[bytes]:
    found = []
    while data:
        length = data[0] << 8 | data[1]
        assert len(data) >= 2 + length
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found


def _root(hashes: list[bytes]) -> bytes:
    """The definition of RFC 6962 §2.1, as it stands there."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\x01" + _root(hashes[:split]) + _root(hashes[split:])).digest()
