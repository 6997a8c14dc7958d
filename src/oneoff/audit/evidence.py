"""Reads checkpoints that somebody kept elsewhere, and says how each is vouched for. Pure.

Four forms are read: ``SIZE:ROOT``, one or more, a line each, also as a run prints it; the three lines of a
checkpoint without a signature; a signed note; and the JSON lines that anchors leave, many in a file, between
whatever else a process printed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from oneoff.audit.merkle import Checkpoint
from oneoff.audit.note import Note, VerifyKey, checkpoint_text, parse_checkpoint_text, signatures_by
from oneoff.errors import EvidenceUnfit
from oneoff.types import rfc3339

LINE = "oneoff.checkpoint"
"""The key of an anchor's JSON line."""

UNSIGNED = "unsigned"
UNCHECKED = "signed, and no key was given to check it with"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What the log says of itself at one moment: what is given to an anchor."""

    origin: str
    checkpoint: Checkpoint
    note: Note | None
    """The same, signed; None where there is no key."""
    at: datetime

    @property
    def text(self) -> str:
        """The note, or the three lines of it that a key would sign."""
        return str(self.note) if self.note else checkpoint_text(self.origin, self.checkpoint)

    @property
    def line(self) -> str:
        """One line of JSON, which :func:`read` reads again."""
        told = {
            "origin": self.origin,
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "time": rfc3339(self.at),
            "note": str(self.note) if self.note else None,
        }
        return json.dumps({LINE: told}) + "\n"


_PRINTED = "checkpoint "  # before it, in what a run prints
_PLAIN = re.compile(rf"({_PRINTED})?\d+:")
_NO_SIGNATURE = "it carries no signature that a key could check"

Fits = Callable[[VerifyKey, bytes, bytes], bool]
"""Whether these bytes are the key's signature of that message."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A checkpoint that came from outside the store."""

    checkpoint: Checkpoint
    vouched: str
    """:data:`UNSIGNED`, :data:`UNCHECKED`, or ``signed by NAME``."""


def read(
    text: str, *, origin: str, keys: Sequence[VerifyKey], fits: Fits, signed: bool = False
) -> list[Evidence]:
    """Every checkpoint in ``text``.

    Args:
        origin: of the log that is at hand; a checkpoint that names another one does not fit.
        keys: whose signatures count. Without any, a signature is not looked at.
        signed: what is not signed by one of the keys is refused.

    Raises:
        ValueError: there is no checkpoint in it, or a broken one.
        EvidenceUnfit: it is of another log, or its signature is not the key's.
    """
    if not text.endswith("\n"):  # a shell's $(…) takes it away
        text += "\n"
    plain = [line.strip() for line in text.split("\n") if line.strip() and not line.startswith("#")]
    if plain and all(_PLAIN.match(line) for line in plain):
        if signed:
            raise ValueError(_NO_SIGNATURE)
        checkpoints = [Checkpoint.parse(line.removeprefix(_PRINTED)) for line in plain]
        return [Evidence(checkpoint=checkpoint, vouched=UNSIGNED) for checkpoint in checkpoints]
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if _is_line(line)]
    found = [_of_line(line, number) for number, line in lines]
    texts = [each for each in found if each is not None]
    if lines and not texts:
        raise ValueError("no line of it is a whole checkpoint")
    return [_weigh(each, origin, keys, fits, signed) for each in texts or [text]]


def _weigh(text: str, origin: str, keys: Sequence[VerifyKey], fits: Fits, signed: bool) -> Evidence:
    note = Note.parse(text) if "\n\n" in text.strip("\n") else None
    if signed and note is None:
        raise ValueError(_NO_SIGNATURE)
    named, checkpoint = parse_checkpoint_text(note.text if note else text)
    vouched = _vouched(note, keys, fits) if note else UNSIGNED
    if named != origin:
        raise EvidenceUnfit(f"the checkpoint is of the log {named}, and this store holds the log {origin}")
    return Evidence(checkpoint=checkpoint, vouched=vouched)


def _vouched(note: Note, keys: Sequence[VerifyKey], fits: Fits) -> str:
    if not keys:
        return UNCHECKED
    found = signatures_by(note, keys)
    if not found:
        signers = ", ".join(f"{each.name}+{each.key_id.hex()}" for each in note.signatures)
        wanted = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in keys)
        raise EvidenceUnfit(
            f"the checkpoint is signed by {signers}, and none of that is a known key: {wanted}"
        )
    for key, signature in found:
        if not fits(key, signature.signature, note.text.encode()):
            raise EvidenceUnfit(
                f"the signature of {key.name} does not fit: the checkpoint was changed or forged"
            )
    return f"signed by {', '.join(dict.fromkeys(key.name for key, _ in found))}"


def _is_line(line: str) -> bool:
    return line.lstrip().startswith(f'{{"{LINE}":')


def _of_line(line: str, number: int) -> str | None:
    """The note of an anchor's line, or the text of a checkpoint that it got without a signature.

    None for a line that is cut off: the disk was full, and what is missing vouches for nothing.
    """
    try:
        told = json.loads(line)[LINE]
    except ValueError:
        return None
    try:
        if isinstance(told["note"], str):
            return told["note"]
        return checkpoint_text(str(told["origin"]), Checkpoint.parse(f"{told['size']}:{told['root']}"))
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"line {number} is no checkpoint") from None
