"""One entry of the audit log: a CloudEvents 1.0 envelope, kept as the exact bytes that were hashed.

The bytes are JSON in a restricted profile whose form RFC 8785 (JCS) fixes and every JSON library agrees on:
objects with sorted ASCII keys, arrays, strings, booleans, null and integers below 2**53, without white space.
What the profile lacks is written as text: floats and larger integers as strings, other keys escaped.

``data`` speaks CADF's words: initiator, action, target, observer, outcome. The initiator is an opaque
subject; the person's name is in the store's directory, outside the hashed bytes, so that it can be erased.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from oneoff.audit.merkle import HASH_BYTES
from oneoff.runs.run import Actor, Outcome, Run
from oneoff.types import JSON, JSONObject, RunId, from_rfc3339, rfc3339

EVENT_LIMIT = 65_535
"""Bytes of one event: the entry of a C2SP ``tlog-tiles`` bundle has a length of 16 bits."""
VALUE_LIMIT = 4_096
"""Bytes of JSON of one parameter, of the command or of the rows; a larger one is recorded by its digest."""
TEXT_LIMIT = 2_048
"""Bytes of JSON of any other text; a longer one is cut."""
ROWS_LIMIT = 16_384
"""Bytes of JSON of the names of the tables whose rows changed, where the counts are too long."""
NOT_MEASURED = "not measured"

_SAFE_INTEGER = 2**53 - 1  # RFC 8785 §3.2.2.3: numbers are IEEE 754 doubles
_TYPE_PREFIX, _TYPE_SUFFIX = "dev.oneoff.audit.", ".v1"
_OF_RUNS = "run."
_SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # documented nowhere, there since 2.6


def new_event_id() -> str:
    """An id that is unique in any log, in 32 hexadecimal digits: 48 bits of milliseconds, 80 random ones.

    Those made one after the other stand beside each other in the stores' index of ids.
    """
    return (time.time_ns() // 1_000_000).to_bytes(6, "big").hex() + os.urandom(10).hex()


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, before the log gave it its place."""

    id: str = field(default_factory=new_event_id)
    type: str
    """``requested``, ``refused``, ``starting``, ``outcome`` or ``cancelled`` of a run; any other with its
    family: ``log.queried``."""
    time: datetime
    source: str
    """Which app's log says so: ``/oneoff/shop``, a URI reference as CloudEvents wants it."""
    run_id: RunId | None = None
    data: JSONObject


TYPES = (
    *("requested", "refused", "starting", "cancelled", "outcome"),
    *("log.accepted", "log.anchor_failed", "log.exported", "log.pruned", "log.queried", "log.verified"),
    *("actor.erased", "breakglass.opened", "breakglass.reviewed"),
)
"""Every type of event that this oneoff writes; a log may hold those of a newer one."""

COLUMNS = ("id", "type", "run_id", "actor", "task", "environment", "time", "status", "measured", "tables")
"""The index columns beside an event. Each follows from its bytes."""


@dataclass(slots=True)  # not frozen: verification makes one for each event of the log
class StoredEvent:
    """An event in its place in the log."""

    seq: int
    """0-based and gapless."""
    body: bytes
    """The canonical bytes, never serialised again once stored."""
    hashes: bytes
    """The leaf hash of RFC 6962 §2.1, SHA-256(0x00 || body), and behind it those of the subtrees that this
    event completes, as :func:`oneoff.audit.merkle.grown` gives them."""
    beside: tuple[JSON, ...]
    """The values of :data:`COLUMNS`, in their order; verification derives them from the body again."""
    filed: bool = True
    """False where the store's index should have this event, and lacks it or has it otherwise than here."""

    @property
    def leaf(self) -> bytes:
        return self.hashes[:HASH_BYTES]

    @property
    def columns(self) -> JSONObject:
        """The index columns by their names."""
        return dict(zip(COLUMNS, self.beside, strict=True))


@dataclass(frozen=True, kw_only=True)
class Observer:
    """The process that saw what it records."""

    host: str
    pid: int


def requested(run: Run, observer: Observer, at: datetime) -> Event:
    """Somebody asked for this run; nothing has started."""
    return _event("requested", run, observer, at, **_launch(run))


def refused(run: Run, observer: Observer, at: datetime) -> Event:
    """The run was not confirmed, is against a policy or could not start; ``outcome.error`` says why."""
    return _event("refused", run, observer, at, outcome=_outcome(run))


def starting(run: Run, observer: Observer, at: datetime) -> Event:
    """The intent: the task is about to start. Its ``outcome`` has to follow."""
    return _event("starting", run, observer, at, **_launch(run))


def outcome(
    run: Run, observer: Observer, at: datetime, *, recovered: bool = False, evidence: str | None = None
) -> Event:
    """How the run ended.

    Args:
        recovered: the process's own outcome, recorded later by another, or after a ``lost``.
        evidence: for a run that is lost, why it is believed to be.
    """
    return _event(
        "outcome",
        run,
        observer,
        at,
        outcome={**_outcome(run), "recovered": recovered, "evidence": _text(evidence)},
    )


