"""Which audit events would send a signal to another process, or change how it runs."""

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


def _run_otherwise(pid: Any, *rest: Any) -> str | None:
    if pid in (0, os.getpid()) or os.path.exists(f"/proc/self/task/{pid}"):  # noqa: PTH110  # a thread of ours
        return None
    return f"change how process {pid} runs"


def _prioritise(which: Any, who: Any, *rest: Any) -> str | None:
    return _run_otherwise(who) if which == os.PRIO_PROCESS else "change how other processes run"


def _limit(pid: Any, resource: Any, limits: Any) -> str | None:
    return _run_otherwise(pid) if limits is not None else None


def _number(number: Any) -> Any:
    return int(number) if isinstance(number, int) else number


CHECKS: dict[str, Callable[..., str | None]] = {
    "os.kill": _kill,
    "os.killpg": _kill_group,
    "signal.pidfd_send_signal": _kill_by_handle,
    "os.setpriority": _prioritise,
    "os.sched_setaffinity": _run_otherwise,
    "os.sched_setparam": _run_otherwise,
    "os.sched_setscheduler": _run_otherwise,
    "resource.prlimit": _limit,
}
