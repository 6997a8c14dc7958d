"""An event in the words of OCSF, for a SIEM: class 6003, API Activity, of version 1.6.0. Pure.

The version is pinned, because the meaning of attributes shifts between versions. Times are milliseconds since
1970, as OCSF wants them. What has no attribute of its own is in ``unmapped``, so that nothing is lost; the
record itself remains the log.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from oneoff.audit.event import short_type
from oneoff.types import JSONObject, from_rfc3339

VERSION = "1.6.0"
CLASS = 6003

_CATEGORY = 6
_ACTIVITIES = {1: "Create", 2: "Read", 3: "Update", 4: "Delete", 99: "Other"}
_ACTIVITY_OF = {
    "requested": 1,
    "refused": 1,
    "starting": 3,
    "outcome": 3,
    "cancelled": 3,
    "log.queried": 2,
    "log.exported": 2,
    "log.verified": 2,
    "log.pruned": 4,
    "actor.erased": 4,
}
_STATUSES = {0: "Unknown", 1: "Success", 2: "Failure", 99: "Other"}
_STATUS_OF = {"succeeded": 1, "failed": 2, "refused": 2, "timed_out": 2, "lost": 0}
_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OTHER = 99


def event(entry: JSONObject, *, origin: str, name: str | None = None) -> JSONObject:
    """The OCSF event for one entry of the log.

    Args:
        entry: ``seq``, ``leaf`` and ``event``, as ``audit log -o json`` shows it.
        origin: which log it is of.
        name: of the actor, from the directory, where names are wanted.
    """
    envelope: Any = entry["event"]
    data = dict(envelope["data"])
    kind, outcome = short_type(envelope["type"]), data.get("outcome") or {}
    activity, status = _ACTIVITY_OF.get(kind, _OTHER), _status(kind, outcome)
    severity = _severity(kind, outcome)
    found: JSONObject = {
        "activity_id": activity,
        "activity_name": _ACTIVITIES[activity],
        "category_uid": _CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "type_uid": CLASS * 100 + activity,
        "type_name": f"API Activity: {_ACTIVITIES[activity]}",
        "time": _milliseconds(envelope["time"]),
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "status_id": status,
        "status": _STATUSES[status],
        "status_code": outcome.get("status"),
        "status_detail": outcome.get("error") or data.get("error"),
        "duration": outcome.get("duration_ms"),
        "start_time": _milliseconds(data.get("started_at")),
        "end_time": _milliseconds(data.get("ended_at")),
        "message": _message(kind, data),
        "metadata": _metadata(entry, envelope, data, origin),
        "actor": _actor(data, name),
        "src_endpoint": {"hostname": _observer(data).get("host")},
        "api": _api(kind, envelope, outcome),
        "resources": _resources(data, outcome),
        "unmapped": {"source": envelope["source"], "leaf": entry["leaf"], "data": _rest(data)},
    }
    return _without_nothing(found)


def _metadata(entry: JSONObject, envelope: Any, data: Any, origin: str) -> JSONObject:
    release = data.get("release") or {}
    return _without_nothing(
        {
            "version": VERSION,
            "product": _without_nothing(
                {"name": "oneoff", "vendor_name": "oneoff", "version": release.get("oneoff")}
            ),
            "uid": envelope["id"],
            "event_code": envelope["type"],
            "log_name": origin,
            "sequence": entry["seq"],
            "original_time": envelope["time"],
            "correlation_uid": envelope.get("subject"),
        }
    )


def _actor(data: Any, name: str | None) -> JSONObject:
    initiator = data.get("initiator") or {}
    kind = initiator.get("kind")
    user = {
        "uid": initiator.get("subject"),
        "name": name,
        "type": "User" if kind == "human" else kind,
        "type_id": 1 if kind == "human" else _OTHER,
    }
    process = _without_nothing({"pid": _observer(data).get("pid")})
    return _without_nothing({"app_name": "oneoff", "user": _without_nothing(user), "process": process})


def _observer(data: Any) -> Any:
    return data.get("observer") or {}


def _api(kind: str, envelope: Any, outcome: Any) -> JSONObject:
    api: JSONObject = {"operation": kind, "service": {"name": "oneoff"}}
    if envelope.get("subject"):
        api["request"] = {"uid": envelope["subject"]}
    if outcome:
        response = {"code": outcome.get("exit_code"), "error_message": outcome.get("error")}
        api["response"] = _without_nothing(response) or {"message": outcome.get("status")}
    return api


def _resources(data: Any, outcome: Any) -> list[Any]:
    target, rows = data.get("target") or {}, outcome.get("rows")
    named = [("task", target.get("task")), ("environment", target.get("environment"))]
    counted = rows if isinstance(rows, dict) else {}
    tables = [name for name, counts in counted.items() if isinstance(counts, dict)]
    return [
        {"type": kind, "name": name} for kind, name in [*named, *(("table", each) for each in tables)] if name
    ]


def _rest(data: Any) -> JSONObject:
    """All that has no attribute, and what an attribute says only a part of."""
    return {key: value for key, value in data.items() if key not in ("observer", "started_at", "ended_at")}


def _status(kind: str, outcome: Any) -> int:
    if outcome:
        return _STATUS_OF.get(outcome.get("status"), _OTHER)
    return 2 if kind.endswith("_failed") else 1


def _severity(kind: str, outcome: Any) -> int:
    if kind.startswith("breakglass."):
        return 4
    if kind.endswith("_failed") or outcome.get("status") == "lost":
        return 3
    return 2 if outcome.get("status") in ("failed", "refused", "timed_out") else 1


def _message(kind: str, data: Any) -> str:
    target = data.get("target") or {}
    words = [kind, target.get("task"), "dry run" if target.get("dry_run") else None, data.get("reason")]
    return ", ".join(str(word) for word in words if word)


def _milliseconds(time: Any) -> int | None:
    if time is None:
        return None
    return (from_rfc3339(time) - _EPOCH) // timedelta(milliseconds=1)


def _without_nothing(found: Any) -> JSONObject:
    return {key: value for key, value in found.items() if value not in (None, {}, [])}
