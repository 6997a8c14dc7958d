"""Where in the app's code something was tried."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType


def calling() -> Iterator[FrameType]:
    """The frames above the caller, the nearest first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def line() -> str:
    """``FILE, line N`` of the app that led here, or nothing where only libraries did."""
    for frame in calling():
        file = frame.f_code.co_filename
        if not file.startswith(("<", *_libraries())):
            with suppress(OSError):  # the working folder is gone
                file = os.path.relpath(file)
            return f"{file}, line {frame.f_lineno}"
    return ""


@cache
def _libraries() -> tuple[str, ...]:
    """The folders of Python, of what was installed, and of oneoff."""
    paths = sysconfig.get_paths()
    names = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    return (*(f"{name}/" for name in names), f"{Path(__file__).resolve().parents[1]}/")
