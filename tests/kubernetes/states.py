"""What a watch stream tells, without what differs from one run to the next: the one place that says so.

A state is an object reduced to the fields below; a history is the list of its states, where a state that
equals the one before is left out. Left out of every state, because it is not the same even between two
recordings of the same program:

* names, uids, versions, addresses, times, images' ids: they are never equal;
* ``ready`` of a Job: the controller looks about once a second, and may or may not have seen a pod ready
  (``job-suspended-then-resumed`` says 1, ``cronjob-every-minute``, as short, does not);
* finalizers and ``observedGeneration`` of a Pod: two controllers write them in a race;
* the order of a Pod's conditions, which the kubelet changes;
* how often an Event was repeated, and when: Events are a set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.kubernetes.kinds import Object

State = Mapping[str, Any]
History = list[State]

_COUNTS = ("active", "succeeded", "failed", "terminating", "completedIndexes")


def _condition(condition: Object) -> str:
    return f"{condition['type']}={condition['status']} {condition.get('reason', '')}".strip()


def _meta(obj: Object) -> dict[str, Any]:
    meta = obj["metadata"]
    deleted = meta.get("deletionGracePeriodSeconds") if "deletionTimestamp" in meta else None
    return {"generation": meta["generation"], "deleted with grace": deleted}


def job(obj: Object) -> State:
    """Counts, conditions in their order, and what is not yet counted."""
    status = obj["status"]
    uncounted = status.get("uncountedTerminatedPods") or {}
    return _meta(obj) | {
        "suspend": obj["spec"]["suspend"],
        "started": "startTime" in status,
        "completed": "completionTime" in status,
        "counts": {name: status[name] for name in _COUNTS if name in status},
        "uncounted": {name: len(uids) for name, uids in uncounted.items()},
        "conditions": [_condition(each) for each in status.get("conditions") or []],
    }


def _container(status: Object) -> dict[str, Any]:
    ((state, about),) = status["state"].items()
    return {
        "name": status["name"],
        "state": state,
        "reason": about.get("reason"),
        "exit code": about.get("exitCode"),
        "message": about.get("message"),
        "ready": status["ready"],
        "started": status["started"],
        "restarts": status["restartCount"],
    }


def pod(obj: Object) -> State:
    """Phase, conditions, and every container."""
    status = obj["status"]
    return _meta(obj) | {
        "phase": status["phase"],
        "bound": "nodeName" in obj["spec"],
        "address": "podIP" in status,
        "quality": status["qosClass"],
        "conditions": sorted(_condition(each) for each in status.get("conditions") or []),
        "init containers": [_container(each) for each in status.get("initContainerStatuses") or []],
        "containers": [_container(each) for each in status.get("containerStatuses") or []],
    }


def cronjob(obj: Object) -> State:
    """How many Jobs it has running, and what it remembers."""
    status = obj["status"]
    return {
        "active": len(status.get("active") or []),
        "scheduled": "lastScheduleTime" in status,
        "successful": "lastSuccessfulTime" in status,
    }


_STATES = {"Job": job, "Pod": pod, "CronJob": cronjob}


def histories(lines: Iterable[Object]) -> list[History]:
    """The histories of the objects in a watch stream, in the order in which they appeared."""
    found: dict[str, History] = {}
    for line in lines:
        if line["type"] in ("BOOKMARK", "ERROR"):
            continue
        obj = line["object"]
        state = dict(_STATES[obj["kind"]](obj)) | {"gone": line["type"] == "DELETED"}
        history = found.setdefault(obj["metadata"]["uid"], [])
        if not history or history[-1] != state:
            history.append(state)
    return list(found.values())


def events(lines: Iterable[Object]) -> set[tuple[str, str, str]]:
    """Kind, type and reason of every Event."""
    return {
        (line["object"]["involvedObject"]["kind"], line["object"]["type"], line["object"]["reason"])
        for line in lines
        if line["type"] != "BOOKMARK"
    }