def cancelled(
    run: Run, observer: Observer, at: datetime, *, by: Actor, force: bool = False, reason: str | None = None
) -> Event:
    """``by`` asked for the end of the run. Where it had started, its outcome is an event of its own."""
    request: JSONObject = {"force": force, "reason": _text(reason)}
    return _event("cancelled", run, observer, at, action="cancel", initiator=_initiator(by), request=request)


def of_log(what: str, actor: Actor, observer: Observer, at: datetime, **about: JSON) -> Event:
    """``actor`` did something with the log itself: ``queried``, ``exported``, ``pruned`` and the like."""
    return about_actor(f"log.{what}", actor, observer, at, **about)


def about_actor(type_: str, actor: Actor, observer: Observer, at: datetime, **about: JSON) -> Event:
    """``actor`` did something that is no run; ``about`` says what.

    A text that is too long is cut, any other value stands by its digest.
    """
    data: JSONObject = {
        "action": type_.rpartition(".")[2],
        "initiator": _initiator(actor),
        "observer": {"host": _text(observer.host), "pid": observer.pid},
        **{
            name: _text(value) if isinstance(value, str) else _bounded(value) for name, value in about.items()
        },
    }
    return Event(type=type_, time=at, source="/oneoff", data=data)


def to_json(event: Event) -> JSONObject:
    """An event that no log has taken yet, to be kept elsewhere."""
    return vars(event) | {"time": rfc3339(event.time)}


def from_json(kept: Mapping[str, Any], actor: Actor) -> Event:
    """The inverse of :func:`to_json`, in the name of ``actor``: its subject was not known then."""
    data = {**kept["data"], "initiator": _initiator(actor)}
    return Event(**{**kept, "time": from_rfc3339(kept["time"]), "data": data})


def source_of(app: str) -> str:
    """The CloudEvents ``source`` of an app's events."""
    return f"/oneoff/{quote(app, safe='', errors='backslashreplace')}"


def encode(event: Event) -> bytes:
    """The canonical bytes of an event, at most :data:`EVENT_LIMIT` of them.

    Raises:
        ValueError: it is too long even without its parameters; no builder here makes such an event.
    """
    return written(event)[0]


def written(event: Event) -> tuple[bytes, tuple[JSON, ...]]:
    """The canonical bytes of an event as :func:`encode` gives them, and what :func:`beside` says of these."""
    envelope = _in_profile(_envelope(event, event.data))
    body = _json(envelope).encode()
    if len(body) > EVENT_LIMIT:
        short = {**event.data, "parameters": _digest(canonical(event.data.get("parameters")))}
        envelope = _in_profile(_envelope(event, short))
        body = _json(envelope).encode()
    if len(body) > EVENT_LIMIT:
        raise ValueError(f"an audit event of {len(body)} bytes does not fit into {EVENT_LIMIT}")
    assert isinstance(envelope, dict)
    return body, beside(envelope)


def decode(body: bytes) -> JSONObject:
    """The envelope in these bytes.

    Raises:
        ValueError: they are no event.
    """
    text = body.decode()
    try:
        envelope, end = _SCAN(text, 0)  # without white space around it, and quicker than json.loads
    except StopIteration:
        raise ValueError("it is no JSON") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deep") from None
    if end != len(text):
        raise ValueError("something follows the JSON")
    if not isinstance(envelope, dict) or not isinstance(envelope.get("data"), dict):
        raise ValueError("it is no JSON object with data")
    return envelope


def columns(envelope: JSONObject) -> JSONObject:
    """The index columns of an event by their names."""
    return dict(zip(COLUMNS, beside(envelope), strict=True))


def beside(envelope: JSONObject) -> tuple[JSON, ...]:
    """What stands in the index columns of an event: the store writes it, verification compares it."""
    # Called for each event of a log that is verified: nothing is looked at twice.
    data, actor, task, environment, status = envelope.get("data"), None, None, None, None
    measured = None  # whether an outcome counts the rows that changed; None for what is no outcome
    tables: list[JSON] = []
    if isinstance(data, dict):
        if isinstance(initiator := data.get("initiator"), dict):
            actor = initiator.get("subject")
        if isinstance(target := data.get("target"), dict):
            task, environment = target.get("task"), target.get("environment")
        if isinstance(outcome := data.get("outcome"), dict):
            status, rows = outcome.get("status"), outcome.get("rows")
            measured = None if rows is None else isinstance(rows, dict)
            if isinstance(rows, dict):
                tables += sorted(name for name, counts in rows.items() if isinstance(counts, dict))
    return (
        envelope.get("id"),
        short_type(envelope.get("type")),
        envelope.get("subject"),
        actor if isinstance(actor, str) else None,
        task if isinstance(task, str) else None,
        environment if isinstance(environment, str) else None,
        envelope.get("time"),
        status if isinstance(status, str) else None,
        measured,
        tables,
    )


