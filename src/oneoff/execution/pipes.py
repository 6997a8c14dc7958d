"""A descriptor of ours in a process that also runs other people's code."""

from __future__ import annotations

import errno
import os
import select
from contextlib import suppress


class PipeEnd:
    """Our end of a pipe. A task may close what it did not open, and then the number is another file's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._file = os.fstat(fd)

    @property
    def fd(self) -> int:
        """Its number; raises OSError where the task has closed it."""
        if not self._ours():
            raise OSError(errno.EBADF, "the task has closed a descriptor of ours")
        return self._fd

    def _ours(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), self._file)
        except OSError:
            return False

    def say(self, word: bytes) -> bool:
        """Whether there is somebody to hear it."""
        with suppress(OSError):
            return self._ours() and os.write(self._fd, word) > 0
        return False

    def hear(self, seconds: float) -> None:
        """Wait for a byte, or for the end of whoever would write it."""
        if not self._ours():
            return
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        if poller.poll(seconds * 1000):
            with suppress(OSError):  # the task closed it just now
                os.read(self._fd, 1)

    def close(self) -> None:
        """Close it, and nothing else."""
        if self._ours():
            os.close(self._fd)
