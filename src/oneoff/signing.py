"""Ed25519 signatures and key files, by way of ``cryptography``, loaded when a signature is wanted."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import ModuleType

from oneoff.audit.note import Note, Signature, SigningKey, VerifyKey
from oneoff.errors import KeyUnusable

KEYGEN = "`oneoff audit keygen --name NAME FILE` makes one"


class KeyFile:
    """The private key of an installation, in a file that its user alone (or its group) may read."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def sign(self, text: str) -> Note:
        """The text with this key's signature.

        Raises:
            KeyUnusable: there is no such key, it is open to others, or ``cryptography`` is missing.
        """
        key, verify_key = self._load()
        signature = _ed25519().Ed25519PrivateKey.from_private_bytes(key.seed).sign(text.encode())
        return Note(text, (Signature(key.name, verify_key.key_id, signature),))

    def verify_key(self) -> VerifyKey | None:
        """The public half; None where no key is configured. Raises KeyUnusable."""
        return None if self._path is None else self._load()[1]

    def fits(self, key: VerifyKey, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is the key's of ``message``; needs no key of our own. Raises KeyUnusable."""
        ed25519 = _ed25519()
        from cryptography.exceptions import InvalidSignature

        try:
            ed25519.Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
        except (InvalidSignature, ValueError):  # no point of the curve: nothing can be its signature
            return False
        return True

    def _load(self) -> tuple[SigningKey, VerifyKey]:
        if self._path is None:
            raise KeyUnusable("no key is configured", next_step=KEYGEN)
        text = _private_text(self._path)
        try:
            key, key_id = SigningKey.parse(text)
        except ValueError as error:
            raise KeyUnusable(f"{self._path} holds no key: {error}", next_step=KEYGEN) from None
        verify_key = _public_half(key)
        if verify_key.key_id != key_id:
            raise KeyUnusable(f"{self._path} is damaged: the key in it does not have the id that it says")
        return key, verify_key


def generate(name: str, path: Path) -> VerifyKey:
    """Make a key in a new file; the public half of it.

    Raises:
        KeyUnusable: the name is none, or the file exists or cannot be written.
    """
    ed25519 = _ed25519()
    seed = ed25519.Ed25519PrivateKey.generate().private_bytes_raw()
    key = SigningKey(name, seed)
    try:
        verify_key = _public_half(key)
    except ValueError as error:
        raise KeyUnusable(str(error)) from None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyUnusable(f"{path} exists, and a key is never written over") from None
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(key.written(verify_key))
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink()
        raise KeyUnusable(f"{path} cannot be written: {error.strerror}") from error
    return verify_key


def _private_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096)
    except OSError as error:
        raise KeyUnusable(f"the key {path} cannot be read: {error.strerror}", next_step=KEYGEN) from error
    except UnicodeDecodeError:
        raise KeyUnusable(f"{path} holds no key: it is no text", next_step=KEYGEN) from None
    # A group may read: that is how Kubernetes gives a secret to a process that is not root (fsGroup).
    if mode & 0o027:
        raise KeyUnusable(
            f"the key {path} is open to others (mode {mode:04o}): whoever reads it can sign as you",
            next_step=f"chmod 600 {path}, and a new key if others may have read it",
        )
    return text


def _public_half(key: SigningKey) -> VerifyKey:
    private = _ed25519().Ed25519PrivateKey.from_private_bytes(key.seed)
    return VerifyKey(key.name, private.public_key().public_bytes_raw())


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise KeyUnusable(
            f"signatures need the package cryptography ({error})", next_step="pip install 'oneoff[signing]'"
        ) from error
    return ed25519
