"""Ways that Python does not tell of, because C code does it: the kernel has to hold them."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import importlib
import os
import readline
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import mkfifo as kept_mkfifo
from pathlib import Path
from typing import Any

import cffi  # type: ignore[import-untyped]
import uvloop

from tests.acceptance.leaks.way import Ends, Group, Held, Place, Way, held_by

_LIBC = ctypes.CDLL(None, use_errno=True)
_KEPT = {
    name: getattr(_LIBC, name)
    for name in (
        "chmod",
        "connect",
        "creat",
        "fork",
        "kill",
        "mkdir",
        "rename",
        "sendto",
        "setxattr",
        "shm_open",
        "system",
        "unlink",
        "utime",
        "_exit",
    )
}
"""Looked up before any guard is there."""


def _c(name: str, *arguments: Any) -> int:
    """Call a function of the C library; its error is ours."""
    ctypes.set_errno(0)
    found = int(_KEPT[name](*arguments))
    if found != 0 and (found < 0 or name == "system"):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()) if found < 0 else "not permitted")
    return found


def _address(at: Place) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(at.port), bytes([127, 0, 0, 1]))


def _udp_address(at: Place) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(at.udp_port), bytes([127, 0, 0, 1]))


def _connect(at: Place) -> None:
    with socket.socket() as sock:
        _c("connect", sock.fileno(), _address(at), 16)


def _unix(at: Place) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        address = struct.pack("=H", socket.AF_UNIX) + os.fsencode(at.unix) + b"\0"
        _c("connect", sock.fileno(), address, len(address))


def _datagram(at: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        _c("sendto", sock.fileno(), b"one", 3, 0, _udp_address(at), 16)


def _forked(at: Place) -> None:
    """The child has no hook that anybody hears of."""
    child = _c("fork")
    if child == 0:
        _KEPT["creat"](os.fsencode(at.new), 0o600)
        _KEPT["_exit"](0)
    os.waitpid(child, 0)
    if not Path(at.new).exists():
        raise PermissionError("Permission denied")


def _by_cffi(at: Place) -> None:
    ffi = cffi.FFI()
    ffi.cdef("int creat(const char *path, int mode);")
    if ffi.dlopen(None).creat(os.fsencode(at.new), 0o600) < 0:
        raise OSError(ffi.errno, os.strerror(ffi.errno))


def _on_uvloop(work: Callable[[Place], Any]) -> Callable[[Place], None]:
    def task(at: Place) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(at))

    return task


async def _open_connection(at: Place) -> None:
    await asyncio.open_connection("127.0.0.1", at.port)


async def _open_unix_connection(at: Place) -> None:
    await asyncio.open_unix_connection(at.unix)


async def _start_process(at: Place) -> None:
    child = await asyncio.create_subprocess_exec("sh", "-c", f"echo x >'{at.new}'", stderr=sys.stderr)
    if await child.wait():
        raise PermissionError("Permission denied")


def _keylog(at: Place) -> None:
    ssl.create_default_context().keylog_filename = at.new


def _history(at: Place) -> None:
    readline.add_history("x")
    readline.write_history_file(at.new)


@contextmanager
def _interpreter(at: Place) -> Iterator[Any]:
    yield importlib.import_module("_xxsubinterpreters").create()


def _in_interpreter(at: Place) -> None:
    importlib.import_module("_xxsubinterpreters").run_string(at.earlier, f"open({at.new!r}, 'w')")


def _at_the_end(at: Place) -> None:
    atexit.register(Path(at.new).touch)


def _left_behind(at: Place) -> None:
    threading.Timer(0.5, Path(at.new).touch).start()


_DENIED = "Permission denied"

_ALONE = (
    *held_by(
        Held.LANDLOCK,
        Ends.ERROR,
        Way(
            "c-creat",
            "makes a file, by a function looked up before",
            lambda at: _c("creat", os.fsencode(at.new), 0o600),
            _DENIED,
        ),
        Way("c-unlink", "removes one", lambda at: _c("unlink", os.fsencode(at.file)), _DENIED),
        Way(
            "c-rename", "renames one", lambda at: _c("rename", os.fsencode(at.file), os.fsencode(at.new)), ""
        ),
        Way("c-mkdir", "makes a folder", lambda at: _c("mkdir", os.fsencode(at.new), 0o700), _DENIED),
        Way(
            "c-system",
            "has a shell write",
            lambda at: _c("system", f"echo x >'{at.new}'".encode()),
            "not permitted",
        ),
        Way("c-fork", "forks, and the child writes", _forked, _DENIED),
        Way("c-connect", "connects", _connect, _DENIED),
        Way("c-kill", "sends a signal", lambda at: _c("kill", at.process, 15), "Operation not permitted"),
        Way("cffi", "makes a file by cffi", _by_cffi, _DENIED),
        Way("uvloop-connect", "connects on uvloop", _on_uvloop(_open_connection), _DENIED),
        Way(
            "uvloop-process", "starts a process on uvloop, which writes", _on_uvloop(_start_process), _DENIED
        ),
        Way("ssl-keylog", "OpenSSL's log of keys (`SSLKEYLOGFILE`)", _keylog, _DENIED),
        Way("readline", "the history of `readline`", _history, _DENIED),
        Way(
            "kept-mkfifo",
            "a function without an event, imported by name before",
            lambda at: kept_mkfifo(at.new),
            _DENIED,
        ),
        Way(
            "interpreter-before",
            "another interpreter from before",
            _in_interpreter,
            _DENIED,
            before=_interpreter,
        ),
    ),
    *held_by(
        Held.LANDLOCK,
        Ends.LATE,
        Way("atexit", "leaves it for the end of the process", _at_the_end, _DENIED),
        Way(
            "thread-left-behind",
            "leaves it to a thread that outlives the task",
            _left_behind,
            "DryRunStopped",
        ),
    ),
)
_COMMANDS = held_by(
    Held.COMMAND,
    Ends.NAMED,
    Way("c-udp", "sends a datagram", _datagram, "UDP"),
    Way("c-unix", "connects to a unix socket", _unix, "unix sockets"),
    Way("uvloop-unix", "… on uvloop", _on_uvloop(_open_unix_connection), "unix sockets"),
    Way(
        "c-chmod",
        "changes the mode of a file",
        lambda at: _c("chmod", os.fsencode(at.file), 0o600),
        "modes and times of files",
    ),
    Way(
        "c-utime",
        "… its times",
        lambda at: _c("utime", os.fsencode(at.file), None),
        "modes and times of files",
    ),
    Way(
        "c-setxattr",
        "… an attribute",
        lambda at: _c("setxattr", os.fsencode(at.file), b"user.a", b"1", 1, 0),
        "modes and times of files",
    ),
    Way(
        "c-shared-memory",
        "makes shared memory",
        lambda at: _c("shm_open", f"/{at.shared}".encode(), os.O_CREAT | os.O_RDWR, 0o600),
        "shared memory",
    ),
)

C_CODE = Group(title="C code", ways=(*(replace(way, process=True) for way in _ALONE), *_COMMANDS))
