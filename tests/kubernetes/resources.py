"""The verbs of an API server over its storage, without the wire: create, get, list, update, patch."""

from __future__ import annotations

import base64
import copy
import json
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.kubernetes import admission, answers, apply, defaults, selectors, validation
from tests.kubernetes.access import ADMIN, User
from tests.kubernetes.apply import Manager
from tests.kubernetes.kinds import Key, Kind, Object
from tests.kubernetes.storage import Storage, timestamp

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""The letters that the server appends to a generateName: no vowels, so no words."""
_KEPT = (
    *("uid", "creationTimestamp", "generation", "managedFields"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)

APPLY = "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"


@dataclass(frozen=True)
class Caller:
    """Who asks, with what: the user, the program's name for managed fields, the query."""

    user: User = ADMIN
    manager: str = "kcm"
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def dry_run(self) -> bool:
        return self.query.get("dryRun") == "All"

    @property
    def field_manager(self) -> str:
        return self.query.get("fieldManager") or self.manager


def suffix() -> str:
    """Five letters that make a generated name unique."""
    return "".join(random.choices(_SUFFIX, k=5))


class Resources:
    """Every verb is one transaction on the storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.admit: list[Callable[[Kind, Object], None]] = [
            lambda kind, obj: admission.check(storage, kind, obj)
        ]
        self.warn: list[Callable[[Kind, Object], str]] = [validation.warning]
        """What a creation is answered with besides: a text, or nothing."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        found = self.storage.get(kind.key(namespace, name))
        if found is None:
            raise answers.not_found(kind, name)
        return found

    def list(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> Object:
        """The list object; items of built-in kinds say neither kind nor version, as on a real server."""
        test = selectors.of(query)
        with self.storage.lock:
            revision = self.storage.revision
            found = [obj for obj in self.storage.items(kind.group, kind.plural, namespace) if test(obj)]
        meta: Object = {"resourceVersion": str(revision)}
        if token := query.get("continue"):
            revision, after = json.loads(base64.b64decode(token))
            if revision < self.storage.oldest:
                message = "The provided continue parameter is too old to display a consistent list result."
                raise answers.Refused(410, "Expired", message)
            meta["resourceVersion"] = str(revision)
            found = [obj for obj in found if _place(obj) > tuple(after)]
        limit = int(query.get("limit") or 0)
        if limit and len(found) > limit:
            rest = len(found) - limit
            found = found[:limit]
            token = base64.b64encode(json.dumps([revision, _place(found[-1])]).encode()).decode()
            meta |= {"continue": token, "remainingItemCount": rest}
        if not kind.custom:
            found = [{k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in found]
        return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": found}

    def create(self, kind: Kind, namespace: str, given: Object, caller: Caller) -> Object:
        obj = self._identified(kind, namespace, given)
        self._shaped(kind, obj)
        before = {**copy.deepcopy(kind.zero), "metadata": {}}
        apply.record_update(before, obj, Manager(caller.field_manager, "Update", kind.api_version))
        return self._born(kind, obj, caller)

    def update(
        self, kind: Kind, namespace: str, given: Object, caller: Caller, subresource: str = ""
    ) -> Object:
        """Replace an object, or its status; Refused with 409 where it changed since it was read."""
        with self.storage.lock:
            before = self.get(kind, namespace, given["metadata"]["name"])
            manager = Manager(caller.field_manager, "Update", kind.api_version, subresource)

            def record(after: Object) -> None:
                apply.record_update(before, after, manager)

            return self._replace(kind, before, given, caller, subresource, record)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: tuple[str, Any],
        caller: Caller,
        subresource: str = "",
    ) -> tuple[Object, bool]:
        """The object after a patch (its content type and body), and whether it was created."""
        content_type, body = patch
        with self.storage.lock:
            live = self.storage.get(kind.key(namespace, name))
            if content_type == APPLY:
                return self._apply(kind, namespace, name, body, caller, subresource, live)
            if live is None:
                raise answers.not_found(kind, name)
            given = {
                STRATEGIC: apply.strategic_patch if not kind.custom else _unsupported,
                MERGE: apply.merge_patch,
                JSON: apply.json_patch,
            }.get(content_type, _unsupported)(live, body)
            return self.update(kind, namespace, given, caller, subresource), False

    def _apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        given: Object,
        caller: Caller,
        subresource: str,
        live: Object | None,
    ) -> tuple[Object, bool]:
        if not caller.query.get("fieldManager"):
            raise answers.Refused(
                422,
                "Invalid",
                'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: '
                "is required for apply patch",
            )
        if (given.get("metadata") or {}).get("managedFields"):
            raise answers.bad_request("metadata.managedFields must be nil")
        wanted = copy.deepcopy(given)
        wanted.setdefault("metadata", {})["name"] = name
        manager = Manager(caller.field_manager, "Apply", kind.api_version, subresource)
        force = caller.query.get("force") == "true"
        if live is None:
            obj = self._identified(kind, namespace, wanted)
            obj = apply.server_side_apply(None, obj, manager, force=force)
            self._shaped(kind, obj)
            return self._born(kind, obj, caller), True
        if wanted["metadata"].get("resourceVersion") not in (None, live["metadata"]["resourceVersion"]):
            raise answers.conflict(kind, name)
        after = apply.server_side_apply(live, wanted, manager, force=force)
        entries = after["metadata"]["managedFields"]

        def record(obj: Object) -> None:
            obj["metadata"]["managedFields"] = entries

        after["metadata"].pop("resourceVersion", None)
        return self._replace(kind, live, after, caller, subresource, record), False

    def _identified(self, kind: Kind, namespace: str, given: Object) -> Object:
        """A copy with a name, a uid and a namespace that takes new objects."""
        obj = copy.deepcopy(given)
        meta = obj.setdefault("metadata", {})
        if kind.namespaced:
            admission.check_namespace(self.storage, kind, namespace, meta)
            meta["namespace"] = namespace
        if not meta.get("name"):
            if not meta.get("generateName"):
                lacking = answers.required("metadata.name", "name or generateName is required")
                raise answers.invalid(kind, "", [lacking])
            meta["name"] = meta["generateName"] + suffix()
        if meta.get("resourceVersion"):
            raise answers.bad_request("resourceVersion should not be set on objects to be created")
        for name in _KEPT:
            meta.pop(name, None)
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = timestamp()
        return obj

    def _shaped(self, kind: Kind, obj: Object) -> None:
        """Checked against the schema, filled in, checked against the rules."""
        validation.check_schema(kind, obj)
        defaults.fill(kind, obj)
        validation.check(kind, obj)

    def _born(self, kind: Kind, obj: Object, caller: Caller) -> Object:
        defaults.before_create(kind, obj)
        with self.storage.lock:
            key = kind.key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            if self.storage.get(key) is not None:
                raise answers.already_exists(kind, key.name)
            for admit in self.admit:
                admit(kind, obj)
            return obj if caller.dry_run else self.storage.create(key, obj)

    def _replace(
        self,
        kind: Kind,
        before: Object,
        given: Object,
        caller: Caller,
        subresource: str,
        record: Callable[[Object], None],
    ) -> Object:
        meta, name = before["metadata"], before["metadata"]["name"]
        if given["metadata"].get("resourceVersion") not in (None, "", meta["resourceVersion"]):
            raise answers.conflict(kind, name)
        if given["metadata"].get("uid") not in (None, meta["uid"]):
            raise answers.conflict(kind, name)
        after = _status_only(before, given) if subresource else _all_but_status(kind, before, given)
        after["metadata"] |= {each: meta[each] for each in (*_KEPT, "resourceVersion") if each in meta}
        if kind.namespaced:
            after["metadata"]["namespace"] = meta["namespace"]
        if not subresource:
            self._shaped(kind, after)
            validation.check_update(kind, before, after)
            if "generation" in meta and _content(before) != _content(after):
                after["metadata"]["generation"] = meta["generation"] + 1
        record(after)
        if caller.dry_run:
            return after
        return self._stored(kind.key(meta.get("namespace", ""), name), after)

    def _stored(self, key: Key, after: Object) -> Object:
        """Written; or gone, where an object that is being deleted lost its last finalizer."""

        def replace(obj: Object) -> None:
            obj.clear()
            obj.update(after)

        stored = self.storage.mutate(key, replace)
        assert stored is not None
        return stored


def _unsupported(obj: Object, patch: Any) -> Object:
    message = "the body of the request was in an unknown format - accepted media types include: "
    raise answers.Refused(415, "UnsupportedMediaType", message + ", ".join((JSON, MERGE, APPLY)))


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _content(obj: Object) -> Object:
    """What counts as a new generation."""
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _status_only(before: Object, given: Object) -> Object:
    after = copy.deepcopy(before)
    after["status"] = copy.deepcopy(given.get("status") or {})
    return after


def _all_but_status(kind: Kind, before: Object, given: Object) -> Object:
    after = copy.deepcopy(given)
    after |= {"kind": before["kind"], "apiVersion": before["apiVersion"]}
    if "status" in kind.subresources and "status" in before:
        after["status"] = copy.deepcopy(before["status"])
    return after
