"""Signed notes against the specification's rules and notes that other implementations have signed."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from oneoff.audit.merkle import Checkpoint
from oneoff.audit.note import (
    Note,
    Signature,
    SigningKey,
    VerifyKey,
    checkpoint_text,
    origin_of,
    parse_checkpoint_text,
    signatures_by,
)

DASH = "\u2014"
# From the documentation of golang.org/x/mod/sumdb/note, the first implementation.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
GO_NOTE = f"""If you think cryptography is the answer to your problem,
then you don't know what your problem is.

{DASH} PeterNeumann {GO_SIGNATURE}
"""
# From the text of C2SP's specification.
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_SIGNATURE = (
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
)
SPEC_NOTE = f"""This is an example message.

{DASH} example.com/foo {SPEC_SIGNATURE}
"""
# A checkpoint of a real log, the one of Go's modules.
SUMDB_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB_SIGNATURE = (
    "Az3grilD7vQqTrv66jRgKM84Y80KTprrSt4bKmiOPxgmS5ZVBTeCl6dUvjYnN13R+C8j0jGY1WnUADGMkok3U0m2Zgo="
)
SUMDB_NOTE = f"""go.sum database tree
15081221
BoMMe1wd25Tco0mYGROkyqxHZWx+hcSCtMV315Lu6Lg=

