"""The stronger guard of a function: Landlock holds the task's thread and what it starts, with the audit hook.

It holds C code as well, and it is for ever. So it is for a process that runs this one task and then ends; and
what oneoff has to do afterwards (the record, the anchors, to remove temporary files) is done by a thread that
was there before (:func:`oneoff.own.unheld`). Signals are not touched: the task stays in the main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oneoff import own
from oneoff.dryrun import limits
from oneoff.errors import DryRunUnavailable
from oneoff.guards import landlock
from oneoff.guards.audit_hook import AuditHookGuard
from oneoff.guards.connections import ports

NEEDED = landlock.TCP_SINCE
"""The first version of Landlock that holds files and connections."""
_FILES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")
_SHARED_MEMORY = "/dev/shm"
"""Even a lock of multiprocessing makes a file there, and a progress bar makes such a lock."""


class LandlockGuard(AuditHookGuard):
    """Implements :class:`oneoff.dryrun.seams.Guard`; for the only task of a process, in its main thread."""

    name = "landlock"

    def __enter__(self) -> LandlockGuard:
        own.keep_rights()  # before anybody looks at which threads the task starts
        with own.work():
            self._abi = landlock.abi()
        self._connected_before = ports()
        super().__enter__()
        return self

    @property
    def limits(self) -> tuple[str, ...]:
        return limits.LANDLOCK if self._abi >= landlock.SIGNALS_SINCE else (limits.SIGNALS, *limits.LANDLOCK)

    @contextmanager
    def around_task(self) -> Iterator[None]:
        """From here on the thread connects to the sealed databases, whose connections were made meanwhile."""
        with super().around_task():
            self._restrict()
            yield

    def _restrict(self) -> None:
        try:
            with own.work():
                landlock.restrict(
                    self._abi,
                    folders=[*own.lent_folders(), _SHARED_MEMORY],
                    files=_FILES,
                    ports=(ports() - self._connected_before) | self.hosts.ports,
                )
        except OSError as error:
            raise DryRunUnavailable(
                f"the kernel has Landlock and did not take what it was to hold: {error}",
                next_step="report this system to the project",
            ) from error


def available(abi: Callable[[], int] = landlock.abi) -> bool:
    """Whether this process may be held so, and the kernel can."""
    return own.is_dedicated() and abi() >= NEEDED
