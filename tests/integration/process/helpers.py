"""Real processes for the tests: small programs, and patience with a deadline."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

from oneoff.launchers.processes import parse_stat

PATIENCE_SECONDS = 10.0


def eventually(condition: Callable[[], bool], *, within: float = PATIENCE_SECONDS) -> None:
    """Poll until the condition holds; fail after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.01)


def program(code: str, *arguments: object) -> list[str]:
    """The argument list that runs this Python code."""
    return [sys.executable, "-c", dedent(code), *map(str, arguments)]


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run Python code to its end with its output captured."""
    return subprocess.run(program(code, *arguments), capture_output=True, timeout=30, check=False)


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_bytes())[0] not in "ZX"
    except OSError:
        return False


def open_descriptors() -> list[str]:
    """The numbers of this process's open files."""
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


def number_in(path: Path) -> int:
    """The number that a program writes into a file, once it is there."""
    eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def kill_quietly(pid: int) -> None:
    """End a process that a test left behind."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
