"""Ways to change an object: server-side apply, and patches; with the record of who owns which field."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.kubernetes import answers, fields
from tests.kubernetes.fields import Paths
from tests.kubernetes.kinds import Object
from tests.kubernetes.storage import timestamp


@dataclass(frozen=True)
class Manager:
    """Who writes, and in what way."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


def _read(obj: Object) -> dict[Manager, tuple[Paths, str]]:
    """The owners of an object's fields, each with the time of its last change."""
    entries = obj["metadata"].get("managedFields") or []
    return {
        Manager(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", "")): (
            fields.decode(entry["fieldsV1"]),
            entry["time"],
        )
        for entry in entries
    }


def _write(obj: Object, owners: dict[Manager, tuple[Paths, str]]) -> None:
    entries = []
    for owner, (paths, time) in owners.items():
        if paths:
            entry: Object = {
                "manager": owner.name,
                "operation": owner.operation,
                "apiVersion": owner.api_version,
            }
            entry |= {"time": time, "fieldsType": "FieldsV1", "fieldsV1": fields.encode(paths)}
            entries.append(entry | ({"subresource": owner.subresource} if owner.subresource else {}))
    entries.sort(key=lambda entry: (entry["operation"], entry["time"], entry["manager"]))
    obj["metadata"]["managedFields"] = entries


def record_update(before: Object, after: Object, manager: Manager) -> None:
    """Give the manager what it set, and take it from the others, in ``after``."""
    owners = _read(before)
    mine = fields.changed(before, after)
    gone = fields.removed(before, after)
    if mine or gone:
        owners = {
            owner: (paths - mine - gone if owner != manager else paths - gone, time)
            for owner, (paths, time) in owners.items()
        }
    if mine:
        held = owners.get(manager, (frozenset(), ""))[0]
        owners[manager] = (held | mine, timestamp())
    _write(after, owners)


