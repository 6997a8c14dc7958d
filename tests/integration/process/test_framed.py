"""``oneoff --framed``: both streams and the end of a command line in one log."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from oneoff.audit.witness import Sighting
from oneoff.cli.framed import without_option
from oneoff.kube.following.frames import Framed, read
from tests.cli import Project

NOISY = """
import os, sys, time
import oneoff

admin = oneoff.App("noisy")


@admin.task
def speak(ctx: oneoff.Context, code: int = 0) -> None:
    print("out", flush=True)
    os.write(2, b"caf\\xe9 on a \\\\ line\\r\\n")
    os.write(1, b"no end")
    if code:
        raise SystemExit(code)


@admin.task
def much(ctx: oneoff.Context, lines: int) -> None:
    for number in range(lines):
        print(f"{number:099}")


@admin.task
def sleep(ctx: oneoff.Context) -> None:
    print("asleep", flush=True)
    while not ctx.should_stop:
        time.sleep(0.05)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write(admin_py=NOISY, oneoff_toml='[tool.oneoff]\napp = "admin:admin"\n')
    return made


def framed(project: Project, *words: str, seen: str = "-") -> tuple[Framed, int]:
    """What the log of such a process holds, and its own exit code."""
    ended = project("--framed", seen, *words)
    assert ended.err == ""
    return read(ended.out.encode(errors="surrogateescape")), ended.code


def test_both_streams_and_the_end(project: Project) -> None:
    """As the command itself printed them: bytes that are no text, a last line that has no end."""
    found, code = framed(project, "run", "speak")
    assert found.stdout == b"out\nno end"
    assert b"caf\xe9 on a \\ line\r\n" in found.stderr
    assert b"succeeded" in found.stderr
    assert (found.exit_code, code) == (0, 0)


@pytest.mark.parametrize(
    ("words", "expected"), [(("run", "speak", "--code", "4"), 1), (("run",), 2), (("runs", "--nope"), 2)]
)
def test_the_exit_code(project: Project, words: tuple[str, ...], expected: int) -> None:
    """It is the command's, in the last frame and of the process itself."""
    found, code = framed(project, *words)
    assert (found.exit_code, code) == (expected, expected)


def test_only_our_own_option_is_taken_out() -> None:
    """A word of the command's own stays, whatever it looks like."""
    here = [sys.executable]
    assert without_option(["python", "oneoff", "--framed", "-", "runs"]) == [*here, "oneoff", "runs"]
    words = ["exec", "--", "x", "--framed", "y"]
    given = ["python", "-m", "oneoff", "--app", "a:b", "--framed=-", *words]
    assert without_option(given) == [
        *here,
        "-m",
        "oneoff",
        "--app",
        "a:b",
        "exec",
        "--",
        "x",
        "--framed",
        "y",
    ]


def test_a_signal_is_passed_on(project: Project) -> None:
    """A pod that has to go stops the command as it would without the frames."""
    with project.start("--framed", "-", "run", "sleep") as process:
        assert process.stdout is not None
        log = ""
        while "asleep" not in log:
            log += process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        log += process.stdout.read()
    assert (process.returncode, read(log.encode()).exit_code) == (75, 75)


def test_a_reader_that_is_slow_gets_all_of_it(project: Project) -> None:
    """The command ends long before its output is read: nothing of it is left out."""
    with project.start("--framed", "-", "run", "much", "--lines", "2000") as process:
        assert process.stdout is not None
        time.sleep(5)
        found = read(process.stdout.read().encode())
    assert (found.exit_code, len(found.stdout)) == (0, 200_000)


def test_what_the_command_leaves_behind_is_not_waited_for(project: Project) -> None:
    """A child with the same streams; what came before its end counts, also without an end of line."""
    started = time.monotonic()
    found, _ = framed(project, "exec", "--", "sh", "-c", "sleep 20 & printf 'no end'")
    assert (found.stdout, found.exit_code) == (b"no end", 0)
    assert time.monotonic() - started < 15


def test_what_was_seen_elsewhere_is_compared(project: Project, tmp_path: Path) -> None:
    """The log is held against it, and how it is now comes back; nothing is remembered here."""
    home = {"XDG_STATE_HOME": str(tmp_path / "home")}
    assert project("run", "speak", environ=home).code == 0
    first, _ = framed(project, "runs")
    seen = Sighting.read(first.note)
    assert seen is not None
    assert project("run", "speak", environ=home).code == 0
    second, _ = framed(project, "runs", seen=seen.line())
    later = Sighting.read(second.note)
    assert later is not None
    assert later.log == seen.log
    assert later.checkpoint.size > seen.checkpoint.size
    assert b"WARNING" not in second.stderr

    store = project.root / ".oneoff" / "store.db"
    for file in store.parent.glob("store.db*"):
        file.unlink()
    assert project("run", "speak", environ={"XDG_STATE_HOME": str(tmp_path / "other")}).code == 0
    third, _ = framed(project, "runs", seen=later.line())
    assert b"WARNING: the audit log was replaced" in third.stderr
    assert Sighting.read(third.note) == later
    verified, code = framed(project, "audit", "verify", "-o", "json", seen=later.line())
    assert code == 1
    assert json.loads(verified.stdout)["ok"] is False
