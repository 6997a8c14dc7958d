"""A run as the JSON object that stores keep and ``-o json`` shows; the field names are DESIGN's words.

The fields of the outcome stand beside the others. A reader ignores fields that it does not know, and takes
the default for those that are missing, so that two minor versions can share a store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

from oneoff.runs.run import Actor, Outcome, Process, Progress, Release, Run
from oneoff.runs.status import FINAL, Status
from oneoff.types import JSONObject, from_rfc3339, rfc3339

_Part = TypeVar("_Part", bound=Actor | Process | Progress | Release)

_PLAIN = (
    "id",
    "app",
    "task",
    "environment",
    "protected",
    "dry_run",
    "parameters",
    "reason",
    "confirmation",
    "lock",
    "timeout_seconds",
    "launcher",
    "launch",
    "rerun_of",
    "fence",
    "stop_requested",
    "dry_run_report",
    "effects_report",
    "checkpoint",
    "version",
)
_TIMES = ("requested_at", "started_at", "heartbeat_at", "ended_at")
_PARTS: dict[str, type[Actor] | type[Release] | type[Process] | type[Progress]] = {
    "actor": Actor,
    "release": Release,
    "process": Process,
    "progress": Progress,
}
_OUTCOME = ("exit_code", "error", "traceback", "rows", "duration_ms")


def to_document(run: Run) -> JSONObject:
    """The run as one JSON object; times are RFC 3339 in UTC."""
    document: dict[str, Any] = {name: getattr(run, name) for name in _PLAIN}
    document["status"] = run.status.value
    document["command"] = None if run.command is None else list(run.command)
    for name in _TIMES:
        moment = getattr(run, name)
        document[name] = None if moment is None else rfc3339(moment)
    for name in _PARTS:
        part = getattr(run, name)
        document[name] = None if part is None else _part_document(part)
    for name in _OUTCOME:
        document[name] = None if run.outcome is None else getattr(run.outcome, name)
    return document


_OF_STORE = ("fence", "version")
"""What the store alone counts."""


def document_of_launch(run: Run) -> JSONObject:
    """The run as whoever launched it knows it: what only its store knows is null."""
    return {**to_document(run), **dict.fromkeys(_OF_STORE)}


def document_of_job(run: Run) -> JSONObject:
    """The run as its Job alone tells of it: also its parameters, which the store has, are null."""
    return {**document_of_launch(run), "parameters": None}


def from_document(document: Mapping[str, Any]) -> Run:
    """The inverse of :func:`to_document`.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: this is no run, or its status is of a newer version.
    """
    status = Status(document["status"])
    values: dict[str, Any] = {name: document[name] for name in _PLAIN if name in document}
    values["status"] = status
    for name in _TIMES:
        if document.get(name) is not None:
            values[name] = _moment(document[name])
    for name, kind in _PARTS.items():
        if document.get(name) is not None:
            values[name] = _part(kind, document[name])
    if document.get("command") is not None:
        values["command"] = tuple(document["command"])
    if status in FINAL:
        values["outcome"] = Outcome(
            status=status, **{name: document[name] for name in _OUTCOME if name in document}
        )
    return Run(**values)


def without_name(document: Mapping[str, Any], name: str) -> JSONObject | None:
    """The document of a run without the name of its actor, and without the claims that are that name.

    None where it has the name in neither. Texts that people wrote are not looked into.
    """
    actor = document["actor"]
    claims = {claim: "" if value == name else value for claim, value in actor.get("claims", {}).items()}
    erased = {**actor, "name": "" if actor["name"] == name else actor["name"], "claims": claims}
    return None if erased == {**actor, "claims": actor.get("claims", {})} else {**document, "actor": erased}


def progress_document(progress: Progress) -> JSONObject:
    """How far a run is, as in the run's own document."""
    return _part_document(progress)


def progress_from(document: Mapping[str, Any]) -> Progress:
    """The inverse of :func:`progress_document`."""
    return _part(Progress, document)


def _part_document(part: Actor | Process | Progress | Release) -> JSONObject:
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(part).items()}


def _part(kind: type[_Part], document: Mapping[str, Any]) -> _Part:
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in document.items() if name in known})


def _moment(text: str) -> datetime:
    moment = from_rfc3339(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text} has no time zone")
    return moment
