"""A cluster for each of the fake's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes import FakeKubernetes
from tests.kubernetes.wire import Wire


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FakeKubernetes]:
    """A fast cluster with the namespace ``shop``."""
    with FakeKubernetes(tmp_path / "cluster", speed=20) as cluster:
        cluster.create_namespace("shop")
        yield cluster


@pytest.fixture
def wire(cluster: FakeKubernetes) -> Wire:
    """Asks the cluster as its administrator."""
    return Wire(cluster.url)
