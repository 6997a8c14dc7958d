"""Objects under one revision counter, with the history that a watch reads."""

from __future__ import annotations

import copy
import threading
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.kubernetes import answers
from tests.kubernetes.kinds import Key, Kind, Kinds, Object


def timestamp(at: datetime | None = None) -> str:
    """A time as the API writes it: whole seconds, UTC."""
    return (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Change:
    """One step in the history of one object."""

    revision: int
    type: str
    key: Key
    object: Object
    before: Object | None


class Storage:
    """All objects of the cluster.

    Every read and write takes the one lock, so a change is seen whole or not at all. Objects go in and
    out as copies. ``history`` keeps the last ``kept`` changes; older revisions are answered with 410.
    """

    def __init__(self, kinds: Kinds, kept: int = 10_000) -> None:
        self.kinds = kinds
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.revision = 1
        self.oldest = 0
        """The last revision that a watch can no longer start from."""
        self.history: list[Change] = []
        self._kept = kept
        self._objects: dict[Key, Object] = {}
        self._listeners: list[Callable[[Change], None]] = []

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call ``listener`` with every change, under the lock: it must only take note."""
        self._listeners.append(listener)

    def get(self, key: Key) -> Object | None:
        with self.lock:
            return copy.deepcopy(self._objects.get(key))

    def items(self, group: str, plural: str, namespace: str = "") -> list[Object]:
        """The objects of a kind, by namespace and name; of all namespaces where none is given."""
        with self.lock:
            return [copy.deepcopy(self._objects[key]) for key in self._keys(group, plural, namespace)]

    def keys(self, namespace: str) -> list[Key]:
        """Everything in a namespace."""
        with self.lock:
            return [key for key in self._objects if key.namespace == namespace]

    def every(self) -> Iterator[tuple[Key, Object]]:
        """Every object, with its key."""
        with self.lock:
            return iter([(key, copy.deepcopy(obj)) for key, obj in self._objects.items()])

    def create(self, key: Key, obj: Object) -> Object:
        """Store a new object; Refused with 409 where the name is taken."""
        with self.lock:
            if key in self._objects:
                raise answers.already_exists(self.kinds.stored(key), key.name)
            stored = copy.deepcopy(obj)
            meta = stored["metadata"]
            meta.setdefault("uid", str(uuid.uuid4()))
            meta.setdefault("creationTimestamp", timestamp())
            return self._write("ADDED", key, stored)

    def update(self, key: Key, obj: Object) -> Object:
        """Replace an object; nothing is written, and no revision used, where nothing differs."""
        with self.lock:
            before = self._objects[key]
            stored = copy.deepcopy(obj)
            stored["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
            if stored == before:
                return copy.deepcopy(before)
            return self._write("MODIFIED", key, stored)

    def mutate(self, key: Key, change: Callable[[Object], None]) -> Object | None:
        """Change an object in place, in one step; None where it is gone.

        An object that is being deleted goes with its last finalizer, shown as it was before; a pod that
        has no finalizer goes when its grace is set to 0, shown with that first.
        """
        with self.lock:
            found = self.get(key)
            if found is None:
                return None
            waited = self._waits_for_finalizers(key, found)
            change(found)
            if not self._waits_for_finalizers(key, found) or found["metadata"].get("finalizers"):
                return self.update(key, found)
            if not waited:
                self.update(key, found)
            return self.remove(key)

    def remove(self, key: Key) -> Object | None:
        """Take an object away: the last state that was stored, with a new revision."""
        with self.lock:
            found = self._objects.get(key)
            return None if found is None else self._write("DELETED", key, copy.deepcopy(found))

    def forget(self) -> None:
        """Drop the history, as a compaction does: a watch from before now is answered with 410."""
        with self.lock:
            self.history.clear()
            self.oldest = self.revision

    def since(self, revision: int) -> list[Change]:
        """The changes after a revision; Refused with 410 where they are no longer known."""
        with self.lock:
            if revision < self.oldest:
                raise answers.expired(revision, self.oldest + 1)
            start = bisect_right(self.history, revision, key=lambda change: change.revision)
            return self.history[start:]

    def _waits_for_finalizers(self, key: Key, obj: Object) -> bool:
        """Being deleted, and not, as a pod, for a kubelet to let it go."""
        meta = obj["metadata"]
        running = key.plural == "pods" and meta.get("deletionGracePeriodSeconds") != 0
        return "deletionTimestamp" in meta and not running

    def _keys(self, group: str, plural: str, namespace: str) -> list[Key]:
        return sorted(
            key
            for key in self._objects
            if key.group == group and key.plural == plural and namespace in ("", key.namespace)
        )

    def _write(self, type_: str, key: Key, obj: Object) -> Object:
        before = self._objects.get(key)
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        if type_ == "DELETED":
            del self._objects[key]
        else:
            self._objects[key] = obj
        change = Change(self.revision, type_, key, copy.deepcopy(obj), before)
        self.history.append(change)
        if len(self.history) > self._kept:
            self.oldest = self.history.pop(0).revision
        for listener in self._listeners:
            listener(change)
        self.changed.notify_all()
        return copy.deepcopy(obj)


def kind_key(kind: Kind, obj: Object) -> Key:
    """Where an object belongs."""
    return kind.key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
