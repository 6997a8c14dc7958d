"""The status line at the foot of a terminal, and text that is safe to show there."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import termios
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.execution.terminal import Terminal, cells, printable
from tests.terminals import shown_on

ERASE = b"\r\x1b[K"


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """The two ends of a pseudo-terminal: the one to look at, the one to write to."""
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def test_output_takes_the_line_away_and_puts_it_back(ends: tuple[int, int]) -> None:
    """Whole lines go above the status line."""
    master, slave = ends
    terminal = Terminal(slave)
    terminal.show("50%")
    terminal.write(slave, b"hello\n")
    expected = ERASE + b"50%" + ERASE + b"hello\r\n" + ERASE + b"50%"
    assert shown_on(master, len(expected)) == expected


def test_a_line_begun_is_not_torn(ends: tuple[int, int]) -> None:
    """While a program's own line is not complete, the status line waits."""
    master, slave = ends
    terminal = Terminal(slave)
    terminal.write(slave, b"par")
    terminal.show("60%")
    terminal.write(slave, b"tial\n")
    expected = b"partial\r\n" + ERASE + b"60%"
    assert shown_on(master, len(expected)) == expected


def test_an_empty_line_clears(ends: tuple[int, int]) -> None:
    """Afterwards output goes on as if there never was one."""
    master, slave = ends
    terminal = Terminal(slave)
    terminal.show("60%")
    terminal.show("")
    terminal.write(slave, b"done\n")
    expected = ERASE + b"60%" + ERASE + b"done\r\n"
    assert shown_on(master, len(expected)) == expected


def test_the_width_is_the_one_of_now(ends: tuple[int, int]) -> None:
    """A window may be resized at any time; one that does not know its width has 80 columns."""
    _, slave = ends
    terminal = Terminal(slave)
    assert terminal.width == 80
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 123, 0, 0))
    assert terminal.width == 123


def test_without_a_terminal_there_is_no_status_line() -> None:
    """A pipe gets the output and nothing else."""
    reader, writer = os.pipe()
    terminal = Terminal(writer)
    terminal.show("50%")
    terminal.write(writer, b"x\n")
    assert not terminal.isatty
    assert os.read(reader, 100) == b"x\n"
    os.close(reader)
    os.close(writer)


def test_a_terminal_that_is_gone_is_no_error() -> None:
    """Drawing is never a reason to fail."""
    master, slave = pty.openpty()
    terminal = Terminal(slave)
    os.close(master)
    terminal.show("50%")
    os.close(slave)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Łódź 東京 🙂", "Łódź 東京 🙂"),
        ("علی\u200cرضا", "علی\u200cرضا"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x07", r"\u001b[2J\u0007"),
        ("\x85\u2028", r"\u0085\u2028"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_could_deceive_is_escaped(text: str, shown: str) -> None:
    """Names of people stay as they are; what forges lines or steers the terminal does not get through."""
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_any_text_becomes_one_encodable_line_and_json_stays_json(text: str) -> None:
    """No text breaks out of its line, and an escaped JSON text means the same."""
    shown = printable(text)
    assert len(shown.encode().splitlines()) <= 1
    assert len(shown.splitlines()) <= 1
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("東京", 4), ("e\u0301", 1), ("", 0)])
def test_columns_are_counted_not_characters(text: str, width: int) -> None:
    """Wide characters take two columns, combining ones none."""
    assert cells(text) == width
