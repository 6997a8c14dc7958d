from __future__ import annotations

import copy
import json
import pickle

import pytest

from oneoff.tasks.secret import SECRET_MARK, Secret

TEXT = "hunter2 ünïcode"


def test_it_is_revealed_only_on_request() -> None:
    """reveal() gives the text; repr, str and every way of formatting give the mark."""
    secret = Secret(TEXT)
    assert secret.reveal() == TEXT
    for seen in (repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", f"{secret:>12}", "%s" % secret):  # noqa: UP031 # a way to format
        assert TEXT not in seen
        assert SECRET_MARK in seen


def test_it_cannot_be_serialised() -> None:
    """pickle, json and __getstate__ refuse, without the text in their words."""
    secret = Secret(TEXT)
    for attempt in (lambda: pickle.dumps(secret), lambda: json.dumps(secret), secret.__getstate__):
        with pytest.raises(TypeError) as caught:
            attempt()
        assert TEXT not in str(caught.value)
    with pytest.raises(TypeError):
        vars(secret)


def test_a_copy_is_the_secret_itself() -> None:
    """copy and deepcopy work, as dataclasses.asdict and the like need them."""
    secret = Secret(TEXT)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_equality_is_by_text() -> None:
    """Equal texts are equal secrets with equal hashes; a secret never equals its plain text."""
    assert Secret(TEXT) == Secret(TEXT)
    assert hash(Secret(TEXT)) == hash(Secret(TEXT))
    assert Secret(TEXT) != Secret(TEXT + "!")
    assert Secret("\udcff") == Secret("\udcff")
    assert Secret(TEXT) != TEXT
    assert Secret("x")
    assert not Secret("")
