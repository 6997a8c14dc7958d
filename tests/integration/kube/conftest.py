"""A cluster, and the client that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oneoff.kube.client import connect
from oneoff.kube.cluster import Cluster
from oneoff.settings import KubernetesSettings
from tests.kubernetes import FakeKubernetes


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeKubernetes]:
    """An empty cluster."""
    with FakeKubernetes(tmp_path / "cluster", speed=20) as fake:
        yield fake


@pytest.fixture
def cluster(fake: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Its namespace ``shop``, as its administrator."""
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "kubeconfig", namespace="shop")))
    cluster = connect(KubernetesSettings())
    yield cluster
    cluster.close()
