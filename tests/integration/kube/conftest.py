"""A fake cluster, and the seam to it as the command line builds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import Cluster
from oneoff.settings.kubernetes import KubernetesSettings
from tests.kubernetes import FakeKubernetes


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeKubernetes]:
    """A fast cluster with the namespace ``shop``."""
    with FakeKubernetes(tmp_path / "cluster", speed=20) as fake:
        fake.create_namespace("shop")
        yield fake


@pytest.fixture
def cluster(fake: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The client of an administrator."""
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "kubeconfig", namespace="shop")))
    cluster = connect(KubernetesSettings())
    yield cluster
    cluster.close()
