"""Messages as bytes, and bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.databases.postgres.wire import messages
from oneoff.databases.postgres.wire.messages import Malformed

_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def test_an_error_is_read_as_it_was_made() -> None:
    """All fields, and none that is empty."""
    made = messages.error("what happened", sqlstate="OD001", fatal=True, hint="do this")
    assert messages.fields(made[5:]) == {
        "S": "FATAL", "V": "FATAL", "C": "OD001", "M": "what happened", "H": "do this",
    }  # fmt: skip
    assert "H" not in messages.fields(messages.error("x", sqlstate="25P02")[5:])


@given(st.dictionaries(_NAMES, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_start_parameters(values: dict[str, str]) -> None:
    """Names and values in pairs, whatever they are."""
    body = b"\0\3\0\0" + b"".join(f"{name}\0{value}\0".encode() for name, value in values.items()) + b"\0"
    assert messages.start_parameters(body) == values


@given(st.binary())
def test_garbage_is_malformed_or_read(body: bytes) -> None:
    """Nothing else is raised."""
    for read in (
        messages.start_version, messages.start_parameters, messages.split_text, messages.cancellation,
        messages.fields,
    ):  # fmt: skip
        try:
            read(body)
        except Malformed as error:
            assert str(error)


@pytest.mark.parametrize("kind", [b"Q", b"Z"])
def test_a_frame_counts_its_length_but_not_its_kind(kind: bytes) -> None:
    """As the protocol has it."""
    assert messages.frame(kind, b"abc") == kind + b"\0\0\0\7abc"
