from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.kube.following.frames import FIRST_FRAME, Framed, frames, last_frame, read

LINES = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.binary(max_size=3000).map(lambda text: text.replace(b"\n", b"")) | st.just(b"\\" * 1500),
    )
)


def log_of(lines: list[tuple[int, bytes]], exit_code: int = 0, note: str = "") -> list[bytes]:
    """The lines of the log, the last frame among them."""
    made = [frame for stream, line in lines for frame in frames(1 if stream == 1 else 2, line)]
    return [FIRST_FRAME, *made, last_frame(exit_code, len(made), note)]


def joined(lines: list[tuple[int, bytes]], stream: int) -> bytes:
    return b"".join(line for one, line in lines if one == stream)


@given(LINES, st.integers(0, 255), st.booleans())
def test_both_streams_come_back(lines: list[tuple[int, bytes]], code: int, unended: bool) -> None:
    """Byte for byte, whatever is in them, with a last line that has no end."""
    ended = [(stream, line + b"\n") for stream, line in lines]
    if unended and ended:
        ended[-1] = (ended[-1][0], ended[-1][1][:-1] or b"x")
    log = b"".join(log_of(ended, code, "a note of several words"))
    assert read(log) == Framed(
        stdout=joined(ended, 1),
        stderr=joined(ended, 2),
        exit_code=code,
        note="a note of several words",
        begun=True,
    )


@given(LINES.filter(bool), st.data())
def test_a_log_that_was_cut_is_known_to_be(lines: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Whichever line is missing, the end has no exit code."""
    log = log_of([(stream, line + b"\n") for stream, line in lines])
    del log[data.draw(st.integers(1, len(log) - 1))]
    assert read(b"".join(log)).exit_code is None


@given(LINES)
def test_frames_are_short_text(lines: list[tuple[int, bytes]]) -> None:
    """A pipe takes each at once, and whatever carries logs may read them as UTF-8."""
    for frame in log_of(lines):
        assert len(frame) <= 4096
        assert frame.decode().endswith("\n")
        assert not {"\r", "\0", "\x1b"} & set(frame.decode())


def test_what_is_no_frame_is_told_as_an_error() -> None:
    """What started the process, and what it left behind, may print too."""
    log = [b"loading secrets\n", b"\n", *log_of([(1, b"[]\n"), (2, b"note\n")], 3), b"bye\n"]
    found = read(b"".join(log))
    assert (found.stdout, found.stderr) == (b"[]\n", b"loading secrets\nbye\nnote\n")
    assert found.exit_code == 3


def test_of_two_answers_the_first_whole_one_counts() -> None:
    """A Job may start a second pod, after one that was killed or beside it."""
    whole = log_of([(1, b"[1]\n"), (2, b"note\n")], 1)
    other = log_of([(1, b"[2]\n")], 0)
    for log in ([*whole, *other], [*other[:-1], *whole], [*whole, *whole[:-2]]):
        found = read(b"".join(log))
        assert (found.stdout, found.stderr, found.exit_code) == (b"[1]\n", b"note\n", 1)


@pytest.mark.parametrize("log", [b"", b"sh: oneoff: not found\n", b"Error: No such option: --framed\n"])
def test_a_log_without_frames(log: bytes) -> None:
    """oneoff is not there, or is older."""
    assert read(log) == Framed(stdout=b"", stderr=log, exit_code=None)
