"""Keys in files: made once, readable by their owner, used for signatures that others have made as well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oneoff.audit.note import Note, VerifyKey
from oneoff.errors import KeyUnusable
from oneoff.signing import KeyFile, generate
from tests.unit.audit.test_note import GO_KEY, GO_NOTE, GO_PRIVATE


def private(path: Path, text: str, mode: int = 0o600) -> KeyFile:
    path.write_text(text)
    path.chmod(mode)
    return KeyFile(path)


def test_a_key_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, and never over an existing file."""
    path = tmp_path / "audit.key"
    before = os.umask(0)
    try:
        public = generate("shop.example/audit", path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyFile(path).verify_key() == public
    kept = path.read_bytes()
    with pytest.raises(KeyUnusable, match="never written over"):
        generate("shop.example/audit", path)
    assert path.read_bytes() == kept


def test_a_signature_fits_its_text_and_key_alone(tmp_path: Path) -> None:
    """Another text, another key, another signature: none of them fits."""
    keys = KeyFile(tmp_path / "a")
    public, other = generate("a", tmp_path / "a"), generate("a", tmp_path / "b")
    note = keys.sign("text\n")
    (signature,) = note.signatures
    assert keys.fits(public, signature.signature, b"text\n")
    assert not keys.fits(public, signature.signature, b"Text\n")
    assert not keys.fits(other, signature.signature, b"text\n")
    assert not keys.fits(public, signature.signature[:-1], b"text\n")
    assert not keys.fits(VerifyKey("a", b"\xff" * 32), signature.signature, b"text\n")


def test_the_same_signature_as_another_implementation(tmp_path: Path) -> None:
    """Ed25519 is deterministic: key and text of the first implementation's documentation give its note."""
    keys = private(tmp_path / "key", GO_PRIVATE + "\n")
    assert str(keys.sign(Note.parse(GO_NOTE).text)) == GO_NOTE
    assert str(keys.verify_key()) == GO_KEY


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o660, 0o602, 0o601])
def test_a_key_that_is_open_to_others(tmp_path: Path, mode: int) -> None:
    """Whoever can read or replace it signs as its owner."""
    with pytest.raises(KeyUnusable, match="open to others"):
        private(tmp_path / "key", GO_PRIVATE, mode).verify_key()


def test_a_group_may_read(tmp_path: Path) -> None:
    """That is how Kubernetes gives a secret to a process that is not root."""
    assert str(private(tmp_path / "key", GO_PRIVATE, 0o440).verify_key()) == GO_KEY


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", GO_KEY, GO_PRIVATE[:-4], GO_PRIVATE.replace("c74f20a3", "c74f20a4"), GO_PRIVATE + "\nx"],
)
def test_a_file_that_holds_no_key(tmp_path: Path, text: str) -> None:
    """It is named, and its text is not."""
    with pytest.raises(KeyUnusable, match="key") as raised:
        private(tmp_path / "key", text).sign("text\n")
    assert "AYEKFALV" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is named, with the way to make one."""
    with pytest.raises(KeyUnusable, match="No such file") as raised:
        KeyFile(tmp_path / "none").sign("text\n")
    assert "keygen" in raised.value.next_step


def test_no_key_is_configured() -> None:
    """Nothing can be signed then, and signatures of others can be checked."""
    assert KeyFile(None).verify_key() is None
    with pytest.raises(KeyUnusable, match="no key"):
        KeyFile(None).sign("text\n")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    """No file is made for it."""
    with pytest.raises(KeyUnusable, match="names no key"):
        generate(name, tmp_path / "key")
    assert not (tmp_path / "key").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Said in words."""
    with pytest.raises(KeyUnusable, match="cannot be written"):
        generate("a", tmp_path / "none" / "key")


def test_without_the_package(tmp_path: Path) -> None:
    """The extra is named; nothing else of oneoff needs it."""
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from pathlib import Path\n"
        "from oneoff.signing import generate\n"
        f"generate('a', Path({str(tmp_path / 'key')!r}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "KeyUnusable: signatures need the package cryptography" in ended.stderr
