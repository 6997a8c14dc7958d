"""Checkpoints from elsewhere: what each form says, and what is not believed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from oneoff.audit.evidence import UNCHECKED, UNSIGNED, Evidence, Statement, read
from oneoff.audit.merkle import Checkpoint
from oneoff.audit.note import Note, Signature, VerifyKey, checkpoint_text
from oneoff.errors import EvidenceUnfit

ORIGIN = "oneoff/" + "ab" * 16
CHECKPOINT = Checkpoint(6, bytes(range(32)))
KEY = VerifyKey("shop.example/audit", bytes(range(32)))
OTHER = VerifyKey("shop.example/audit", bytes(32))
TEXT = checkpoint_text(ORIGIN, CHECKPOINT)
NOTE = Note(TEXT, (Signature(KEY.name, KEY.key_id, b"good"),))
AT = datetime(2026, 3, 1, tzinfo=UTC)


def fits(key: VerifyKey, signature: bytes, message: bytes) -> bool:
    return key == KEY and signature == b"good" and message == TEXT.encode()


def one(text: str, *keys: VerifyKey, signed: bool = False) -> Evidence:
    (found,) = read(text, origin=ORIGIN, keys=keys, fits=fits, signed=signed)
    assert found.checkpoint == CHECKPOINT
    return found


def statement(note: Note | None = NOTE, checkpoint: Checkpoint = CHECKPOINT) -> Statement:
    return Statement(origin=ORIGIN, checkpoint=checkpoint, note=note, at=AT)


def test_every_form_says_how_it_is_vouched_for() -> None:
    """A signature counts where its key is known, and what has none is not called signed."""
    assert one(str(CHECKPOINT)).vouched == UNSIGNED
    assert one(TEXT, KEY).vouched == UNSIGNED
    assert one(str(NOTE)).vouched == UNCHECKED
    assert one(str(NOTE), KEY).vouched == "signed by shop.example/audit"
    assert one(str(NOTE).rstrip("\n"), KEY, signed=True).vouched == "signed by shop.example/audit"
    assert one(statement().line, KEY).vouched == "signed by shop.example/audit"
    assert one(statement(None).line, KEY).vouched == UNSIGNED


def test_all_lines_of_a_file_count() -> None:
    """The newest alone would let a log pass that was rewritten before it; a cut line says nothing."""
    grown = Checkpoint(9, bytes(32))
    lines = [
        "the task's own words\n",
        statement(None).line,
        statement(None).line[:40] + "\n",
        statement(None, grown).line,
    ]
    found = read("".join(lines), origin=ORIGIN, keys=[], fits=fits)
    assert [each.checkpoint for each in found] == [CHECKPOINT, grown]


def test_plain_lines() -> None:
    """A file that somebody keeps by hand: as it was printed, with words about it."""
    grown = Checkpoint(9, bytes(32))
    text = f"# before the audit\n{CHECKPOINT}\n\ncheckpoint {grown}\n"
    found = read(text, origin=ORIGIN, keys=[KEY], fits=fits)
    assert [each.checkpoint for each in found] == [CHECKPOINT, grown]
    with pytest.raises(ValueError, match="SIZE:ROOT"):
        read(text + "7:abc\n", origin=ORIGIN, keys=[KEY], fits=fits)


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("oneoff/ab", "oneoff/cd"),
        str(NOTE).replace("\n6\n", "\n7\n"),
        str(Note(TEXT, (Signature(KEY.name, KEY.key_id, b"bad"),))),
        str(Note(TEXT, (*NOTE.signatures, Signature(KEY.name, KEY.key_id, b"bad")))),
        str(Note(TEXT, (Signature(OTHER.name, OTHER.key_id, b"good"),))),
        statement().line.replace("\\n6\\n", "\\n7\\n"),
    ],
)
def test_what_does_not_fit(text: str) -> None:
    """Another log, a changed text, a wrong signature beside a right one, a key that is not known."""
    with pytest.raises(EvidenceUnfit):
        read(text, origin=ORIGIN, keys=[KEY], fits=fits)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "6:abc",
        "nonsense",
        "a\nb\nc\n",
        "a\nb\n\nc\n",
        str(NOTE).replace("=", ""),
        statement().line[:40],
        statement(None).line.replace('"size": 6', '"size": "six"'),
        statement(None).line.replace('"size"', '"length"'),
    ],
)
def test_nonsense(text: str) -> None:
    """What is no checkpoint at all is no evidence of anything."""
    with pytest.raises(ValueError, match=r"\w"):
        read(text, origin=ORIGIN, keys=[KEY], fits=fits)


@pytest.mark.parametrize("text", [str(CHECKPOINT), TEXT, statement(None).line])
def test_where_a_signature_is_demanded(text: str) -> None:
    """With a key given on purpose, nothing unsigned passes."""
    with pytest.raises(ValueError, match="no signature"):
        read(text, origin=ORIGIN, keys=[KEY], fits=fits, signed=True)
