"""The client, against the fake API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import Cluster
from oneoff.settings.kubernetes import KubernetesSettings
from tests.contract.cluster_contract import ClusterContract
from tests.kubernetes import FakeKubernetes


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeKubernetes]:
    with FakeKubernetes(tmp_path / "cluster", speed=20) as fake:
        fake.create_namespace("shop")
        yield fake


class TestFakeKubernetes(ClusterContract):
    @pytest.fixture
    def cluster(self, fake: FakeKubernetes, tmp_path: Path) -> Iterator[Cluster]:
        config = fake.kubeconfig(tmp_path / "kubeconfig", namespace="shop")
        cluster = connect(KubernetesSettings(), {"KUBECONFIG": str(config)})
        yield cluster
        cluster.close()
