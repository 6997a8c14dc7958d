"""Landlock: a process gives up rights for itself, its later threads and its children, for ever (landlock(7)).

Needs no privileges. What an older kernel does not know is left out, and said by whoever uses this.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The numbers of the system calls, the same on all architectures that Python is built for."""
PR_SET_NO_NEW_PRIVS = 38
_VERSION = 1
_PATH, _PORT = 1, 2

_WRITE_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_CHANGES = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
"""To write, to remove and to make, of every kind; to read and to execute stays allowed."""
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPED = 3
"""No abstract unix socket and no signal of those who are not held themselves."""

TRUNCATION_SINCE, TCP_SINCE, SIGNALS_SINCE = 3, 4, 6
"""The versions (ABI) from which on the kernel holds these: Linux 6.2, 6.7 and 6.12."""


def abi() -> int:
    """The version that the running kernel has; 0 where it has none, or is told to do without."""
    if not sys.platform.startswith("linux"):
        return 0
    found = _libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    return max(0, int(found))


def restrict(version: int, *, folders: Iterable[str], files: Iterable[str], ports: Iterable[int]) -> None:
    """From here on this thread changes files only below ``folders`` and in ``files``, and connects only to
    ``ports``, as far as this version of the kernel holds it.

    Raises OSError where the kernel does not take it; then nothing has changed.
    """
    changes = _CHANGES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= TRUNCATION_SINCE else 0)
    handled = [changes]
    if version >= TCP_SINCE:
        handled.append(_BIND_TCP | _CONNECT_TCP)
    if version >= SIGNALS_SINCE:
        handled.append(_SCOPED)
    ruleset = _call(CREATE_RULESET, (ctypes.c_uint64 * len(handled))(*handled), 8 * len(handled), 0)
    try:
        for folder in folders:
            _allow(ruleset, folder, changes)
        for file in files:
            _allow(ruleset, file, changes & (_WRITE_FILE | _TRUNCATE))
        if version >= TCP_SINCE:
            for port in ports:
                _call(ADD_RULE, ruleset, _PORT, (ctypes.c_uint64 * 2)(_CONNECT_TCP, port), 0)
        no_new_privileges()
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def no_new_privileges() -> None:
    """What is demanded of a process that gives up rights: no set-user-id program may get them back."""
    if _libc().prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class _Below(ctypes.Structure):
    """``struct landlock_path_beneath_attr``."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:  # a system without this device
        return
    try:
        below = _Below(rights, parent)
        _call(ADD_RULE, ruleset, _PATH, ctypes.byref(below), 0)
    finally:
        os.close(parent)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    given = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    result = _libc().syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)
