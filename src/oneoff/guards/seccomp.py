"""A filter of system calls (seccomp(2)) for what Landlock does not hold: sockets, and the modes of files.

Needs no privileges and holds for all children. It sees a call's numbers and not what a pointer leads to, so
it tells kinds of sockets apart and no addresses.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24
"""Places in ``struct seccomp_data``; of an argument the lower half, on machines that begin with that."""
_X32 = 0x40000000
_TYPE_MASK = 0xF


@dataclass(frozen=True)
class Architecture:
    """The numbers of one architecture, from the kernel's tables of system calls."""

    audit: int
    socket: int
    io_uring_setup: int
    refused: tuple[int, ...]
    """Mode, owner, times and attributes of files; messages and memory shared with other processes."""


# fmt: off
ARCHITECTURES = {
    "x86_64": Architecture(
        audit=0xC000003E,
        socket=41,
        io_uring_setup=425,
        refused=(
            90, 91, 268, 452,  # chmod fchmod fchmodat fchmodat2
            92, 93, 94, 260,  # chown fchown lchown fchownat
            132, 235, 261, 280,  # utime utimes futimesat utimensat
            188, 189, 190, 463, 197, 198, 199, 466,  # setxattr and removexattr, of all kinds
            29, 64, 68, 240, 241,  # shmget semget msgget mq_open mq_unlink
        ),
    ),
    "aarch64": Architecture(
        audit=0xC00000B7,
        socket=198,
        io_uring_setup=425,
        refused=(
            52, 53, 452,  # fchmod fchmodat fchmodat2
            54, 55,  # fchownat fchown
            88,  # utimensat
            5, 6, 7, 463, 14, 15, 16, 466,  # setxattr and removexattr, of all kinds
            194, 190, 186, 180, 181,  # shmget semget msgget mq_open mq_unlink
        ),
    ),
}
# fmt: on


def architecture() -> Architecture | None:
    """That of this machine; None where its numbers are not known here."""
    return ARCHITECTURES.get(os.uname().machine)


def restrict(numbers: Architecture, *, connects: bool) -> None:
    """From here on this thread and its children make no socket, or only such as connect by the internet.

    What is passed on from the parent stays usable, and a pair of sockets may be made. Raises OSError.
    """
    program = [*_program(numbers, connects=connects)]
    code = b"".join(instruction.to_bytes(8, "little") for instruction in map(_packed, program))
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = _Program(len(program), ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(filters), zero, zero) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


_Instruction = tuple[int, int, int, int]
"""Code, how far to jump where it is true, where it is not, and a constant."""


def _program(numbers: Architecture, *, connects: bool) -> Iterator[_Instruction]:
    yield _LOAD, 0, 0, _ARCHITECTURE_AT
    yield _JUMP_EQUAL, 1, 0, numbers.audit
    yield from _refuse(errno.ENOSYS)  # a program for another architecture has other numbers
    yield _LOAD, 0, 0, _NUMBER_AT
    yield _JUMP_AT_LEAST, 0, 1, _X32
    yield from _refuse(errno.ENOSYS)
    yield _JUMP_EQUAL, 0, 1, numbers.io_uring_setup  # it makes sockets without the call for it
    yield from _refuse(errno.ENOSYS)
    for number in numbers.refused:
        yield _JUMP_EQUAL, 0, 1, number
        yield from _refuse(errno.EPERM)
    yield _JUMP_EQUAL, 1, 0, numbers.socket
    yield _RETURN, 0, 0, _ALLOW
    if connects:
        yield _LOAD, 0, 0, _FIRST_AT
        yield _JUMP_EQUAL, 2, 0, int(socket.AF_INET)
        yield _JUMP_EQUAL, 1, 0, int(socket.AF_INET6)
        yield from _refuse(errno.EACCES)
        yield _LOAD, 0, 0, _SECOND_AT
        yield _AND, 0, 0, _TYPE_MASK
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):  # the latter to look names up
            yield _JUMP_EQUAL, 0, 1, int(kind)
            yield _RETURN, 0, 0, _ALLOW
    yield from _refuse(errno.EACCES)


def _refuse(number: int) -> Iterator[_Instruction]:
    yield _RETURN, 0, 0, _ERRNO | number


def _packed(instruction: _Instruction) -> int:
    """``struct sock_filter``: 16 bits of code, twice 8 of jumps, 32 of constant."""
    code, true, false, constant = instruction
    return code | true << 16 | false << 24 | constant << 32
