"""Which fields an object has, as sets of paths: the ground of managed fields.

A path is a tuple of steps: ``f:name`` a field, ``k:{"name":"a"}`` a list's item by its key, ``v:"x"`` an
item of a set. Lists without a key, and the few maps that are one value, are leaves. The form is that of
``metadata.managedFields[].fieldsV1``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.kubernetes.kinds import Object

Path = tuple[str, ...]
Paths = frozenset[Path]

LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "hostAliases": ("ip",),
    "podIPs": ("ip",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists whose items are known by a key, wherever they are."""
_SETS = {"finalizers"}
_ATOMIC = {
    *("nodeSelector", "selector", "podSelector", "labelSelector"),
    *("secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef"),
}
_SERVER_OWNED = {
    *("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "name", "namespace"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"),
}


def list_keys(at: Path, items: list[Any]) -> tuple[str, ...] | None:
    """The key of the list at a path; None where it is one value."""
    name = at[-1].removeprefix("f:")
    if name == "ports":
        return (
            ("port", "protocol") if any("port" in item for item in items) else ("containerPort", "protocol")
        )
    if name == "conditions":
        return None if any("lastProbeTime" not in item for item in items) else ("type",)
    return LIST_KEYS.get(name)


def item_step(keys: tuple[str, ...], item: Mapping[str, Any]) -> str:
    """The step to an item of a keyed list."""
    found = {key: item[key] for key in sorted(keys) if key in item}
    if "protocol" in keys:
        found.setdefault("protocol", "TCP")
    return "k:" + json.dumps(found, sort_keys=True, separators=(",", ":"))


def _children(at: Path, value: Any) -> list[tuple[str, Any]] | None:
    """The steps below a value, or None for a leaf."""
    if len(at) > 1 and at[-2] == "f:ownerReferences":
        return None
    if isinstance(value, dict) and value and at[-1].removeprefix("f:") not in _ATOMIC:
        return [(f"f:{name}", each) for name, each in value.items()]
    if isinstance(value, list) and value:
        if at[-1].removeprefix("f:") in _SETS:
            return [(f"v:{json.dumps(each)}", None) for each in value]
        keys = list_keys(at, value) if all(isinstance(item, dict) for item in value) else None
        if keys is not None:
            return [(item_step(keys, item), item) for item in value]
    return None


def _walk(at: Path, value: Any, before: Any, new: bool) -> Iterable[Path]:
    """The paths in ``value`` that differ from ``before``; ``new`` where there was nothing at all."""
    children = _children(at, value)
    if children is None:
        if new or value != before:
            yield at
        return
    if new:
        yield at
    known = dict(_children(at, before) or []) if before is not None else {}
    for step, each in children:
        yield from _walk((*at, step), each, known.get(step), step not in known)


def _roots(obj: Object) -> dict[str, Any]:
    """The fields that people own: not the server's own metadata, not the kind."""
    roots = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
    meta = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in _SERVER_OWNED}
    return {**roots, "metadata": meta}


def changed(before: Object, after: Object) -> Paths:
    """What an update set: every path that is new or differs."""
    old, paths = _roots(before), set[Path]()
    for name, value in _roots(after).items():
        if value in ({}, None):
            continue
        paths.update(_walk((f"f:{name}",), value, old.get(name), name not in old))
    return frozenset(paths)


def removed(before: Object, after: Object) -> Paths:
    """What an update took away."""
    return all_paths(before) - all_paths(after)


def all_paths(obj: Object) -> Paths:
    """Every path of an object, inner ones too."""
    return frozenset(
        path
        for name, value in _roots(obj).items()
        if value not in ({}, None)
        for path in _walk((f"f:{name}",), value, None, True)
    )


def applied(obj: Object) -> Paths:
    """What an applied configuration claims: its leaves, and the items of its lists."""
    every = all_paths(obj)
    inner = {path[:length] for path in every for length in range(1, len(path))}
    return frozenset(path for path in every if path not in inner or path[-1].startswith("k:"))


def encode(paths: Paths) -> Object:
    """As ``fieldsV1``: nested, with ``.`` for a path that has others below it and is a member itself."""
    tree: Object = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    for path in paths:
        node = tree
        for step in path:
            node = node[step]
        if node:
            node["."] = {}
    return tree


def decode(tree: Object, at: Path = ()) -> Paths:
    """The set of paths in a ``fieldsV1``."""
    paths: set[Path] = set()
    for step, below in tree.items():
        if step == ".":
            paths.add(at)
        elif below:
            paths |= decode(below, (*at, step))
        else:
            paths.add((*at, step))
    return frozenset(paths)


def text(path: Path) -> str:
    """As conflicts name a field: ``.spec.containers[name="a"].image``."""
    shown = ""
    for step in path:
        if step.startswith("f:"):
            shown += "." + step[2:]
        elif step.startswith("k:"):
            keys = json.loads(step[2:])
            shown += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in keys.items()) + "]"
        else:
            shown += f"[={step[2:]}]"
    return shown


ABSENT = object()
"""No value at all, which is not null."""


def value_at(obj: Any, path: Path) -> Any:
    """The value at a path, or `ABSENT`."""
    at: Path = ()
    for step in path:
        children = dict(_children(at, obj) or []) if at else {f"f:{name}": each for name, each in obj.items()}
        at = (*at, step)
        if step not in children:
            return ABSENT
        obj = children[step]
    return obj


def delete_at(obj: Object, path: Path) -> None:
    """Take the field or item at a path out of an object."""
    parent: Any = value_at(obj, path[:-1]) if len(path) > 1 else obj
    if parent is ABSENT or not parent:
        return
    step = path[-1]
    if step.startswith("f:") and isinstance(parent, dict):
        parent.pop(step[2:], None)
    elif step.startswith("k:") and isinstance(parent, list):
        keys = tuple(json.loads(step[2:]))
        parent[:] = [item for item in parent if item_step(keys, item) != step]
    elif isinstance(parent, list):
        parent[:] = [item for item in parent if f"v:{json.dumps(item)}" != step]
