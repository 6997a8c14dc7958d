"""A live app for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.shop import Shop, shop


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Shop]:
    """An app in a fast cluster, and a laptop without it."""
    with shop(tmp_path) as found:
        yield found


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Shop]:
    """The same in a cluster whose deadlines and graces come soon."""
    with shop(tmp_path, limits=20) as found:
        yield found
