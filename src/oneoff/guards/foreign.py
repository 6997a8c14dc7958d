"""What would get around every event: functions of the C library that ctypes looks up, other interpreters."""

from __future__ import annotations

import os
import re
from typing import Any

_INTERPRETER = "cpython.PyInterpreterState_New"
"""Audit hooks, and all else that is put in place here, are one interpreter's (PEP 684)."""
EVENTS = frozenset({"ctypes.dlsym", _INTERPRETER})
_REACHING = re.compile(
    r"""(?x)
    system | popen | v?fork | clone3? | f?exec[lv]?p?e? | posix_spawnp?
    | (open|openat|creat|pwrite|truncate|ftruncate)(64)? | fopen | freopen | fdopen | writev?
    | sendfile | splice
    | unlink(at)? | remove | rename(at2?)? | (sym)?link(at)? | mkdir(at)? | rmdir | mkfifo(at)? | mknod(at)?
    | f?chmod(at)? | [fl]?chown(at)? | l?utimes? | utimensat | futimens | [fl]?(set|remove)xattr
    | socket | connect | bind | send(to|m?msg)? | v?syslog | openlog | mq_open | msgsnd | shmget
    | kill(pg)? | tgkill | sigqueue | pidfd_send_signal | ptrace | syscall | u?mount2? | umount | reboot
    | (shm|sem|mq)_(open|unlink)
    """
)
"""By name: what writes a file, starts a process, reaches another one or the network."""


def check(event: str, args: tuple[Any, ...]) -> str | None:
    """What the task would do, in words; None where it may."""
    if event == _INTERPRETER:
        return "start another interpreter"
    name = args[1] if len(args) > 1 else None
    text = os.fsdecode(name) if isinstance(name, (str, bytes)) else ""
    return f"call the C function {text} by ctypes" if _REACHING.fullmatch(text) else None
