"""What every `Cluster` has to do. Needs a namespace of its own; makes nothing outside of it."""

from __future__ import annotations

import pytest

from oneoff.errors import FieldConflict, ObjectExists, ObjectMissing
from oneoff.kube.cluster import CONFIG_MAPS, JOBS, NAMESPACES, Cluster, Selection
from oneoff.kube.objects import Object


def settings(name: str, **data: str) -> Object:
    """A ConfigMap: nothing acts on it."""
    meta = {"name": name, "labels": {"part": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


class ClusterContract:
    def test_objects_come_back_as_they_were_made(self, cluster: Cluster) -> None:
        made = cluster.create(CONFIG_MAPS, settings("made", a="1"))
        assert cluster.get(CONFIG_MAPS, "made") == made
        assert made["data"] == {"a": "1"}

    def test_what_is_there_is_not_made_again(self, cluster: Cluster) -> None:
        cluster.create(CONFIG_MAPS, settings("twice"))
        with pytest.raises(ObjectExists):
            cluster.create(CONFIG_MAPS, settings("twice"))

    def test_nothing_is_made_by_a_dry_run(self, cluster: Cluster) -> None:
        cluster.create(CONFIG_MAPS, settings("shown"), dry_run=True)
        with pytest.raises(ObjectMissing):
            cluster.get(CONFIG_MAPS, "shown")

    def test_a_list_has_what_fits(self, cluster: Cluster) -> None:
        first = cluster.create(CONFIG_MAPS, settings("first"))
        cluster.create(CONFIG_MAPS, settings("second"))
        assert cluster.list(CONFIG_MAPS, Selection(labels={"part": "first"})).items == [first]
        assert cluster.list(CONFIG_MAPS, Selection(fields={"metadata.name": "first"})).items == [first]

    def test_a_patch_merges(self, cluster: Cluster) -> None:
        cluster.create(CONFIG_MAPS, settings("merged", a="1", b="2"))
        changed = cluster.patch(CONFIG_MAPS, "merged", {"data": {"b": None, "c": "3"}})
        assert changed["data"] == {"a": "1", "c": "3"}

    def test_a_field_of_another_manager_is_a_conflict(self, cluster: Cluster) -> None:
        cluster.apply(CONFIG_MAPS, settings("owned", a="1"))
        cluster.patch(CONFIG_MAPS, "owned", {"data": {"a": "2"}})
        with pytest.raises(FieldConflict):
            cluster.apply(CONFIG_MAPS, settings("owned", a="3"))
        assert cluster.apply(CONFIG_MAPS, settings("owned", a="3"), force=True)["data"] == {"a": "3"}

    def test_only_this_very_object_is_deleted(self, cluster: Cluster) -> None:
        made = cluster.create(CONFIG_MAPS, settings("gone"))
        with pytest.raises(ObjectMissing):
            cluster.delete(CONFIG_MAPS, "gone", uid="00000000-0000-0000-0000-000000000000")
        cluster.delete(CONFIG_MAPS, "gone", uid=made["metadata"]["uid"])
        with pytest.raises(ObjectMissing):
            cluster.delete(CONFIG_MAPS, "gone", uid=made["metadata"]["uid"])

    def test_a_watch_sees_what_comes_after_its_version(self, cluster: Cluster) -> None:
        version = cluster.list(CONFIG_MAPS).version
        cluster.create(CONFIG_MAPS, settings("seen"))
        chosen = Selection(labels={"part": "seen"})
        seen = list(cluster.watch(CONFIG_MAPS, chosen, version=version, seconds=1))
        found = [(kind, thing["metadata"]["name"]) for kind, thing in seen if kind != "BOOKMARK"]
        assert found == [("ADDED", "seen")]

    def test_it_says_who_we_are_and_what_we_may(self, cluster: Cluster) -> None:
        assert cluster.whoami().name
        assert cluster.may("create", JOBS)
        assert cluster.version() >= (1, 30)
        assert cluster.get(NAMESPACES, cluster.namespace)["kind"] == "Namespace"
