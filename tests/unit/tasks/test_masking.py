"""Mask: no secret is left in a text, whatever is around it, and in the forms that others write it in."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.tasks.masking import NO_SECRETS, Mask
from oneoff.tasks.secret import SECRET_MARK, Secret

ODD = """p"a's\\s/ w+ö%rd"""
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nx9\n-----END KEY-----\n"

pieces = st.text(st.sampled_from("ab*.…'\\\n\"%é "), max_size=8)
secrets = st.one_of(pieces, st.text(max_size=12))


@given(st.lists(secrets, min_size=1, max_size=3), st.data())
def test_no_secret_is_left(given_secrets: list[str], data: st.DataObject) -> None:
    """For texts made of the secrets, of their beginnings, of marks and anything between; twice is once."""
    parts = [*given_secrets, *(secret[:-1] for secret in given_secrets), SECRET_MARK, "…", "...", "*"]
    text = "".join(data.draw(st.lists(st.one_of(pieces, st.sampled_from(parts)), max_size=8)))
    mask = Mask(given_secrets)
    masked = mask(text)
    for secret in filter(None, given_secrets):
        assert secret not in masked or secret in SECRET_MARK
    assert mask(masked) == masked


@given(st.text(min_size=1), pieces, pieces)
def test_no_form_of_a_secret_is_left(secret: str, before: str, behind: str) -> None:
    """Also as repr, JSON, a URL and SQL write it, with what stands around it."""
    secret = secret.encode(errors="replace").decode()
    mask, text = Mask([secret]), f"{before}{secret}{behind}"
    for shown in (text, repr(text), ascii(text), repr(text.encode()), json.dumps(text), quote(text)):
        masked = mask(shown)
        assert secret not in masked or secret in SECRET_MARK
        assert SECRET_MARK in masked


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        (ODD, "@"),
        (repr([ODD]), "['@']"),
        (ascii([ODD]), "['@']"),
        (repr([ODD.encode()]), "[b'@']"),
        (json.dumps({"p": ODD}), '{"p": "@"}'),
        (json.dumps({"p": ODD}, ensure_ascii=False), '{"p": "@"}'),
        (f"https://u:{quote(ODD)}@db", "https://u:@@db"),
        (f"https://u:{quote(ODD, safe='')}@db", "https://u:@@db"),
        (urlencode({"p": ODD, "q": 1}), "p=@&q=1"),
        ("SELECT '" + ODD.replace("'", "''") + "'", "SELECT '@'"),
    ],
)
def test_the_forms_in_which_others_write_it(shown: str, masked: str) -> None:
    """The whole of it goes, and nothing else."""
    assert Mask([ODD])(shown) == masked.replace("@", SECRET_MARK, 1)


def test_a_quote_in_it() -> None:
    """Python's repr escapes it or not, by what else is in the text."""
    for secret in ("it's", 'say "x"', 'it\'s "x"'):
        for text in (secret, f"<{secret}>", f"{secret} and '", f'{secret} and "', f"{secret} '\""):
            masked = Mask([secret])(repr(text))
            assert SECRET_MARK in masked
            assert "it" not in masked and "say" not in masked


def test_a_key_of_many_lines() -> None:
    """Whole, escaped, indented, and each line by itself; a line of a few characters is none of its own."""
    mask = Mask([KEY])
    assert mask(f"key {KEY} is wrong") == f"key {SECRET_MARK} is wrong"
    assert mask(repr(KEY)) == f"'{SECRET_MARK}'"
    indented = "\n".join(f"  | {line}" for line in KEY.splitlines())
    assert mask(indented) == f"  | {SECRET_MARK}\n  | {SECRET_MARK}\n  | x9\n  | {SECRET_MARK}"
    assert mask("got -----BEGIN KEY-----") == f"got {SECRET_MARK}"
    assert mask("x9 is a word") == "x9 is a word"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password=hunt…", f"password={SECRET_MARK}…"),
        ("password=hunt...", f"password={SECRET_MARK}..."),
        ("`password=hunter…`", f"`password={SECRET_MARK}…`"),
        ("input='hun...r2', more", f"input='{SECRET_MARK}...r2', more"),
        ("input='hu...ter2', more", f"input='hu...{SECRET_MARK}', more"),
        ("p='hunt ... (9 left out) ... ter2'", f"p='{SECRET_MARK} ... (9 left out) ... {SECRET_MARK}'"),
        ("password=***ter2", f"password={SECRET_MARK}"),
        ("a path…", "a path…"),
        ("hunting for it", "hunting for it"),
    ],
)
def test_what_was_cut_before(text: str, masked: str) -> None:
    """A beginning of a secret before the mark of a cut is masked, and an end behind it; words are not."""
    assert Mask(["hunter2"])(text) == masked


def test_secrets_that_overlap() -> None:
    """The longest goes whole; two that share characters leave none of either; neighbours are one mark."""
    assert Mask(["abc", "abcdef"])("<abcdef>") == f"<{SECRET_MARK}>"
    assert Mask(["abcd", "cdef"])("<abcdef>") == f"<{SECRET_MARK}>"
    assert Mask(["ab"])("<abab>") == f"<{SECRET_MARK}>"


def test_short_and_empty_secrets() -> None:
    """One character garbles the text; none changes nothing."""
    assert Mask(["a"])("banana") == f"b{SECRET_MARK}n{SECRET_MARK}n{SECRET_MARK}"
    assert Mask([""])("banana") == NO_SECRETS("banana") == "banana"


def test_documents() -> None:
    """Names and values, at any depth; a number that is the secret goes, others stay numbers."""
    document: Any = {"n": 4711, "m": 5, "pin 4711": ["x4711", None, True, 1.5]}
    masked: Any = {"n": SECRET_MARK, "m": 5, f"pin {SECRET_MARK}": [f"x{SECRET_MARK}", None, True, 1.5]}
    assert Mask(["4711"]).document(document) == masked


def test_the_secrets_of_a_run() -> None:
    """Those among its values; what is not given, or no secret, is none."""
    mask = Mask.of({"token": Secret("hunter2"), "spare": None, "name": "ann"})
    assert mask("hunter2 of ann") == f"{SECRET_MARK} of ann"
