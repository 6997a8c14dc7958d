"""What this machine knows of processes: who we are, and whether another one still runs."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from oneoff.runs.run import Process

_DEAD = frozenset({"Z", "X"})
"""States of a process that has ended and only waits for its parent to ask: it does nothing any more."""


class LocalProcesses:
    """Tells processes apart by machine, pid and start time; implements ``protocols.Processes``.

    The machine is the boot id and the pid namespace: two containers on one host have the same pids for
    different processes, and so has one host after a reboot. Without ``/proc`` (macOS) it is the host's name
    alone, and there is no start time: a pid that was given to another process then counts as alive.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def current(self) -> Process:
        """This very process."""
        return self.identify(os.getpid())

    def identify(self, pid: int) -> Process:
        """The process that has this pid now; its start time is empty where it cannot be read."""
        stat = self._stat(pid)
        return Process(
            host=os.uname().nodename, machine=self._machine, pid=pid, started=stat[1] if stat else ""
        )

    def alive(self, process: Process) -> bool | None:
        """Whether it still runs; None where it cannot be known from here.

        ``kill(pid, 0)`` alone is no proof: it succeeds for a zombie that nobody reaps, and for a stranger
        that was given the same pid.
        """
        if process.machine != self._machine:
            return None
        stat = self._stat(process.pid)
        if stat is None or not process.started:
            return self._answers(process.pid, unseen=not process.started)
        state, started = stat
        return started == process.started and state not in _DEAD

    def _answers(self, pid: int, *, unseen: bool) -> bool | None:
        """Whether there is such a pid; None where ``/proc`` should show it and does not (hidepid)."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True if unseen else None

    @cached_property
    def _machine(self) -> str:
        try:
            boot = (self._proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
            namespace = (self._proc / "self/ns/pid").readlink()
        except OSError:
            return os.uname().nodename
        return f"{boot}/{namespace}"

    def _stat(self, pid: int) -> tuple[str, str] | None:
        try:
            return parse_stat((self._proc / str(pid) / "stat").read_bytes())
        except OSError:
            return None


def parse_stat(line: bytes) -> tuple[str, str]:
    """State and start time (fields 3 and 22) of a line of ``/proc/PID/stat``, see proc(5).

    The second field is the program's name in parentheses, which may itself hold spaces and parentheses: so
    the fields are counted from the last one that closes.
    """
    fields = line.rpartition(b")")[2].split()
    return fields[0].decode("ascii"), fields[19].decode("ascii")
