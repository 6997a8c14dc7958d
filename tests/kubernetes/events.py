"""Events: what controllers say about objects, counted where they say it again."""

from __future__ import annotations

import itertools

from tests.kubernetes import apply
from tests.kubernetes.apply import Manager
from tests.kubernetes.kinds import Key, Object
from tests.kubernetes.storage import Storage, timestamp

NODE = "node1"
_MANAGERS = {"default-scheduler": "scheduler", "kubelet": "kubelet"}


class Recorder:
    """Writes Events as one component."""

    _numbers = itertools.count(0x18EA874D00000000)

    def __init__(self, storage: Storage, component: str) -> None:
        self.storage = storage
        self.component = component

    def say(
        self, about: Object, reason: str, message: str, *, warn: bool = False, container: str = ""
    ) -> None:
        """Record an Event; the same words about the same object only raise the count."""
        with self.storage.lock:
            involved = _reference(about, container)
            namespace = about["metadata"]["namespace"]
            for event in self.storage.items("", "events", namespace):
                same = event["involvedObject"]["uid"] == involved["uid"]
                if same and (event["reason"], event["message"]) == (reason, message):
                    self._again(event)
                    return
            self._first(namespace, involved, reason, message, "Warning" if warn else "Normal")

    def _again(self, event: Object) -> None:
        def count(found: Object) -> None:
            found["count"] += 1
            found["lastTimestamp"] = timestamp()

        meta = event["metadata"]
        self.storage.mutate(Key("", "events", meta["namespace"], meta["name"]), count)

    def _first(self, namespace: str, involved: Object, reason: str, message: str, type_: str) -> None:
        now, on_node = timestamp(), self.component == "kubelet"
        event: Object = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": f"{involved['name']}.{next(self._numbers):x}", "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": {"component": self.component} | ({"host": NODE} if on_node else {}),
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type_,
            "eventTime": None,
            "reportingComponent": self.component,
            "reportingInstance": NODE if on_node else "",
        }
        kind = self.storage.kinds.of(event)
        manager = Manager(_MANAGERS.get(self.component, "kcm"), "Update", "v1")
        apply.record_update({**kind.zero, "metadata": {}}, event, manager)
        self.storage.create(Key("", "events", namespace, event["metadata"]["name"]), event)


def _reference(about: Object, container: str) -> Object:
    meta = about["metadata"]
    reference = {"kind": about["kind"], "namespace": meta["namespace"], "name": meta["name"]}
    reference |= {"uid": meta["uid"], "apiVersion": about["apiVersion"]}
    reference["resourceVersion"] = meta["resourceVersion"]
    return reference | ({"fieldPath": f"spec.containers{{{container}}}"} if container else {})
