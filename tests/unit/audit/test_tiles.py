"""Names and numbers of a tiled log against the examples of its specification."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.audit.tiles import WIDTH, Tile, bundle, levels, tiles


def test_the_example_of_the_specification() -> None:
    """A log of 70,000 events: 273 full tiles and one of 112; one full and one of 17; one of 1."""
    widths = [Counter(tile.width for tile in tiles(70_000, level)) for level in levels(70_000)]
    assert widths == [{256: 273, 112: 1}, {256: 1, 17: 1}, {1: 1}]


def test_a_full_tile_is_hashed_into_the_level_above() -> None:
    """Already where it is the only one."""
    assert [list(tiles(256, level)) for level in levels(256)] == [[Tile(0, 0, 256)], [Tile(1, 0, 1)]]
    assert [list(tiles(255, level)) for level in levels(255)] == [[Tile(0, 0, 255)]]
    assert list(levels(0)) == []


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0, 256), "tile/0/000"),
        (Tile(1, 7, 17), "tile/1/007.p/17"),
        (Tile(0, 999, 256), "tile/0/999"),
        (Tile(0, 1000, 1), "tile/0/x001/000.p/1"),
        (Tile(0, 1234067, 256), "tile/0/x001/x234/067"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    """Three digits to a folder, an x before all but the last."""
    assert tile.path == path
    assert tile.bundle == path.replace(f"tile/{tile.level}/", "tile/entries/")


@given(st.integers(0, 20_000), st.integers(0, 2))
def test_the_tiles_of_a_level_hold_all_of_it(size: int, level: int) -> None:
    """floor(size / 256**level) hashes, none twice, and only the last tile is partial."""
    found = list(tiles(size, level))
    places = [place for tile in found for place in tile.places]
    assert places == [(8 * level, position) for position in range(size // 256**level)]
    assert all(tile.full for tile in found[:-1])
    assert all(tile.width <= WIDTH for tile in found)


def test_a_bundle() -> None:
    """Each event behind its length in two bytes, the high one first."""
    assert bundle([b"ab", b"", b"c" * 258]) == b"\x00\x02ab\x00\x00\x01\x02" + b"c" * 258
