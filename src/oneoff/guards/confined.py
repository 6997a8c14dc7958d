"""Becomes a command that the kernel holds, with all that it starts.

Run as ``python -I -S confined.py LIMITS PROGRAM ARGUMENT…`` in the place of a command whose dry run is
wanted, and imported by nobody else. LIMITS is a JSON object: ``folders`` and ``files`` that may be changed,
``ports`` that may be connected to. The program starts only if all of it holds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

NOT_HELD, NOT_FOUND = 126, 127
"""Exit codes where the program was not started, as shells have them."""


def main(arguments: list[str]) -> None:
    """Give the rights up and become the program."""
    sys.path.append(str(Path(__file__).parents[2]))  # started without the folder that oneoff is installed in
    from oneoff.guards import landlock, seccomp

    limits, *command = arguments
    wanted = json.loads(limits)
    numbers = seccomp.architecture()
    try:
        if numbers is None:
            raise OSError(f"seccomp is not known for {os.uname().machine}")
        landlock.restrict(landlock.abi(), **wanted)
        seccomp.restrict(numbers, connects=bool(wanted["ports"]))
    except OSError as error:
        _end(NOT_HELD, f"the dry run cannot be held by the kernel, and {command[0]} was not started: {error}")
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        _end(NOT_FOUND, f"{command[0]} could not be started: {error.strerror}")


def _end(code: int, words: str) -> None:
    print(f"oneoff: {words}", file=sys.stderr, flush=True)
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
