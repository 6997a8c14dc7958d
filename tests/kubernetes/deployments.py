"""Deployments whose pods really run, and the endpoints of Services: for tests that ask for it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import threading

from tests.kubernetes import selectors
from tests.kubernetes.answers import Refused
from tests.kubernetes.kinds import Kind, Object
from tests.kubernetes.removal import Removal
from tests.kubernetes.resources import MERGE, Caller, Resources
from tests.kubernetes.storage import Change

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_OF_SERVICE = "kubernetes.io/service-name"
_WATCHED = ("deployments", "replicasets", "pods", "services")


class Deployments:
    """A thread that brings each Deployment up to date; it does nothing until it is started.

    A change of the template stops the old pods at once, without a rolling update.
    """

    def __init__(self, resources: Resources, removal: Removal) -> None:
        self.resources = resources
        self.storage = resources.storage
        self.removal = removal
        self._due = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look after the Deployments and Services of the cluster."""
        self._thread = threading.Thread(target=self._run, name="deployments", daemon=True)
        self.storage.listen(self._note)
        self._due.set()
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _note(self, change: Change) -> None:
        if change.key.plural in _WATCHED:
            self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._stopped:
                return
            with self.storage.lock:
                for deployment in self.storage.items("apps", "deployments"):
                    with contextlib.suppress(Refused):  # its namespace goes, or a quota is used up
                        self._look(deployment)
                for service in self.storage.items("", "services"):
                    with contextlib.suppress(Refused):
                        self._point(service)

    def _look(self, deployment: Object) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        if "deletionTimestamp" in meta:
            return
        text = json.dumps(spec["template"], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:9]
        sets = [
            each for each in self.storage.items("apps", "replicasets", meta["namespace"]) if _owns(meta, each)
        ]
        current = next((each for each in sets if each["metadata"]["labels"][_HASH] == digest), None)
        if current is None:
            revision = 1 + max((int(each["metadata"]["annotations"][_REVISION]) for each in sets), default=0)
            current = self._create(_replica_set(deployment, digest, revision))
            self._merge("deployments", deployment, {"metadata": {"annotations": {_REVISION: str(revision)}}})
        wanted = spec["replicas"]
        old = [each for each in sets if each["metadata"]["uid"] != current["metadata"]["uid"]]
        left = sum(self._scale(each, 0)[0] for each in old)
        total, ready = self._scale(current, wanted)
        reason = "NewReplicaSetAvailable" if ready == wanted else "ReplicaSetUpdated"
        available = "MinimumReplicasAvailable" if ready >= wanted else "MinimumReplicasUnavailable"
        status: Object = {
            "observedGeneration": meta["generation"],
            "replicas": left + total,
            "updatedReplicas": total,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [
                {"type": "Available", "status": str(ready >= wanted), "reason": available},
                {"type": "Progressing", "status": "True", "reason": reason},
            ],
        }
        self._write_status("Deployment", deployment, status)

    def _scale(self, replica_set: Object, wanted: int) -> tuple[int, int]:
        """Make or delete its pods; how many there are, and how many are ready."""
        meta, spec = replica_set["metadata"], replica_set["spec"]
        if spec["replicas"] != wanted:
            self._merge("replicasets", replica_set, {"spec": {"replicas": wanted}})
        pods = [
            pod
            for pod in self.storage.items("", "pods", meta["namespace"])
            if _owns(meta, pod) and "deletionTimestamp" not in pod["metadata"]
        ]
        for pod in pods[wanted:]:
            self.removal.delete_pod(self._kind("Pod").key(meta["namespace"], pod["metadata"]["name"]))
        pods = pods[:wanted]
        for _ in range(wanted - len(pods)):
            head = copy.deepcopy(spec["template"]["metadata"])
            head |= {"generateName": f"{meta['name']}-", "namespace": meta["namespace"]}
            head["ownerReferences"] = [_owner("apps/v1", replica_set)]
            body = {"spec": copy.deepcopy(spec["template"]["spec"])}
            pods.append(self._create({"apiVersion": "v1", "kind": "Pod", "metadata": head} | body))
        ready = sum(map(_ready, pods))
        counts = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        generation = meta["generation"] + (spec["replicas"] != wanted)
        self._write_status("ReplicaSet", replica_set, {"observedGeneration": generation, **counts})
        return len(pods), ready

    def _point(self, service: Object) -> None:
        """The endpoints of a Service: every pod that its selector selects."""
        meta, wanted = service["metadata"], service["spec"].get("selector")
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": _ready(pod)},
                "targetRef": {
                    "kind": "Pod",
                    "name": pod["metadata"]["name"],
                    "namespace": meta["namespace"],
                },
            }
            for pod in self.storage.items("", "pods", meta["namespace"])
            if wanted and selectors.matches({"matchLabels": wanted}, pod["metadata"].get("labels") or {})
            if pod["status"].get("podIP") and pod["status"]["phase"] == "Running"
        ]
        head: Object = {"name": f"{meta['name']}-endpoints", "namespace": meta["namespace"]}
        head |= {"labels": {_OF_SERVICE: meta["name"]}, "ownerReferences": [_owner("v1", service)]}
        ports = [{"port": port["port"]} for port in service["spec"].get("ports") or []]
        found = self.storage.get(self._kind("EndpointSlice").key(meta["namespace"], head["name"]))
        if found is None:
            body = {"addressType": "IPv4", "endpoints": endpoints, "ports": ports}
            self._create(
                {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": head} | body
            )
        elif found["endpoints"] != endpoints:
            self._merge("endpointslices", found, {"endpoints": endpoints})

    def _kind(self, name: str) -> Kind:
        return self.storage.kinds.named(name)

    def _create(self, thing: Object) -> Object:
        kind = self.storage.kinds.of(thing)
        return self.resources.create(kind, thing["metadata"]["namespace"], thing, Caller())

    def _merge(self, plural: str, thing: Object, change: Object) -> None:
        kind, meta = self._kind(plural), thing["metadata"]
        self.resources.patch(kind, meta["namespace"], meta["name"], (MERGE, change), Caller())

    def _write_status(self, kind: str, thing: Object, status: Object) -> None:
        key = self._kind(kind).key(thing["metadata"]["namespace"], thing["metadata"]["name"])
        self.storage.mutate(key, lambda each: each.update(status=status))


def _replica_set(deployment: Object, digest: str, revision: int) -> Object:
    meta, spec = deployment["metadata"], copy.deepcopy(deployment["spec"])
    template = spec["template"]
    template["metadata"]["labels"] = {**template["metadata"]["labels"], _HASH: digest}
    labels = {**spec["selector"]["matchLabels"], _HASH: digest}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{digest}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {_REVISION: str(revision)},
            "ownerReferences": [_owner("apps/v1", deployment)],
        },
        "spec": {"replicas": spec["replicas"], "selector": {"matchLabels": labels}, "template": template},
    }


def _owner(api_version: str, owner: Object) -> Object:
    head = {"apiVersion": api_version, "kind": owner["kind"]}
    head |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    return head | {"controller": True, "blockOwnerDeletion": True}


def _owns(owner: Object, thing: Object) -> bool:
    references = thing["metadata"].get("ownerReferences") or []
    return any(one["uid"] == owner["uid"] for one in references)


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
