"""Run a command in any language, so that it can be stopped and never outlives its run."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from oneoff.errors import CommandNotStarted, OneoffError
from oneoff.execution.pipes import PipeEnd

_GUARDIAN = Path(__file__).with_name("guardian.py")


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """How a command ended: exactly one of the two is set."""

    exit_code: int | None = None
    signal: str | None = None
    """The name of the signal that ended it: ``SIGKILL``."""


class Child:
    """A command at work, with everything that it started in its process group. Safe from any thread."""

    def __init__(self, control: int) -> None:
        self.pid: int | None = None
        self._control = PipeEnd(control)
        self._lock = threading.RLock()  # a signal handler may come in at any point

    def terminate(self) -> None:
        """Ask for the end: SIGTERM to the process group. Does nothing once it has ended."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it: SIGKILL to the process group. Does nothing once it has ended."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with self._lock:
            self._control.say(bytes([number]))

    def release(self) -> None:
        """Let go of the guardian, which kills what still runs; once more where a stop came in between."""
        with self._lock:
            self._control.close()


def run_command(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    on_start: Callable[[Child], None],
) -> CommandResult:
    """Run a command to its end, without a shell; it reads and writes this process's standard streams.

    It leads a session of its own, so that signals reach all of its processes and only them. That costs it the
    controlling terminal: it may read what is typed, but it cannot open ``/dev/tty``, and Ctrl-C reaches this
    process alone, which has to pass it on. What it leaves running in its process group is ended with it, and
    everything is killed when this process goes away, however it does, or when this call is left by an
    exception.

    Args:
        argv: program and arguments; the program is looked for in ``environ``'s PATH.
        environ: all of its variables.
        on_start: called once it runs, from this thread, with what stops it.

    Raises:
        CommandNotStarted: nothing ran.
    """
    if not argv or not argv[0]:
        raise CommandNotStarted("the command is empty", next_step="give a program and its arguments")
    with _guardian(argv, environ=environ, cwd=cwd) as (child, lines):
        for line in lines:
            word, _, rest = line.partition(" ")
            match word:
                case "pid":
                    child.pid = int(rest)
                case "started":
                    on_start(child)
                case "failed":
                    raise _not_started(argv, environ, int(rest))
                case "exited":
                    return CommandResult(exit_code=int(rest))
                case "killed":
                    return CommandResult(signal=_signal_name(int(rest)))
        return _unguarded(child)


def _unguarded(child: Child) -> CommandResult:
    """The guardian was killed: the command must not go on without one."""
    if child.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    raise OneoffError(
        "the process that guards the command was killed, and the command with it",
        next_step="look for the reason in the system's log: it may have run out of memory",
    )


@contextmanager
def _guardian(
    argv: Sequence[str], *, environ: Mapping[str, str], cwd: Path | None
) -> Iterator[tuple[Child, Iterator[str]]]:
    """A guardian for one command; at the end of the block nothing of either runs any more."""
    if not sys.executable:
        raise CommandNotStarted(
            "Python does not know where its own program is, so nothing could guard the command",
            next_step="run oneoff by a python program, not from an embedded interpreter",
        )
    with ExitStack() as stack:
        control, child = _pipe_to_guardian()
        stack.callback(child.release)
        reader, status = os.pipe()
        lines = stack.enter_context(os.fdopen(reader, encoding="ascii"))
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARDIAN), str(control), str(status), *argv],
                env=environ,
                cwd=cwd,
                pass_fds=(control, status),
                start_new_session=True,
            )
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            raise CommandNotStarted(f"the command could not be started: {error.strerror}{where}") from error
        except ValueError as error:  # a NUL in an argument or a variable
            raise CommandNotStarted(f"the command could not be started: {error}") from error
        finally:
            os.close(control)
            os.close(status)
        stack.callback(process.wait)
        stack.callback(child.release)
        yield child, (line.rstrip("\n") for line in lines)


def _pipe_to_guardian() -> tuple[int, Child]:
    reader, writer = os.pipe()
    return reader, Child(writer)


def require_program(argv: Sequence[str], *, environ: Mapping[str, str], cwd: Path) -> None:
    """Find the program before another one is started in its place, which would only fail to become it.

    Raises:
        CommandNotStarted: there is none, or it may not be executed.
    """
    import errno
    from shutil import which

    is_path = "/" in argv[0]
    program = str(cwd / argv[0]) if is_path else argv[0]
    if which(program, path=environ.get("PATH")) is None:
        there = is_path and os.path.lexists(program)
        raise _not_started(argv, environ, errno.EACCES if there else errno.ENOENT)


def _not_started(argv: Sequence[str], environ: Mapping[str, str], number: int) -> CommandNotStarted:
    """The words for the error that the system gave when the program was to take over; see execve(2)."""
    import errno
    from shutil import which

    program, path = shlex.quote(argv[0]), environ.get("PATH")
    match number:
        case errno.ENOENT if which(argv[0], path=path):
            message, next_step = f"{program} needs a program that is missing", "its first line (#!) names it"
        case errno.ENOENT:
            message = f"there is no program {program}"
            next_step = "look at its path" if "/" in argv[0] else f"PATH is {path or 'not set'}"
        case errno.EACCES:
            message, next_step = f"{program} may not be executed", f"look at it with `ls -l {program}`"
        case errno.ENOEXEC:
            message, next_step = f"{program} is not a program for this machine", "has it a first line (#!)?"
        case _:
            message, next_step = (
                f"{program} could not be started: {os.strerror(number)}",
                "try it in a shell",
            )
    return CommandNotStarted(message, next_step=next_step)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between its first and its last one
        return f"signal {number}"
