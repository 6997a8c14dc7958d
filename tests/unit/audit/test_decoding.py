"""The quicker reader of events gives what the standard library's gives, or leaves it to that."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff import decoding
from oneoff.audit import event
from tests.records import make_run, note

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def test_it_is_the_quicker_one() -> None:
    """Where msgspec is installed, as in these tests."""
    assert decoding.decode is not event.decode


@given(JSON, JSON)
def test_an_event_is_the_same(data: object, other: object) -> None:
    body = json.dumps({"data": {"x": data}, "y": other}, ensure_ascii=False).encode(errors="surrogatepass")
    assert outcome(decoding.decode, body) == outcome(event.decode, body)


@pytest.mark.parametrize(
    "body",
    [
        event.encode(note(make_run())),
        *(b"", b"{", b"{}", b"[]", b'{"data":1}', b' {"data":{}}', b'{"data":{}}\n', b'{"data":{}}{}'),
        *(
            b'{"data":{"x":NaN}}',
            b'{"data":{"x":1e999}}',
            b'{"data":{"x":"\\ud800"}}',
            b'{"data":{"x":"\xff"}}',
        ),
        *(b'{"data":{"x":1,"x":2}}', b'{"data":{"x":123456789012345678901234567890}}'),
        b'{"data":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}",
    ],
)
def test_what_is_odd_is_the_same(body: bytes) -> None:
    assert outcome(decoding.decode, body) == outcome(event.decode, body)


def outcome(decode: object, body: bytes) -> object:
    """What it gives, or what it raises."""
    try:
        return decode(body)  # type: ignore[operator]
    except ValueError as error:
        return str(error)
