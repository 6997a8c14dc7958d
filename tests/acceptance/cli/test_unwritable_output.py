"""Standard output or standard error that takes nothing: `/dev/full` refuses every write with ENOSPC."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli import ONEOFF, Ended, Project


def with_full(project: Project, stream: str, *arguments: str) -> Ended:
    """Run ``oneoff ARGUMENTS`` with this stream on a device that is full."""
    environ = {name: text for name, text in project.environ(None).items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [ONEOFF, *arguments],
            cwd=project.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=full if stream == "stdout" else subprocess.PIPE,
            stderr=full if stream == "stderr" else subprocess.PIPE,
            timeout=30,
            check=False,
        )
    return Ended(ended.returncode, (ended.stdout or b"").decode(), (ended.stderr or b"").decode())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "greet"), 0),
        (("run", "greet", "-o", "json"), 0),
        (("run", "build"), 1),
        (("run", "purge"), 3),
        (("run", "nothing"), 2),
        (("runs", "--bogus"), 2),
        (("exec", "--", "sh", "-c", "echo to nobody >&2"), 0),
    ],
)
def test_nobody_can_be_told(shop: Project, arguments: tuple[str, ...], code: int) -> None:
    """The exit code is that of what was done, whether it can be told or not."""
    assert with_full(shop, "stderr", *arguments).code == code


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs",),
        ("runs", "-o", "json"),
        ("logs", "@latest"),
        ("show", "@latest"),
        ("doctor",),
        ("run", "greet", "-o", "json"),
        ("run", "purge", "--dry-run"),
        ("--help",),
        ("runs", "--help"),
        ("--version",),
    ],
)
def test_a_result_that_cannot_be_written(shop: Project, arguments: tuple[str, ...]) -> None:
    """One clear line instead of a traceback, and exit code 1: the reader has not got what was asked for."""
    assert shop("run", "greet").code == 0
    ended = with_full(shop, "stdout", *arguments)
    assert ended.code == 1
    assert ended.err.count("the output could not be written: No space left on device") == 1
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
