"""What is oneoff's own in a process that a dry run guards: threads, sockets and folders.

A guard stops what the task does outside its databases, by events that do not say who caused them. Whatever
oneoff itself does there, or lends to the task, is named here, and let through. A guard may also take rights
from the task's thread, and from all that it starts, for ever (Landlock): what oneoff has to do afterwards is
then done by a thread that was there before, and kept them.
"""

from __future__ import annotations

import threading
from _queue import SimpleQueue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_thread = threading.local()
_sockets: list[object] = []
_folders: list[str] = []
_names: list[str] = []


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
def lent_name(host: str) -> Iterator[None]:
    """The task may look up this host's name in the block."""
    _names.append(host)
    try:
        yield
    finally:
        _names.remove(host)


def may_look_up(host: str) -> bool:
    """Whether the task may look up this host's name."""
    return host in _names


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


def lent_folders() -> tuple[str, ...]:
    """Those below which the task may write."""
    return tuple(_folders)


def dedicate() -> None:
    """This process is there for one command of oneoff's own and ends with it: threads may lose rights."""
    global _dedicated
    _dedicated = True


def is_dedicated() -> bool:
    """Whether :func:`dedicate` was called."""
    return _dedicated


def keep_rights() -> None:
    """From now on :func:`unheld` does its work in a thread that has the rights of now."""
    global _keeper
    if _keeper is None:
        _keeper = _Keeper()
        _keeper.start()


def keeps_rights() -> bool:
    """Whether :func:`keep_rights` was called."""
    return _keeper is not None


def unheld(call: Callable[[], T]) -> T:
    """Do oneoff's own work with the rights that this process began with; returns or raises what it does."""
    if _keeper is None or _keeper is threading.current_thread():
        with work():
            return call()
    return _keeper.do(call)


class _Keeper(threading.Thread):
    """Does what it is asked to, one thing after another."""

    def __init__(self) -> None:
        super().__init__(name="oneoff-keeper", daemon=True)
        self._asked: SimpleQueue[tuple[Callable[[], Any], SimpleQueue[Any]]] = SimpleQueue()

    def run(self) -> None:
        with work():
            while True:
                call, answer = self._asked.get()
                try:
                    answer.put((call(), None))
                except BaseException as error:  # for whoever asked
                    answer.put((None, error))

    def do(self, call: Callable[[], T]) -> T:
        answer: SimpleQueue[Any] = SimpleQueue()
        self._asked.put((call, answer))
        result, error = answer.get()
        if error is not None:
            raise error
        found: T = result
        return found


_dedicated = False
_keeper: _Keeper | None = None
