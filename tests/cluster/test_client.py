"""The client, against a real API server: the contract that the fake is held to as well."""

from __future__ import annotations

import pytest

from oneoff.kube.api.cluster import Cluster
from oneoff.kube.objects import Object
from tests.cluster.world import World
from tests.contract.cluster_contract import ClusterContract

pytestmark = pytest.mark.timeout(1500)


class TestCluster(ClusterContract):
    @pytest.fixture
    def cluster(self, world: World) -> Cluster:
        return world.admin

    @pytest.fixture
    def pod(self, world: World) -> Object:
        return world.script("")

    @pytest.fixture
    def patience(self, world: World) -> float:
        return world.patience
