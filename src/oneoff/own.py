"""What is oneoff's own in a process that a dry run guards: threads, sockets and folders.

A guard stops what the task does outside its databases, by events that do not say who caused them. Whatever
oneoff itself does there, or lends to the task, is named here, and let through.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_thread = threading.local()
_sockets: list[object] = []
_folders: list[str] = []


@contextmanager
def work() -> Iterator[None]:
    """What this thread does in the block is oneoff's own, and not the task's."""
    before, _thread.ours = at_work(), True
    try:
        yield
    finally:
        _thread.ours = before


def at_work() -> bool:
    """Whether this thread is in :func:`work`."""
    return getattr(_thread, "ours", False)


@contextmanager
def lent_socket(address: object) -> Iterator[None]:
    """The task may connect to this address (as :mod:`socket` has it) in the block."""
    _sockets.append(address)
    try:
        yield
    finally:
        _sockets.remove(address)


def is_lent(address: object) -> bool:
    """Whether the task may connect to this address."""
    return address in _sockets


@contextmanager
def lent_folder(folder: Path) -> Iterator[None]:
    """The task may write below this folder in the block."""
    path = f"{folder.resolve()}/"
    _folders.append(path)
    try:
        yield
    finally:
        _folders.remove(path)


def may_write(path: str) -> bool:
    """Whether the task may write this file: its absolute path, with no link left in it."""
    return any(path.startswith(folder) for folder in _folders)
