"""What every `Cluster` has to do, a fake one or a real one; makes nothing outside of its namespace."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import pytest

from oneoff.errors import ClusterError, FieldConflict, LogNotReady, ObjectExists, ObjectMissing
from oneoff.kube.api.cluster import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    Cluster,
    Resource,
    Selection,
)
from oneoff.kube.objects import Object, name_of

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The uid of no object."""


def configuration(name: str, **data: str) -> Object:
    """A ConfigMap with a label of its name: nothing acts on it."""
    meta = {"name": name, "labels": {"part": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def of(name: str) -> Selection:
    return Selection(labels={"part": name})


def eventually(found: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so."""
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, "what was waited for did not come"
        time.sleep(0.05)


class ClusterContract:
    @pytest.fixture
    def name(self) -> str:
        """A new name: a real cluster keeps what earlier tests made."""
        return f"oneoff-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def pod(self) -> Object:
        """The spec of a pod that runs once; its container ``main`` is of an image with a Python."""
        return {"restartPolicy": "Never", "containers": [{"name": "main", "image": "app:1"}]}

    @pytest.fixture
    def patience(self) -> float:
        """Seconds after which what has not come will not come."""
        return 60.0

    def test_objects_come_back_as_they_were_made(self, cluster: Cluster, name: str) -> None:
        made = cluster.create(CONFIG_MAPS, configuration(name, a="größe\n"))
        assert cluster.get(CONFIG_MAPS, name) == made
        assert made["data"] == {"a": "größe\n"}
        assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")
        assert made["metadata"]["namespace"] == cluster.namespace

    def test_what_is_there_is_not_made_again(self, cluster: Cluster, name: str) -> None:
        cluster.create(CONFIG_MAPS, configuration(name))
        with pytest.raises(ObjectExists, match=name):
            cluster.create(CONFIG_MAPS, configuration(name))

    def test_what_is_not_there(self, cluster: Cluster, name: str) -> None:
        with pytest.raises(ObjectMissing, match=name):
            cluster.get(DEPLOYMENTS, name)
        with pytest.raises(ObjectMissing, match=name):
            cluster.patch(CONFIG_MAPS, name, {"data": {}})
        with pytest.raises(ObjectMissing, match=name):
            list(cluster.log(name, "main"))
        assert cluster.list(CONFIG_MAPS, of(name)).items == []

    def test_a_kind_that_is_not_there(self, cluster: Cluster) -> None:
        with pytest.raises(ObjectMissing, match=r"no things of oneoff\.example/v1"):
            cluster.list(Resource("oneoff.example", "v1", "Thing", "things"))

    def test_nothing_is_made_by_a_dry_run(self, cluster: Cluster, name: str) -> None:
        cluster.create(CONFIG_MAPS, configuration(name), dry_run=True)
        cluster.apply(CONFIG_MAPS, configuration(name), dry_run=True)
        with pytest.raises(ObjectMissing):
            cluster.get(CONFIG_MAPS, name)

    def test_a_rehearsal_tells_what_the_server_warns_of(self, cluster: Cluster, name: str) -> None:
        container = {"name": "main", "image": "a"}
        spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
        thing = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        assert cluster.rehearse(JOBS, thing) == []
        dotted = {**thing, "metadata": {"name": f"{name}.v1.2"}}
        (warning,) = cluster.rehearse(JOBS, dotted)
        assert "a DNS label is recommended" in warning
        for made in (name, f"{name}.v1.2"):
            with pytest.raises(ObjectMissing):
                cluster.get(JOBS, made)
        with pytest.raises(ClusterError, match=r"metadata\.name"):
            cluster.rehearse(JOBS, {**thing, "metadata": {"name": "A"}})

    def test_what_is_not_accepted_is_told_by_its_field(self, cluster: Cluster, name: str) -> None:
        container = {"name": "main", "image": "a"}
        spec = {"template": {"spec": {"restartPolicy": "Always", "containers": [container]}}}
        thing = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        with pytest.raises(ClusterError, match=r"spec\.template\.spec\.restartPolicy"):
            cluster.create(JOBS, thing)

    def test_a_list_has_what_fits(self, cluster: Cluster, name: str) -> None:
        first = cluster.create(CONFIG_MAPS, configuration(name))
        second = cluster.create(CONFIG_MAPS, configuration(f"{name}-2"))
        assert cluster.list(CONFIG_MAPS, of(name)).items == [first]
        by_field = {"metadata.name": f"{name}-2"}
        assert cluster.list(CONFIG_MAPS, Selection(fields=by_field)).items == [second]
        assert cluster.list(CONFIG_MAPS, Selection(labels={"part": name}, fields=by_field)).items == []

    def test_a_patch_merges(self, cluster: Cluster, name: str) -> None:
        cluster.create(CONFIG_MAPS, configuration(name, a="1", b="2"))
        changed = cluster.patch(CONFIG_MAPS, name, {"data": {"b": None, "c": "3"}})
        assert changed["data"] == {"a": "1", "c": "3"}

    def test_a_field_of_another_manager_is_a_conflict(self, cluster: Cluster, name: str) -> None:
        cluster.apply(CONFIG_MAPS, configuration(name, a="1"))
        cluster.patch(CONFIG_MAPS, name, {"data": {"a": "2"}})
        with pytest.raises(FieldConflict, match=r"\.data\.a"):
            cluster.apply(CONFIG_MAPS, configuration(name, a="3"))
        assert cluster.apply(CONFIG_MAPS, configuration(name, a="3"), force=True)["data"] == {"a": "3"}

    def test_what_an_object_owns_may_stay(self, cluster: Cluster, name: str, patience: float) -> None:
        """It has no owner then."""
        owner = cluster.create(CONFIG_MAPS, configuration(name))
        owned = configuration(f"{name}-owned")
        uid = owner["metadata"]["uid"]
        owned["metadata"]["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "blockOwnerDeletion": True}
        ]
        made = cluster.create(CONFIG_MAPS, owned)
        cluster.delete(CONFIG_MAPS, name, uid=uid, orphan=True)
        eventually(lambda: not cluster.list(CONFIG_MAPS, of(name)).items, patience)
        left = cluster.get(CONFIG_MAPS, name_of(owned))["metadata"]
        assert (left["uid"], "ownerReferences" in left) == (made["metadata"]["uid"], False)
        cluster.delete(CONFIG_MAPS, name_of(owned), uid=left["uid"])

    def test_only_this_very_object_is_deleted(self, cluster: Cluster, name: str, patience: float) -> None:
        made = cluster.create(CONFIG_MAPS, configuration(name))
        with pytest.raises(ObjectMissing):
            cluster.delete(CONFIG_MAPS, name, uid=NOBODY)
        assert cluster.get(CONFIG_MAPS, name) == made
        cluster.delete(CONFIG_MAPS, name, uid=made["metadata"]["uid"])
        eventually(lambda: not cluster.list(CONFIG_MAPS, of(name)).items, patience)
        with pytest.raises(ObjectMissing):
            cluster.delete(CONFIG_MAPS, name, uid=made["metadata"]["uid"])

    def test_a_watch_sees_what_comes_after_its_version(self, cluster: Cluster, name: str) -> None:
        cluster.create(CONFIG_MAPS, configuration(name))
        version = cluster.list(CONFIG_MAPS).version
        uid = cluster.patch(CONFIG_MAPS, name, {"data": {"a": "1"}})["metadata"]["uid"]
        cluster.create(CONFIG_MAPS, configuration(f"{name}-2"))
        cluster.delete(CONFIG_MAPS, name, uid=uid)
        seen = [
            (kind, name_of(thing), thing.get("data"))
            for kind, thing in cluster.watch(CONFIG_MAPS, of(name), version=version, seconds=2)
            if kind != "BOOKMARK"
        ]
        assert seen[0] == ("MODIFIED", name, {"a": "1"})
        assert seen[-1] == ("DELETED", name, {"a": "1"})
        assert {each for _, each, _ in seen} == {name}

    def test_a_watch_ends_by_itself(self, cluster: Cluster) -> None:
        version = cluster.list(CONFIG_MAPS).version
        start = time.monotonic()
        list(cluster.watch(CONFIG_MAPS, of("nothing"), version=version, seconds=1))
        assert 0.5 < time.monotonic() - start < 5

    def test_another_thread_can_end_what_is_read(self, cluster: Cluster) -> None:
        """At once, and only what is read at that moment."""
        version = cluster.list(CONFIG_MAPS).version
        watch = cluster.watch(CONFIG_MAPS, of("nothing"), version=version, seconds=60)
        reader = threading.Thread(target=list, args=[watch], daemon=True)
        reader.start()
        time.sleep(1)
        assert reader.is_alive()
        cluster.hang_up()
        reader.join(5)
        assert not reader.is_alive()
        assert cluster.list(CONFIG_MAPS, of("nothing")).items == []

    def test_a_job_is_followed_and_goes_with_its_pods(
        self, cluster: Cluster, name: str, pod: Object, patience: float
    ) -> None:
        """Its log, with the stamps by which it is read on; then it is deleted with what it owns."""
        script = "import os, time; os.write(1, b'one\\n'); time.sleep(1); os.write(1, 'größe\\n'.encode())"
        pod["containers"][0]["command"] = ["python", "-c", script]
        spec = {"backoffLimit": 0, "template": {"spec": pod}}
        thing = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        made = cluster.create(JOBS, thing)
        its = Selection(labels={"batch.kubernetes.io/job-name": name})
        eventually(lambda: bool(cluster.list(PODS, its).items), patience)
        lines = self._log(cluster, name_of(cluster.list(PODS, its).items[0]), patience)
        assert [line.partition(b" ")[2] for line in lines] == [b"one\n", "größe\n".encode()]
        assert all(line[4:5] == b"-" and line[10:11] == b"T" for line in lines)
        cluster.delete(JOBS, name, uid=made["metadata"]["uid"], grace=0)
        by_name = Selection(fields={"metadata.name": name})
        eventually(lambda: not cluster.list(JOBS, by_name).items, patience)
        assert cluster.list(PODS, its).items == []

    def _log(self, cluster: Cluster, pod: str, patience: float) -> list[bytes]:
        """All of it, once the container has started."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                lines = list(cluster.log(pod, "main", follow=True))
            except LogNotReady:
                lines = []
            if lines:
                return lines
            time.sleep(0.1)  # a pod without a node has an empty log
        raise AssertionError("the pod has not started")

    def test_it_says_who_we_are_and_what_we_may(self, cluster: Cluster) -> None:
        assert cluster.whoami().name
        assert cluster.may("create", JOBS)
        assert cluster.may("get", PODS, subresource="log")
        assert cluster.may("get", NAMESPACES, name=cluster.namespace)
        assert all(rule["verbs"] and rule["resources"] for rule in cluster.rules())
        assert cluster.version() >= (1, 30)
        assert name_of(cluster.get(NAMESPACES, cluster.namespace)) == cluster.namespace
        assert cluster.context
