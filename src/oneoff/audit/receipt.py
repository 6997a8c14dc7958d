"""A receipt: the events of one run with the proof that they are in the log. Whoever has it needs no store.

The format ``oneoff-receipt/1`` is one JSON object, stable and documented in docs/reference/receipt.md. The
text of an event is, in UTF-8, the exact bytes that were hashed. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oneoff.audit.event import StoredEvent, decode, short_type
from oneoff.audit.merkle import (
    HASH_BYTES,
    Checkpoint,
    Hashes,
    inclusion_proofs,
    leaf_hash,
    verify_inclusion,
)
from oneoff.audit.verify import Pruned
from oneoff.types import JSON, JSONObject

FORMAT = "oneoff-receipt/1"
BEGINNINGS = frozenset({"requested", "breakglass.opened"})
"""The first event of a run is one of these, so a receipt that has it lacks nothing before it."""
_ORIGIN = "oneoff/"


class WrongReceipt(Exception):
    """This is a receipt, and it does not show what it should."""


class NoReceipt(Exception):
    """This is something else."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a receipt shows by itself."""

    log: str
    """The name of the log, as the receipt says it; nothing vouches for that but the checkpoint."""
    run_id: str
    checkpoint: Checkpoint
    note: str | None
    """The checkpoint as a signed note, where there was one; not looked at here."""
    events: tuple[tuple[int, JSONObject], ...]
    """Each with its place."""
    pruned: Pruned | None
    """What the log says of its own beginning, where the run has events that went with it."""

    @property
    def whole(self) -> bool:
        """Whether the run begins here."""
        return self.types[0] in BEGINNINGS

    @property
    def types(self) -> list[Any]:
        return [short_type(event.get("type")) for _, event in self.events]


def make(
    run_id: str,
    log: str,
    checkpoint: Checkpoint,
    events: Iterable[StoredEvent],
    hashes: Hashes,
    *,
    note: str | None = None,
    pruned: StoredEvent | None = None,
) -> JSONObject:
    """The receipt of a run, checked before it is handed out.

    Args:
        pruned: the event that states the cut, where the first events of the run were before it.

    Raises:
        WrongReceipt: the log is damaged, so that it cannot prove what it holds.
    """

    told = [*events, *([] if pruned is None else [pruned])]
    proofs = inclusion_proofs([event.seq for event in told], checkpoint.size, hashes)
    proven: list[JSON] = [_proven(event, proof) for event, proof in zip(told, proofs, strict=True)]
    stated: JSONObject = {} if pruned is None else {"pruned": proven.pop()}
    receipt: JSONObject = {
        "format": FORMAT,
        "origin": f"{_ORIGIN}{log}",
        "run": run_id,
        "checkpoint": str(checkpoint),
        "note": note,
        **stated,
        "events": proven,
    }
    check(json.dumps(receipt))
    return receipt


def _proven(event: StoredEvent, proof: Iterable[bytes]) -> JSONObject:
    return {
        "place": event.seq,
        "event": event.body.decode(errors="replace"),
        "proof": [node.hex() for node in proof],
    }


def check(text: str) -> Shown:
    """What a receipt shows: every event is at its place of the log that the checkpoint names.

    Raises:
        NoReceipt: the text is something else.
        WrongReceipt: it is a receipt, cut short, changed, or wrong from the beginning.
    """
    document = _document(text)
    try:
        checkpoint = Checkpoint.parse(_text(document, "checkpoint"))
        run_id, origin, note = _text(document, "run"), _text(document, "origin"), document.get("note")
        entries = document["events"]
        if not isinstance(entries, list) or not entries or not isinstance(note, str | None):
            raise ValueError("it has no events")
        if not origin.startswith(_ORIGIN):
            raise ValueError("its origin is no log of oneoff")
        events = tuple(_event(entry) for entry in entries)
        stated = _event(document["pruned"]) if "pruned" in document else None
    except KeyError as error:
        raise WrongReceipt(f"the receipt lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise WrongReceipt(f"the receipt cannot be read: {error}") from None
    _check_events(run_id, checkpoint, events)
    return Shown(
        log=origin.removeprefix(_ORIGIN),
        run_id=run_id,
        checkpoint=checkpoint,
        note=note,
        events=tuple((place, envelope) for place, envelope, _, _ in events),
        pruned=None if stated is None else _cut(checkpoint, stated, before=events[0][0]),
    )


_Entry = tuple[int, JSONObject, bytes, list[bytes]]
"""Place, envelope, leaf and proof of an event."""


def _check_events(run_id: str, checkpoint: Checkpoint, events: Iterable[_Entry]) -> None:
    last = -1
    for place, envelope, leaf, proof in events:
        if place <= last:
            raise WrongReceipt(f"the events are not in their order: {place} stands after {last}")
        last = place
        _check_place(checkpoint, leaf, place, proof)
        if envelope.get("subject") != run_id:
            raise WrongReceipt(f"event {place} belongs to {envelope.get('subject')}, not to run {run_id}")


def _check_place(checkpoint: Checkpoint, leaf: bytes, place: int, proof: list[bytes]) -> None:
    if not verify_inclusion(leaf, place, proof, checkpoint):
        raise WrongReceipt(
            f"event {place} is not in the log of the checkpoint {checkpoint}: the event, its place, its "
            "proof or the checkpoint was changed"
        )


def _cut(checkpoint: Checkpoint, stated: _Entry, *, before: int) -> Pruned:
    """What this event states: that the log began after some place, not after the one that is shown."""
    place, envelope, leaf, proof = stated
    _check_place(checkpoint, leaf, place, proof)
    try:
        cut = Pruned.of(place, envelope)
    except (AttributeError, KeyError, TypeError, ValueError):
        cut = None
    if short_type(envelope.get("type")) != "log.pruned" or cut is None or cut.to > before:
        raise WrongReceipt(f"event {place} does not state that the events before {before} were pruned")
    return cut


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        if text.lstrip().startswith("{") and FORMAT in text[:200]:
            raise WrongReceipt("the receipt is cut short or broken: it is no whole JSON document") from None
        raise NoReceipt("it is no JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise NoReceipt(f"its format is not {FORMAT}")
    return document


def _event(entry: Any) -> _Entry:
    place, proof = entry["place"], entry["proof"]
    if type(place) is not int or not isinstance(proof, list):
        raise ValueError("an event needs a place and a proof")
    body = _text(entry, "event").encode()
    nodes = [bytes.fromhex(node) for node in proof]
    if any(len(node) != HASH_BYTES for node in nodes):
        raise ValueError(f"the proof of event {place} is no list of hashes")
    return place, decode(body), leaf_hash(body), nodes


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value
