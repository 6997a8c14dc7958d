"""Which audit events would send a signal to another process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def check(event: str, args: tuple[Any, ...]) -> str | None:
    """What the task would do, in words; None where it may."""
    return CHECKS[event](*args)


def _kill(pid: Any, number: Any) -> str | None:
    """Signal 0 only asks whether the process is there, and what the task does to itself ends it at most."""
    return None if number == 0 or pid == os.getpid() else f"send signal {_number(number)} to process {pid}"


def _kill_group(group: Any, number: Any) -> str | None:
    return None if number == 0 else f"send signal {_number(number)} to the process group {group}"


def _kill_by_handle(handle: Any, *rest: Any) -> str | None:
    return "send a signal to another process by its pidfd"


def _number(number: Any) -> Any:
    return int(number) if isinstance(number, int) else number


CHECKS: dict[str, Callable[..., str | None]] = {
    "os.kill": _kill,
    "os.killpg": _kill_group,
    "signal.pidfd_send_signal": _kill_by_handle,
}
