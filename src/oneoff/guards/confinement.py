"""Holds the command of a dry run, and everything that it starts, by the kernel: Landlock and seccomp."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from oneoff.dryrun.seams import ConfinedCommand
from oneoff.errors import DryRunUnavailable
from oneoff.guards import landlock, seccomp
from oneoff.scratch import scratch_for_task

_CONFINED = Path(__file__).with_name("confined.py")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")
_NOT_COVERED = (
    "what is written to the files that the command has as its standard input, output and error",
    "what the command only reads: it may print it",
    "what the kernel refused: it is seen in what the command says and in its exit code, and nowhere else",
)
_CONNECTED = (
    "names are looked up, and anything else may be sent by UDP",
    "the kernel knows ports and no hosts: any host can be reached at a port that is open",
)
_SIGNALS = "signals that the command sends to other processes of this user"


class CommandConfinement:
    """Implements :class:`oneoff.dryrun.seams.Confinement`."""

    level = "preview"
    name = "landlock"

    def __init__(self, ports: Collection[int], abi: Callable[[], int] = landlock.abi) -> None:
        """``ports``: what the command may connect to; with none it makes no connection of any kind.

        Raises:
            DryRunUnavailable: the kernel cannot hold that.
        """
        self._ports = tuple(sorted(ports))
        self._abi = abi()
        problem = _problem(self._abi, self._ports)
        if problem:
            raise DryRunUnavailable(
                f"a command is held by the kernel in a dry run, and {problem}",
                next_step="run it on Linux 6.7 or newer where Landlock is on, or make it a Python task",
            )

    @property
    def not_covered(self) -> tuple[str, ...]:
        signals = () if self._abi >= landlock.SIGNALS_SINCE else (_SIGNALS,)
        return (*(_CONNECTED if self._ports else ()), *signals, *_NOT_COVERED)

    @contextmanager
    def around(self, command: Sequence[str], environ: Mapping[str, str]) -> Iterator[ConfinedCommand]:
        """What is to be run in the command's place. Raises DryRunUnavailable."""
        with ExitStack() as stack:
            folder = scratch_for_task(stack)
            limits = {"folders": [str(folder)], "files": _DEVICES, "ports": self._ports}
            program = (sys.executable, "-I", "-S", str(_CONFINED), json.dumps(limits))
            yield ConfinedCommand(command=(*program, *command), environ={**environ, "TMPDIR": str(folder)})


def _problem(abi: int, ports: Collection[int]) -> str | None:
    if abi < 1:
        return "Landlock is not to be had here"
    if abi < landlock.TRUNCATION_SINCE:
        return f"this kernel's Landlock (version {abi}) does not keep files from being cut off"
    if ports and abi < landlock.TCP_SINCE:
        return f"this kernel's Landlock (version {abi}) tells no ports apart"
    if seccomp.architecture() is None:
        return f"seccomp is not known here for {os.uname().machine}"
    return None