def _merge(live: Any, wanted: Any, at: fields.Path) -> Any:
    """What is wanted laid over what is there, item by item where a list has a key."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        merged = copy.deepcopy(live)
        for name, value in wanted.items():
            merged[name] = _merge(live.get(name), value, (*at, f"f:{name}"))
        return merged
    if isinstance(live, list) and isinstance(wanted, list) and at:
        keys = fields.list_keys(at, wanted) if all(isinstance(each, dict) for each in wanted) else None
        if keys is not None:
            old = {fields.item_step(keys, item): item for item in live}
            for item in wanted:
                step = fields.item_step(keys, item)
                old[step] = _merge(old.get(step), item, (*at, step))
            return list(old.values())
        if at[-1] == "f:finalizers":
            return [*live, *(each for each in wanted if each not in live)]
    return copy.deepcopy(wanted)


def _conflicts(
    live: Object, wanted: Object, mine: Paths, owners: Iterable[tuple[Manager, Paths]]
) -> list[tuple[Manager, fields.Path]]:
    """Fields that somebody else owns and that would get another value."""
    return [
        (owner, path)
        for owner, paths in owners
        for path in sorted(paths & mine)
        if not path[-1].startswith("k:") and fields.value_at(live, path) != fields.value_at(wanted, path)
    ]


def server_side_apply(live: Object | None, wanted: Object, manager: Manager, *, force: bool) -> Object:
    """The object after an apply; Refused with 409 where another manager's field would change.

    The manager gives up what it applied before and does not apply now: such a field goes, unless another
    manager owns it too.
    """
    owners = _read(live) if live else {}
    mine = fields.applied(wanted)
    others = {owner: entry for owner, entry in owners.items() if owner != manager}
    base = live or {}
    found = _conflicts(base, wanted, mine, [(owner, paths) for owner, (paths, _) in others.items()])
    if found and not force:
        raise answers.apply_conflict([(_named(owner), fields.text(path)) for owner, path in found])
    lost = frozenset(path for _, path in found)
    others = {owner: (paths - lost, time) for owner, (paths, time) in others.items()}
    after: Object = _merge(base, wanted, ())
    held = owners.get(manager, (frozenset(), ""))[0]
    kept = frozenset[fields.Path]().union(*(paths for paths, _ in others.values())) | mine
    kept |= frozenset(path[:length] for path in kept for length in range(1, len(path)))
    for path in sorted(held - kept):
        fields.delete_at(after, path)
    stays = live is not None and mine == held and not lost and _same(live, after)
    time = owners[manager][1] if stays else timestamp()
    _write(after, others | {manager: (mine, time)})
    return after


def _same(live: Object, after: Object) -> bool:
    bare = [{**obj, "metadata": {**obj["metadata"], "managedFields": None}} for obj in (live, after)]
    return bare[0] == bare[1]


def _named(owner: Manager) -> str:
    """As conflicts name an owner: an applier by its name, an updater with its way of writing."""
    if owner.operation == "Apply":
        return f'"{owner.name}"'
    sub = f' with subresource "{owner.subresource}"' if owner.subresource else ""
    return f'"{owner.name}"{sub} using {owner.api_version}'


def merge_patch(obj: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(obj) if isinstance(obj, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def json_patch(obj: Object, operations: list[Object]) -> Object:
    """RFC 6902: add, replace, remove and test; Refused with 422 where a path is not there."""
    result = copy.deepcopy(obj)
    for operation in operations:
        try:
            _json_step(result, operation)
        except (KeyError, IndexError, ValueError) as error:
            said = json.dumps(operation)
            message = f"the server rejected our request due to an error in our request: {said}"
            raise answers.Refused(422, "Invalid", message) from error
    return result


def _json_step(root: Object, operation: Object) -> None:
    *steps, last = [
        step.replace("~1", "/").replace("~0", "~") for step in str(operation["path"]).split("/")[1:]
    ]
    parent: Any = root
    for step in steps:
        parent = parent[int(step)] if isinstance(parent, list) else parent[step]
    value = copy.deepcopy(operation.get("value"))
    if isinstance(parent, list):
        place = len(parent) if last == "-" else int(last)
    match operation["op"], parent:
        case "add", list():
            parent.insert(place, value)
        case "remove", list():
            del parent[place]
        case "remove", _:
            del parent[last]
        case "add", _:
            parent[last] = value
        case "replace", _:
            where: Any = place if isinstance(parent, list) else last
            _ = parent[where]
            parent[where] = value
        case "test", _:
            where = place if isinstance(parent, list) else last
            if parent[where] != value:
                raise ValueError(operation["path"])
        case _:
            raise ValueError(operation["op"])


def strategic_patch(obj: Any, patch: Any, at: fields.Path = ()) -> Any:
    """A merge patch that knows the keys of lists, ``$patch: delete`` and ``$patch: replace``."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    merged = copy.deepcopy(obj) if isinstance(obj, dict) else {}
    for name, value in patch.items():
        here = (*at, f"f:{name}")
        if name.startswith("$deleteFromPrimitiveList/"):
            listed = name.partition("/")[2]
            merged[listed] = [each for each in merged.get(listed, []) if each not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            merged.pop(name, None)
        elif isinstance(value, list):
            merged[name] = _strategic_list(merged.get(name) or [], value, here)
        else:
            merged[name] = strategic_patch(merged.get(name), value, here)
    return merged


def _strategic_list(live: list[Any], patch: list[Any], at: fields.Path) -> list[Any]:
    keys = fields.list_keys(at, patch) if all(isinstance(each, dict) for each in patch) else None
    if at[-1] == "f:finalizers":
        return [*live, *(each for each in patch if each not in live)]
    if at[-1] == "f:conditions":
        keys = ("type",)
    if keys is None or any(each.get("$patch") == "replace" for each in patch):
        return [copy.deepcopy(each) for each in patch if not (isinstance(each, dict) and "$patch" in each)]
    merged = {fields.item_step(keys, item): item for item in live}
    for item in patch:
        step = fields.item_step(keys, item)
        if item.get("$patch") == "delete":
            merged.pop(step, None)
        else:
            merged[step] = strategic_patch(merged.get(step), item, (*at, step))
    return list(merged.values())
