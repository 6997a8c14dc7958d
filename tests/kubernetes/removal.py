"""Deletion: grace for pods, finalizers for owners, and the garbage collector behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kubernetes import answers
from tests.kubernetes.kinds import Key, Kind, Object
from tests.kubernetes.storage import Change, Storage, timestamp

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_FINALIZER = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def mark_deleted(obj: Object, grace: float) -> None:
    """Note on an object that it is to go, once: a second deletion can only shorten the grace."""
    meta = obj["metadata"]
    held = meta.get("deletionGracePeriodSeconds")
    if held is not None and held <= grace:
        return
    meta["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace))
    meta["deletionGracePeriodSeconds"] = int(grace)
    if held is None and "generation" in meta:
        meta["generation"] += 1


class Removal:
    """Deletes objects, and in a thread of its own what they leave behind."""

    def __init__(self, storage: Storage, is_run: Callable[[str], bool]) -> None:
        self.storage = storage
        self._is_run = is_run
        """Whether a kubelet runs the pod with this uid: it alone lets such a pod go."""
        self._due = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._collect, name="garbage-collector", daemon=True)
        storage.listen(self._note)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._due.set()
        self._thread.join()

    def delete(self, kind: Kind, key: Key, options: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """The object where it lives on for a while, else a Status that it is gone."""
        with self.storage.lock:
            found = self.storage.get(key)
            if found is None:
                raise answers.not_found(kind, key.name)
            _check_preconditions(kind, found, options.get("preconditions") or {})
            if dry_run:
                return _gone(kind, found)
            if kind.kind == "Pod":
                return self._delete_pod(key, found, options.get("gracePeriodSeconds"))
            if kind.kind == "Namespace":
                return self._delete_namespace(key)
            policy = options.get("propagationPolicy") or ("Orphan" if kind.kind == "Job" else "Background")
            finalizer = _FINALIZER.get(policy)
            left = found["metadata"].get("finalizers") or []
            if finalizer is None and not left:
                self.storage.remove(key)
                return _gone(kind, found)

            def mark(obj: Object) -> None:
                if finalizer is not None and finalizer not in left:
                    obj["metadata"]["finalizers"] = [*left, finalizer]
                mark_deleted(obj, 0)

            return self.storage.mutate(key, mark) or found

    def delete_pod(self, key: Key, grace: float | None = None) -> None:
        """As a controller deletes a pod; nothing where it is gone."""
        with self.storage.lock:
            found = self.storage.get(key)
            if found is not None:
                self._delete_pod(key, found, grace)

    def _delete_pod(self, key: Key, pod: Object, grace: float | None) -> Object:
        spec, phase = pod["spec"], pod["status"].get("phase")
        if grace is None:
            grace = spec.get("terminationGracePeriodSeconds", 30)
        if (
            not spec.get("nodeName")
            or phase in ("Succeeded", "Failed")
            or not self._is_run(pod["metadata"]["uid"])
        ):
            grace = 0
        self.storage.mutate(key, lambda obj: mark_deleted(obj, grace))
        return self.storage.get(key) or pod

    def _delete_namespace(self, key: Key) -> Object:
        def mark(obj: Object) -> None:
            mark_deleted(obj, 0)
            obj["metadata"].setdefault("finalizers", []).append("kubernetes")
            obj["status"]["phase"] = "Terminating"

        found = self.storage.mutate(key, mark)
        assert found is not None
        return found

    def _note(self, change: Change) -> None:
        if change.type == "DELETED" or "deletionTimestamp" in change.object["metadata"]:
            self._due.set()

    def _collect(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._stopped:
                return
            with self.storage.lock:
                self._sweep()

    def _sweep(self) -> None:
        every = list(self.storage.every())
        living = {obj["metadata"]["uid"]: obj for _, obj in every}
        for key, obj in every:
            self._sweep_dependent(key, obj, living)
        for key, obj in every:
            finalizers = obj["metadata"].get("finalizers") or []
            if "deletionTimestamp" not in obj["metadata"]:
                continue
            if FOREGROUND in finalizers and not self._dependents(obj["metadata"]["uid"]):
                self._drop(key, FOREGROUND)
            if ORPHAN in finalizers:
                self._drop(key, ORPHAN)
            if key.plural == "namespaces":
                self._empty(key)

    def _sweep_dependent(self, key: Key, obj: Object, living: Mapping[str, Object]) -> None:
        owners = obj["metadata"].get("ownerReferences") or []
        if not owners:
            return
        found = [living[owner["uid"]] for owner in owners if owner["uid"] in living]
        ending = [owner for owner in found if "deletionTimestamp" in owner["metadata"]]
        if any(ORPHAN in (owner["metadata"].get("finalizers") or []) for owner in ending):
            self.storage.mutate(key, lambda each: _disown(each, {one["metadata"]["uid"] for one in ending}))
            return
        foreground = any(FOREGROUND in (each["metadata"].get("finalizers") or []) for each in ending)
        if (foreground or not found) and "deletionTimestamp" not in obj["metadata"]:
            self.delete(self.storage.kinds.stored(key), key, {"propagationPolicy": "Background"})

    def _dependents(self, uid: str) -> list[Key]:
        return [
            key
            for key, obj in self.storage.every()
            for owner in obj["metadata"].get("ownerReferences") or []
            if owner["uid"] == uid and owner.get("blockOwnerDeletion")
        ]

    def _drop(self, key: Key, finalizer: str) -> None:
        def drop(obj: Object) -> None:
            left = [each for each in obj["metadata"].get("finalizers") or [] if each != finalizer]
            obj["metadata"]["finalizers"] = left
            if not left:
                del obj["metadata"]["finalizers"]

        self.storage.mutate(key, drop)

    def _empty(self, namespace: Key) -> None:
        """Delete what is in a namespace; the namespace itself when nothing is left."""
        for key in self.storage.keys(namespace.name):
            found = self.storage.get(key)
            if found is not None and "deletionTimestamp" not in found["metadata"]:
                self.delete(self.storage.kinds.stored(key), key, {"propagationPolicy": "Background"})
        if not self.storage.keys(namespace.name):
            self._drop(namespace, "kubernetes")


def _disown(obj: Object, uids: set[str]) -> None:
    left = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] not in uids]
    obj["metadata"]["ownerReferences"] = left
    if not left:
        del obj["metadata"]["ownerReferences"]


def _check_preconditions(kind: Kind, obj: Object, wanted: Mapping[str, str]) -> None:
    for field, said in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        given, found = wanted.get(field), obj["metadata"][field]
        if given is not None and given != found:
            name = obj["metadata"]["name"]
            message = (
                f'Operation cannot be fulfilled on {kind.qualified} "{name}": the {said} in the precondition '
                f"({given}) does not match the {said} in record ({found}). "
                "The object might have been deleted and then recreated"
            )
            raise answers.Refused(409, "Conflict", message, answers.details(kind, name))


def _gone(kind: Kind, obj: Object) -> Object:
    about = answers.details(kind, obj["metadata"]["name"]) | {"uid": obj["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about}
