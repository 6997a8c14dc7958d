"""Tells of each process that this one is about to start, in any thread, before it starts.

An audit hook (PEP 578) sees ``subprocess``, ``os.fork`` and their like. It cannot be removed, so there is one
per process, and it looks at nothing while nobody listens. multiprocessing starts processes by a function that
raises no event, ``_posixsubprocess.fork_exec``: that one is wrapped meanwhile. What C code starts is not
seen.
"""

from __future__ import annotations

import _posixsubprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

EVENTS = frozenset(
    {"subprocess.Popen", "os.posix_spawn", "os.exec", "os.system", "os.fork", "os.forkpty", "pty.spawn"}
)
"""Those that start or become a process; ``os.spawn*`` and ``os.popen`` come down to one of them. Source:
https://docs.python.org/3/library/audit_events.html"""
MULTIPROCESSING = "multiprocessing"
"""The name given here to what multiprocessing starts; its arguments are those of ``subprocess.Popen``."""

Listener = Callable[[str, tuple[Any, ...]], None]
"""Gets the event and its arguments; what it raises, whoever wanted to start the process gets."""

_original = _posixsubprocess.fork_exec
_listeners: list[Listener] = []
_lock = threading.Lock()
_installed = False


def listen(listener: Listener) -> None:
    """Call it before each start, until :func:`forget`."""
    global _installed
    with _lock:
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True
        _posixsubprocess.fork_exec = _fork_exec
        _listeners.append(listener)


def forget(listener: Listener) -> None:
    """Call it no more."""
    with _lock:
        _listeners.remove(listener)
        if not _listeners:
            _posixsubprocess.fork_exec = _original


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _listeners and event in EVENTS:
        _tell(event, args)


def _fork_exec(*args: Any) -> int:
    """A module that is imported meanwhile may keep this one, so it has to work afterwards too."""
    if _listeners:
        _tell(MULTIPROCESSING, (args[1][0], args[0]))
    return _original(*args)


def _tell(event: str, args: tuple[Any, ...]) -> None:
    with ExitStack() as everyone:  # each is told, whatever another one raises
        for listener in _listeners:
            everyone.callback(listener, event, args)
