"""Which audit events would change a file, and which files a dry run's task may change all the same.

Source of the events: https://docs.python.org/3/library/audit_events.html. A change that the system would
refuse anyway (to make a folder that is there, to remove a file that is not) is none: much code tries first.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oneoff import own

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_TMPFILE", 0)
_NOWHERE = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/stdout", "/dev/stderr"})
_TERMINALS = ("/dev/pts/", "/dev/ttys")
_SHARED_WRITES = frozenset({0, mmap.ACCESS_WRITE})
"""How a file is mapped so that it changes with the memory; 0 is what ``mmap`` does by default."""
_SETS = 1
"""The direction in the number of an ioctl that only gives something to the kernel (ioctl(2))."""


def check(event: str, args: tuple[Any, ...]) -> str | None:
    """What the task would do, in words; None where it may."""
    return CHECKS[event](*args)


def _open(path: Any, mode: Any, flags: Any) -> str | None:
    if not (isinstance(flags, int) and flags & _WRITING) or isinstance(path, int):
        return None
    return None if _may_change(path) else f"write {_name(path)}"


def _change(verb: str, *, follow: bool = True) -> Callable[..., str | None]:
    """Of a file, whose folder's descriptor may stand last."""

    def judge(path: Any, *rest: Any) -> str | None:
        return None if _may_change(path, _folder(rest), follow=follow) else f"{verb} {_name(path)}"

    return judge


def _make_folder(path: Any, mode: Any, folder: Any) -> str | None:
    if _exists(path, folder) or _may_change(path, folder, follow=False):
        return None
    return f"make the folder {_name(path)}"


def _remove(path: Any, folder: Any) -> str | None:
    if not _exists(path, folder) or _may_change(path, folder, follow=False):
        return None
    return f"remove {_name(path)}"


def _rename(source: Any, target: Any, source_folder: Any, target_folder: Any) -> str | None:
    if not _exists(source, source_folder):
        return None
    both = ((source, source_folder), (target, target_folder))
    if all(_may_change(path, folder, follow=False) for path, folder in both):
        return None
    return f"rename {_name(source)} to {_name(target)}"


def _symlink(source: Any, target: Any, folder: Any) -> str | None:
    if _exists(target, folder) or _may_change(target, folder, follow=False):
        return None
    return f"make the link {_name(target)}"


def _hard_link(source: Any, target: Any, source_folder: Any, target_folder: Any) -> str | None:
    """What is written to the one is written to the other, so both have to be the task's to change."""
    if not _exists(source, source_folder) or _exists(target, target_folder):
        return None
    both = ((source, source_folder), (target, target_folder))
    if all(_may_change(path, folder, follow=False) for path, folder in both):
        return None
    return f"make the link {_name(target)} to {_name(source)}"


def _open_by_folder(path: Any, flags: Any, folder: Any) -> str | None:
    """The event ``open`` does not tell of the folder that a name is below of."""
    if folder == -1 or not (isinstance(flags, int) and flags & _WRITING):
        return None
    return None if _may_change(path, folder) else f"write {_name(path)}"


def _control(fd: int, request: int, *rest: Any) -> str | None:
    """``ioctl``: it sets something of a file that need not be open for writing, or what a terminal reads."""
    if request & 0xFFFF_FFFF == termios.TIOCSTI:
        return "type into a terminal"
    if (request >> 30) & 0b11 != _SETS or not _is_file(fd) or _may_change(fd):
        return None
    return f"change the flags of {_name(fd)}"


def _share(name: Any, flags: Any, *rest: Any) -> str | None:
    if not (isinstance(flags, int) and flags & _WRITING):
        return None
    return f"make or change the shared memory {_name(name)}"


def _unshare(name: Any, *rest: Any) -> str | None:
    return f"remove the shared memory {_name(name)}"


def _map(fd: int, length: Any, access: int, offset: Any) -> str | None:
    """A mapping writes to its file by a mere assignment; the file may be open since before the dry run."""
    if fd < 0 or access not in _SHARED_WRITES or not _writable(fd) or _may_change(fd):
        return None
    return f"map {_name(fd)} into its memory to write it"


CHECKS: dict[str, Callable[..., str | None]] = {
    "open": _open,
    "os.mkdir": _make_folder,
    "os.remove": _remove,
    "os.rmdir": _remove,
    "os.rename": _rename,
    "os.link": _hard_link,
    "os.symlink": _symlink,
    "os.truncate": _change("truncate"),
    "os.chmod": _change("change the mode of"),
    "os.chown": _change("change the owner of"),
    "os.chflags": _change("change the flags of"),
    "os.utime": _change("change the times of"),
    "os.setxattr": _change("change an attribute of"),
    "os.removexattr": _change("change an attribute of"),
    "os.mkfifo": _change("make the pipe", follow=False),
    "os.mknod": _change("make the node", follow=False),
    "os.open": _open_by_folder,
    "mmap.__new__": _map,
    "fcntl.ioctl": _control,
    "_posixshmem.shm_open": _share,
    "_posixshmem.shm_unlink": _unshare,
}
"""``os.mkfifo``, ``os.mknod``, ``os.open`` and those of shared memory are no events of Python's:
:mod:`oneoff.guards.audit_hook` makes them."""


def _folder(rest: tuple[Any, ...]) -> Any:
    return rest[-1] if len(rest) > 1 else -1


def _name(path: Any) -> str:
    if isinstance(path, int):
        return _path_of(path) or f"the open file {path}"
    try:
        return os.fsdecode(path)
    except TypeError:
        return "a file"


def _path_of(fd: int) -> str | None:
    """The path of an open file, where the system tells; ``(deleted)`` files are nobody's."""
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return None


def _writable(fd: int) -> bool:
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_WRONLY | os.O_RDWR))
    except OSError:  # it is not open: the system says so itself
        return False


def _is_file(fd: int) -> bool:
    try:
        return stat.S_IFMT(os.fstat(fd).st_mode) in (stat.S_IFREG, stat.S_IFDIR)
    except OSError:
        return False


def _exists(path: Any, folder: Any) -> bool:
    try:
        os.lstat(path) if folder == -1 else os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _may_change(path: Any, folder: Any = -1, *, follow: bool = True) -> bool:
    real = _real(path, folder, follow)
    if real is None:
        return False
    lent = own.may_write(real) or own.may_write(f"{real}/")  # the folder itself: O_TMPFILE names it
    return lent or real in _NOWHERE or real.startswith(_TERMINALS) or _is_stream(path)


def _is_stream(path: Any) -> bool:
    """Whether this is the process's own standard output or error, and no file."""
    if path not in ("/dev/stdout", "/dev/stderr"):
        return False
    try:
        return not stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:
        return False


def _real(path: Any, folder: Any, follow: bool) -> str | None:
    """The absolute path without a link; its last part stays where the change is to the link itself."""
    if isinstance(path, int):
        found = _path_of(path)
        if found is None or not found.startswith("/"):
            return None
        # A file that is gone (a temporary one) leaves nothing.
        return "/dev/null" if found.endswith(" (deleted)") or found.startswith("/memfd:") else found
    try:
        text = os.fsdecode(path)
    except TypeError:
        return None
    if isinstance(folder, int) and folder >= 0 and not os.path.isabs(text):  # noqa: PTH117
        above = _path_of(folder)
        if above is None:
            return None
        text = os.path.join(above, text)  # noqa: PTH118
    if follow:
        return os.path.realpath(text)
    above, last = os.path.split(os.path.abspath(text))  # noqa: PTH100
    return os.path.join(os.path.realpath(above), last)  # noqa: PTH118