def short_type(full: Any) -> Any:
    """``requested`` of ``dev.oneoff.audit.run.requested.v1``, ``log.queried`` of
    ``dev.oneoff.audit.log.queried.v1``; whatever else stays as it is.
    """
    return _short_type(full) if isinstance(full, str) else full


@lru_cache(maxsize=256)  # there are few, and many events
def _short_type(full: str) -> str:
    if full.startswith(_TYPE_PREFIX) and full.endswith(_TYPE_SUFFIX):
        return full.removeprefix(_TYPE_PREFIX).removesuffix(_TYPE_SUFFIX).removeprefix(_OF_RUNS)
    return full


def full_type(short: str) -> str:
    """The inverse of :func:`short_type`."""
    return f"{_TYPE_PREFIX}{'' if '.' in short else _OF_RUNS}{short}{_TYPE_SUFFIX}"


def canonical(value: Any) -> bytes:
    """JSON in the profile of this module; equal values give equal bytes."""
    return _json(_in_profile(value)).encode()


def _envelope(event: Event, data: JSONObject) -> JSONObject:
    subject: JSONObject = {} if event.run_id is None else {"subject": event.run_id}
    return subject | {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": full_type(event.type),
        "time": rfc3339(event.time),
        "datacontenttype": "application/json",
        "data": data,
    }


def _event(type_: str, run: Run, observer: Observer, at: datetime, **more: JSON) -> Event:
    data: JSONObject = {
        "action": "run",
        "initiator": _initiator(run.actor),
        "target": {
            "task": _text(run.task),
            "environment": _text(run.environment),
            "protected": run.protected,
            "dry_run": run.dry_run,
            "command": _bounded(None if run.command is None else list(run.command)),
        },
        "parameters": {name: _bounded(value) for name, value in run.parameters.items()},
        "reason": _text(run.reason),
        "confirmation": _text(run.confirmation),
        "rerun_of": run.rerun_of,
        "release": {name: _text(value) for name, value in vars(run.release).items()},
        "observer": {"host": _text(observer.host), "pid": observer.pid},
        "requested_at": rfc3339(run.requested_at),
        "started_at": None if run.started_at is None else rfc3339(run.started_at),
        "ended_at": None if run.ended_at is None else rfc3339(run.ended_at),
    }
    return Event(type=type_, time=at, source=source_of(run.app), run_id=run.id, data=data | more)


def _launch(run: Run) -> JSONObject:
    return {} if run.launch is None else {"launch": _bounded(run.launch)}


def _initiator(actor: Actor) -> JSONObject:
    claims: JSONObject = {name: _text(value) for name, value in actor.opaque_claims.items()}
    return {"kind": _text(actor.kind), "subject": _text(actor.subject), "claims": claims}


def _outcome(run: Run) -> JSONObject:
    ending = run.outcome or Outcome(status=run.status)
    return {
        "status": ending.status.value,
        "exit_code": ending.exit_code,
        "error": _text(ending.error),
        "duration_ms": ending.duration_ms,
        "rows": NOT_MEASURED if ending.rows is None else _rows(ending.rows),
    }


def _rows(rows: JSONObject) -> JSON:
    """Counts by table; where that is too long, its digest and the tables' names, as far as they fit."""
    short = _bounded(rows)
    if short is rows:
        return rows
    names: JSONObject = {name: {} for name in rows}
    return {**_digest(canonical(rows)), **(names if len(canonical(names)) <= ROWS_LIMIT else {})}


def _bounded(value: JSON) -> JSON:
    """The value, or the digest of its canonical JSON where that is longer than :data:`VALUE_LIMIT`."""
    body = canonical(value)
    return value if len(body) <= VALUE_LIMIT else _digest(body)


def _digest(body: bytes) -> JSONObject:
    return {"sha256": sha256(body).hexdigest(), "bytes": len(body)}


def _text(text: str | None) -> str | None:
    """The text, cut where its JSON is longer than :data:`TEXT_LIMIT`."""
    if text is None or len(canonical(text)) <= TEXT_LIMIT:
        return text
    tail = f" … ({len(text)} characters in all)"
    kept = text[:TEXT_LIMIT]
    while len(canonical(kept + tail)) > TEXT_LIMIT:
        kept = kept[: len(kept) * 3 // 4]
    return kept + tail


def _json(value: JSON) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _in_profile(value: Any) -> JSON:
    """The value in the words of the profile; nothing is lost, no two keys become one."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        # Half a surrogate pair (an undecodable byte of an argument) has no UTF-8; shown as \udc80.
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, int):
        return value if -_SAFE_INTEGER <= value <= _SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {_ascii(key): _in_profile(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_in_profile(item) for item in value]
    raise TypeError(f"{type(value).__name__} is no JSON")


def _ascii(key: str) -> str:
    """``gr\\xf6\\xdfe`` for ``größe``; a backslash is doubled, so that no two keys become one."""
    return key.encode("unicode_escape").decode("ascii")
