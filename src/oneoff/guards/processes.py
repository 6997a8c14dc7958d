"""Stops a dry run's task from starting a process, because nothing can hold what another process writes.

An audit hook (PEP 578) sees ``subprocess``, ``os.fork`` and their like, in any thread. It cannot be removed,
so there is one per process, and it looks at nothing unless a guard is in force. multiprocessing starts
processes by a function that raises no event, ``_posixsubprocess.fork_exec``: that one is wrapped meanwhile.
"""

from __future__ import annotations

import _posixsubprocess
import os
import re
import sys
import threading
from typing import Any

from oneoff.errors import DryRunStopped
from oneoff.threads import Newcomers

_EVENTS = frozenset(
    {"subprocess.Popen", "os.posix_spawn", "os.exec", "os.system", "os.fork", "os.forkpty", "pty.spawn"}
)
"""Those that start or become a process; ``os.spawn*`` and ``os.popen`` come down to one of them. Source:
https://docs.python.org/3/library/audit_events.html"""
_HARMLESS = ([b"uname", b"-p"], [b"ldconfig", b"-p"])
"""What the standard library asks the machine by a program (``platform.platform``,
``ctypes.util.find_library``): libraries do that when they are first used, and it changes nothing."""
_TRACKER = re.compile(rb"from multiprocessing\.resource_tracker import main;main\(\d+\)")
"""multiprocessing's own helper, which comes with a mere lock (a progress bar has one) and runs no code of the
task: it removes semaphores and shared memory that nobody uses any more."""

_WHY = (
    "and nothing holds what another process writes;"
    ' ctx.effect("…", subprocess.run, […]) records it, and a dry run does not call it'
)

_original = _posixsubprocess.fork_exec
_active: list[ProcessGuard] = []
_lock = threading.Lock()
_installed = False


class ProcessGuard:
    """Implements :class:`oneoff.protocols.Guard`. Threads that the task leaves behind are held as well."""

    name = "audit hook"
    not_covered: tuple[str, ...] = (
        "files and network connections of this process, other than the database",
        "processes that C code starts (ctypes, extensions), and those that ran before the task began",
    )

    def __init__(self) -> None:
        self._attempts: dict[str, None] = {}

    def __enter__(self) -> ProcessGuard:
        global _installed
        with _lock:
            if not _installed:
                sys.addaudithook(_hook)
                _installed = True
            _posixsubprocess.fork_exec = _fork_exec
            _active.append(self)
        self._newcomers = Newcomers()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._newcomers.when_gone(self._release)

    @property
    def attempts(self) -> tuple[str, ...]:
        return tuple(self._attempts)

    def note(self, attempt: str) -> None:
        """Record it: whether the task swallows what is raised then does not matter."""
        self._attempts.setdefault(attempt)

    def _release(self) -> None:
        with _lock:
            _active.remove(self)
            if not _active:
                _posixsubprocess.fork_exec = _original


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _active and event in _EVENTS:
        _refuse(event, args)


def _fork_exec(*args: Any) -> int:
    """A module that is imported meanwhile may keep this one, so it has to work afterwards too."""
    if _active:
        _refuse("multiprocessing", (args[1][0], args[0]))
    return _original(*args)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    """Raises DryRunStopped, unless the program is known to be harmless."""
    if event != "os.exec" and len(args) > 1 and _is_harmless(_command(args[0], args[1])):
        return
    attempt = f"the task would start {_started(event, args)} ({event}), {_WHY}"
    for guard in tuple(_active):
        guard.note(attempt)
    raise DryRunStopped(attempt)


def _is_harmless(command: list[bytes]) -> bool:
    return command in _HARMLESS or (command[-2:-1] == [b"-c"] and bool(_TRACKER.fullmatch(command[-1])))


def _started(event: str, args: tuple[Any, ...]) -> str:
    """In words, without an argument: those may hold a password."""
    if event in ("os.fork", "os.forkpty"):
        return "a copy of itself"
    if event == "os.system":
        return "a shell"
    program = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
    try:
        text = os.fsdecode(program)
    except TypeError:
        return "another program"
    # A whole command line may stand here by mistake, and a variable before it.
    return os.path.basename(re.split(r"[\s=]", text, maxsplit=1)[0]) or "another program"  # noqa: PTH119


def _command(program: Any, argv: Any) -> list[bytes]:
    try:
        return [os.path.basename(os.fsencode(program)), *map(os.fsencode, argv[1:])]  # noqa: PTH119
    except TypeError:
        return []
