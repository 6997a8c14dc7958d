"""An event in the words of the Elastic Common Schema, version 8.17.0. Pure.

What ECS has no field for is below ``oneoff``, a name of our own, as ECS advises; ``labels`` has what one
filters by, as text.
"""

from __future__ import annotations

from typing import Any

from oneoff.audit.event import short_type
from oneoff.types import JSONObject

VERSION = "8.17.0"

_READS = frozenset({"log.queried", "log.exported", "log.verified"})
_TYPES = {"starting": "start", "outcome": "end"}
_OUTCOMES = {"succeeded": "success", "failed": "failure", "refused": "failure", "timed_out": "failure"}
_NANOSECONDS = 1_000_000  # in a millisecond


def event(entry: JSONObject, *, origin: str, name: str | None = None) -> JSONObject:
    """The ECS document for one entry of the log; arguments as for :func:`oneoff.audit.ocsf.event`."""
    envelope: Any = entry["event"]
    data, kind = envelope["data"], short_type(envelope["type"])
    outcome, observer = data.get("outcome") or {}, data.get("observer") or {}
    target, release = data.get("target") or {}, data.get("release") or {}
    initiator = data.get("initiator") or {}
    host = observer.get("host")
    return _without_nothing(
        {
            "@timestamp": envelope["time"],
            "ecs": {"version": VERSION},
            "message": " ".join(str(word) for word in (kind, target.get("task")) if word),
            "event": _event(entry, envelope, kind, data, outcome),
            "user": _without_nothing({"id": initiator.get("subject"), "name": name}),
            "host": _without_nothing({"hostname": host, "name": host}),
            "process": _process(observer, target, outcome),
            "service": _without_nothing(
                {
                    "name": envelope["source"].removeprefix("/oneoff").removeprefix("/") or "oneoff",
                    "version": release.get("version"),
                    "environment": target.get("environment"),
                }
            ),
            "error": _without_nothing({"message": outcome.get("error") or data.get("error")}),
            "labels": _labels(envelope, data, target),
            "oneoff": {"log": origin, "leaf": entry["leaf"], "data": data},
        }
    )


def _event(entry: JSONObject, envelope: Any, kind: str, data: Any, outcome: Any) -> JSONObject:
    milliseconds = outcome.get("duration_ms")
    of_run = "." not in kind
    return _without_nothing(
        {
            "id": envelope["id"],
            "kind": "event",
            "category": ["process"] if of_run else ["database"] if kind in _READS else ["configuration"],
            "type": [_TYPES.get(kind, "info") if of_run else "access" if kind in _READS else "change"],
            "action": f"run.{kind}" if of_run else kind,
            "outcome": _OUTCOMES.get(outcome["status"], "unknown") if outcome else _result(kind),
            "provider": "oneoff",
            "module": "oneoff",
            "dataset": "oneoff.audit",
            "sequence": entry["seq"],
            "hash": entry["leaf"],
            "reason": data.get("reason"),
            "duration": None if milliseconds is None else milliseconds * _NANOSECONDS,
            "start": data.get("started_at"),
            "end": data.get("ended_at"),
        }
    )


def _result(kind: str) -> str:
    """Of an event without an outcome of its own: a run's is not known yet."""
    return "failure" if kind.endswith("_failed") else "success" if "." in kind else "unknown"


def _process(observer: Any, target: Any, outcome: Any) -> JSONObject:
    command = target.get("command")
    args = command if isinstance(command, list) else None  # a long one is recorded by its digest
    return _without_nothing({"pid": observer.get("pid"), "args": args, "exit_code": outcome.get("exit_code")})


def _labels(envelope: Any, data: Any, target: Any) -> JSONObject:
    labels = {
        "run": envelope.get("subject"),
        "task": target.get("task"),
        "actor_kind": (data.get("initiator") or {}).get("kind"),
        "confirmation": data.get("confirmation"),
        "dry_run": target.get("dry_run"),
        "protected": target.get("protected"),
        "rerun_of": data.get("rerun_of"),
    }
    return {key: _label(value) for key, value in labels.items() if value is not None}


def _label(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _without_nothing(found: Any) -> JSONObject:
    return {key: value for key, value in found.items() if value is not None and value != {}}