{DASH} sum.golang.org {SUMDB_SIGNATURE}
"""
KEY = VerifyKey("shop.example/audit", bytes(range(32)))


@pytest.mark.parametrize(("key", "note"), [(GO_KEY, GO_NOTE), (SPEC_KEY, SPEC_NOTE), (SUMDB_KEY, SUMDB_NOTE)])
def test_notes_of_others(key: str, note: str) -> None:
    """Text, key and signature are told apart so that the signature fits, and all is written as it was."""
    parsed, known = Note.parse(note), VerifyKey.parse(key)
    assert (str(parsed), str(known)) == (note, key)
    ((_, signature),) = signatures_by(parsed, [known])
    Ed25519PublicKey.from_public_bytes(known.public).verify(signature.signature, parsed.text.encode())


def test_the_id_of_a_key_by_hand() -> None:
    """SHA-256 over name, newline, the byte 1 and the key; the first four bytes of it."""
    name, _, encoded = GO_KEY.split("+", 2)
    raw = base64.b64decode(encoded)
    assert raw[:1] == b"\x01"
    assert hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] == "c74f20a3"
    assert VerifyKey(name, raw[1:]).key_id.hex() == "c74f20a3"


def test_a_checkpoint_by_hand() -> None:
    """Three lines, each with its newline."""
    text = checkpoint_text(origin_of("ab" * 16), Checkpoint(6, b"\x00" * 32))
    assert text == f"oneoff/{'ab' * 16}\n6\n{'A' * 43}=\n"
    assert parse_checkpoint_text(SUMDB_NOTE.rpartition("\n\n")[0] + "\n")[1].size == 15081221


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1
)
texts = st.text(st.one_of(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), st.just("\n"))).map(
    lambda text: "x" + text + "\n"
)


@given(names, st.binary(min_size=32, max_size=32))
def test_keys_there_and_back(name: str, key: bytes) -> None:
    """Public or private, what is written is read again."""
    public = VerifyKey(name, key)
    assert VerifyKey.parse(str(public)) == public
    private = SigningKey(name, key)
    assert SigningKey.parse(private.written(public)) == (private, public.key_id)


@given(texts, st.lists(st.tuples(names, st.binary(min_size=5, max_size=80)), min_size=1, max_size=4))
def test_notes_there_and_back(text: str, signers: list[tuple[str, bytes]]) -> None:
    """Whatever the text is, empty lines and all: the last empty line ends it."""
    note = Note(text, tuple(Signature(name, data[:4], data[4:]) for name, data in signers))
    assert Note.parse(str(note)) == note


@given(st.integers(0, 10**17), st.binary(min_size=32, max_size=32), names)
def test_checkpoints_there_and_back(size: int, root: bytes, origin: str) -> None:
    """Every size and root has one form."""
    checkpoint = Checkpoint(size, root)
    assert parse_checkpoint_text(checkpoint_text(origin, checkpoint)) == (origin, checkpoint)


@given(st.text())
def test_nonsense_is_a_value_error(text: str) -> None:
    """And nothing else, whatever the text."""
    for parse in (Note.parse, VerifyKey.parse, SigningKey.parse, parse_checkpoint_text):
        with pytest.raises(ValueError, match=r"\w"):
            parse(text)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (SPEC_NOTE.replace("\n\n", "\n"), "empty line"),
        (SPEC_NOTE.removesuffix("\n"), "ends in a newline"),
        (SPEC_NOTE.replace("\n", "\r\n"), "control characters"),
        (SPEC_NOTE.replace(DASH, "-"), "no signature"),
        (SPEC_NOTE.replace("foo Uw", "foo  Uw"), "no base64"),
        (SPEC_NOTE.replace("aQM=", "aQN="), "one form"),
        (SPEC_NOTE.replace("example.com/foo ", "a+b "), "names no key"),
        ("text\n\n\u2014 name AAAA\n", "too short"),
        (SPEC_NOTE + SPEC_NOTE.rpartition("\n\n")[2] * 100, "at most 100"),
        ("\n\n\u2014 name AAAAAAAA\n", "empty line"),
    ],
)
def test_a_broken_note(note: str, words: str) -> None:
    """Each mistake has its words."""
    with pytest.raises(ValueError, match=words):
        Note.parse(note)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("o\n1\n", "three lines"),
        (f"o\n1\n{'A' * 43}=", "three lines"),
        (f"\n1\n{'A' * 43}=\n", "three lines"),
        (f"o\n01\n{'A' * 43}=\n", "no size"),
        (f"o\n-1\n{'A' * 43}=\n", "no size"),
        (f"o\n\u0661\n{'A' * 43}=\n", "no size"),
        (f"o\n{'9' * 19}\n{'A' * 43}=\n", "no log"),
        ("o\n1\nAAAA\n", "32 bytes"),
        (f"o\n1\n{'A' * 43}\n", "no base64"),
    ],
)
def test_a_broken_checkpoint(text: str, words: str) -> None:
    """A size has one form, a root 32 bytes."""
    with pytest.raises(ValueError, match=words):
        parse_checkpoint_text(text)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("name", "NAME"),
        (SPEC_KEY.replace("530d903a", "530d903b"), "the id of the key"),
        (SPEC_KEY.replace("530d903a", "530d"), "8 hexadecimal"),
        (SPEC_KEY.replace("AekyeRrm", "BOkyeRrm"), "another type"),
        (SPEC_KEY[:-8], "32 bytes"),
        (SPEC_KEY.replace("example.com/foo", "a b"), "names no key"),
        (GO_PRIVATE, "private key"),
    ],
)
def test_a_broken_key(key: str, words: str) -> None:
    """A private key in the wrong place is noticed, and not repeated."""
    with pytest.raises(ValueError, match=words) as raised:
        VerifyKey.parse(key)
    assert "AYEKFALV" not in str(raised.value)


def test_a_private_key_is_shown_nowhere() -> None:
    """Not even by accident, in a traceback with its values."""
    key, key_id = SigningKey.parse(GO_PRIVATE + "\n")
    assert repr(key) == "SigningKey('PeterNeumann')"
    assert key_id.hex() == "c74f20a3"


def test_signatures_of_unknown_keys_say_nothing() -> None:
    """Neither the name alone nor the id alone makes a key known."""
    same_name, same_id = Signature(KEY.name, b"1234", b"x"), Signature("other", KEY.key_id, b"x")
    own = Signature(KEY.name, KEY.key_id, b"x")
    assert signatures_by(Note("text\n", (same_name, same_id, own)), [KEY]) == [(KEY, own)]
