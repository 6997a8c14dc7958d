"""Stops a dry run's task from starting a process, because nothing can hold what another process writes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from oneoff import own, starts
from oneoff.guards.attempts import Attempts

_HARMLESS = ([b"uname", b"-p"], [b"ldconfig", b"-p"])
"""What the standard library asks the machine by a program (``platform.platform``,
``ctypes.util.find_library``): libraries do that when they are first used, and it changes nothing."""
_TRACKER = re.compile(rb"from multiprocessing\.resource_tracker import main;main\(\d+\)")
"""multiprocessing's own helper, which comes with a mere lock (a progress bar has one) and runs no code of the
task: it removes semaphores and shared memory that nobody uses any more."""

_WHY = (
    "and nothing holds what another process writes;"
    ' oneoff.effect("…", subprocess.run, […]) records it, and a dry run does not call it'
)


class ProcessGuard:
    """Listens to each start of a process in its block, and refuses it."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def __enter__(self) -> None:
        starts.listen(self._refuse)

    def __exit__(self, *exc_info: object) -> None:
        starts.forget(self._refuse)

    def _refuse(self, event: str, args: tuple[Any, ...]) -> None:
        """Raises DryRunStopped, unless the program is known to be harmless.

        It is noted as well: whether the task swallows what is raised then does not matter.
        """
        if own.at_work():
            return
        if event != "os.exec" and len(args) > 1 and _is_harmless(_command(args[0], args[1])):
            return
        raise self._attempts.note(f"start {_started(event, args, self._attempts.mask)} ({event})", _WHY)


def _is_harmless(command: list[bytes]) -> bool:
    return command in _HARMLESS or (command[-2:-1] == [b"-c"] and bool(_TRACKER.fullmatch(command[-1])))


def _started(event: str, args: tuple[Any, ...], mask: Callable[[str], str]) -> str:
    """In words, without an argument: those may hold a password."""
    if event in ("os.fork", "os.forkpty"):
        return "a copy of itself"
    if event == "os.system":
        return "a shell"
    program = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
    try:
        text = mask(os.fsdecode(program))
    except TypeError:
        return "another program"
    # A whole command line may stand here by mistake, and a variable before it.
    return os.path.basename(re.split(r"[\s=]", text, maxsplit=1)[0]) or "another program"  # noqa: PTH119


def _command(program: Any, argv: Any) -> list[bytes]:
    try:
        return [os.path.basename(os.fsencode(program)), *map(os.fsencode, argv[1:])]  # noqa: PTH119
    except TypeError:
        return []
