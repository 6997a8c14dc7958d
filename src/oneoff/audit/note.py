"""Signed notes (C2SP ``signed-note``) and the checkpoint in one (``tlog-checkpoint``). Pure.

    oneoff/0123456789abcdef0123456789abcdef        the text: the log's origin,
    6                                              its size
    iokNzkTZ…=                                     and its root, in base64

    — shop.example/audit Y2hlY2…=                  one signature by a key of that name, or more

What a key signs is the text with the newline at its end. Making and checking the 64 bytes of a signature is
an adapter's work; all else is here. Everything that reads raises ValueError with what is wrong.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from oneoff.audit.merkle import HASH_BYTES, Checkpoint

ED25519 = b"\x01"
"""The type of signature, as C2SP numbers them."""
KEY_BYTES = 32
"""Of an Ed25519 public key, and of the seed that is the private one (RFC 8032)."""
SIGNATURE_BYTES = 64
SIGNATURES_LIMIT = 100
"""More signatures than that are not read; the specification wants at least 16."""

_DASH = "\N{EM DASH} "
_PRIVATE = "PRIVATE+KEY+"
_ID_BYTES = 4


@dataclass(frozen=True)
class Signature:
    """One line below the text of a note."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True)
class Note:
    """A text with its signatures."""

    text: str
    """It ends in a newline."""
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @classmethod
    def parse(cls, note: str) -> Note:
        """The inverse of ``str``; raises ValueError."""
        if any(letter < " " and letter != "\n" for letter in note):
            raise ValueError("a note holds no control characters but newlines")
        text, blank, below = note.rpartition("\n\n")
        if not blank or not text:
            raise ValueError("a note is a text, an empty line and signatures, and the empty line is missing")
        if not below.endswith("\n"):
            raise ValueError("a note ends in a newline")
        lines = below[:-1].split("\n")
        if len(lines) > SIGNATURES_LIMIT:
            raise ValueError(f"a note has at most {SIGNATURES_LIMIT} signatures, this one {len(lines)}")
        return cls(text + "\n", tuple(map(_signature, lines)))


@dataclass(frozen=True)
class VerifyKey:
    """A public key and its name: all that checking a signature needs."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public) != KEY_BYTES:
            raise ValueError(f"an Ed25519 public key has {KEY_BYTES} bytes, this one {len(self.public)}")

    @property
    def key_id(self) -> bytes:
        """Tells the keys of one name apart. Four bytes are no proof of anything."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        """The ``vkey``: ``shop.example/audit+1a2b3c4d+AX…=``."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(ED25519 + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifyKey:
        """The inverse of ``str``; raises ValueError."""
        if text.startswith(_PRIVATE):
            raise ValueError("it is a private key, which is to be shown to nobody")
        return _checked(*_key_parts(text, "NAME+KEYID+KEY"))


@dataclass(frozen=True)
class SigningKey:
    """A private key, which no ``repr`` and no message shows."""

    name: str
    seed: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r})"

    def written(self, public: VerifyKey) -> str:
        """The line of a key file: ``PRIVATE+KEY+NAME+KEYID+…``, the form that other tools for notes have."""
        return f"{_PRIVATE}{self.name}+{public.key_id.hex()}+{_base64(ED25519 + self.seed)}\n"

    @classmethod
    def parse(cls, text: str) -> tuple[SigningKey, bytes]:
        """The key, and the id that its public half has to have; raises ValueError without the text."""
        if not text.startswith(_PRIVATE):
            raise ValueError(f"a private key begins with {_PRIVATE}")
        name, key_id, seed = _key_parts(text.removeprefix(_PRIVATE).removesuffix("\n"), "NAME+KEYID+KEY")
        check_name(name)
        if len(seed) != KEY_BYTES:
            raise ValueError(f"an Ed25519 private key has {KEY_BYTES} bytes, this one {len(seed)}")
        return cls(name, seed), key_id


def origin_of(log_name: str) -> str:
    """How notes call the log of this name."""
    return f"oneoff/{log_name}"


def checkpoint_text(origin: str, checkpoint: Checkpoint) -> str:
    """The text of a checkpoint's note."""
    return f"{origin}\n{checkpoint.size}\n{_base64(checkpoint.root)}\n"


def parse_checkpoint_text(text: str) -> tuple[str, Checkpoint]:
    """Origin and checkpoint of such a text; raises ValueError.

    Further lines are left alone, as the specification has it: another log's tool may add them.
    """
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) < 3 or not all(lines):
        raise ValueError("a checkpoint is three lines: origin, size and root")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdigit()) or (size != "0" and size.startswith("0")):
        raise ValueError(f"{size[:40]!r} is no size: decimal digits without a zero in front")
    if len(size) > 18:
        raise ValueError("no log has so many events")
    hashed = _unbase64(root, "the root")
    if len(hashed) != HASH_BYTES:
        raise ValueError(f"a root has {HASH_BYTES} bytes, this one {len(hashed)}")
    return origin, Checkpoint(int(size), hashed)


def signatures_by(note: Note, keys: Iterable[VerifyKey]) -> list[tuple[VerifyKey, Signature]]:
    """The signatures of a note that name one of these keys; those of unknown keys say nothing."""
    known = {(key.name, key.key_id): key for key in keys}
    return [
        (known[signature.name, signature.key_id], signature)
        for signature in note.signatures
        if (signature.name, signature.key_id) in known
    ]


def check_name(name: str) -> None:
    """Raises ValueError where this cannot be the name of a key."""
    if not name or "+" in name or any(letter.isspace() or letter < " " for letter in name):
        raise ValueError(f"{name[:80]!r} names no key: a name has no spaces and no plus, and is not empty")


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise ValueError(f"{line[:40]!r} is no signature: a dash, a name and base64 are wanted")
    check_name(name)
    both = _unbase64(encoded, f"the signature of {name}")
    if len(both) <= _ID_BYTES:
        raise ValueError(f"the signature of {name} is too short")
    return Signature(name, both[:_ID_BYTES], both[_ID_BYTES:])


def _key_parts(text: str, form: str) -> tuple[str, bytes, bytes]:
    parts = text.split("+", 2)  # base64 has a plus of its own
    if len(parts) != 3:
        raise ValueError(f"a key is written {form}")
    name, key_id, encoded = parts
    try:
        told = bytes.fromhex(key_id)
    except ValueError:
        told = b""
    if len(told) != _ID_BYTES or len(key_id) != 2 * _ID_BYTES:
        raise ValueError("the id of a key is 8 hexadecimal digits")
    key = _unbase64(encoded, "the key")
    if key[:1] != ED25519:
        raise ValueError("only Ed25519 keys can be used, and this one is of another type")
    return name, told, key[1:]


def _checked(name: str, key_id: bytes, public: bytes) -> VerifyKey:
    key = VerifyKey(name, public)
    if key.key_id != key_id:
        raise ValueError(f"the id of the key {name} is {key.key_id.hex()}, and it says {key_id.hex()}")
    return key


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _unbase64(text: str, what: str) -> bytes:
    """Strictly: two texts never mean the same bytes."""
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError(f"{what} is no base64") from None
    if _base64(data) != text:
        raise ValueError(f"{what} is no base64 in its one form")
    return data
