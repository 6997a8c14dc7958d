"""Start a run as a process of its own on this machine, which survives the terminal and whoever started it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from oneoff.errors import Refused
from oneoff.launchers.processes import LocalProcesses
from oneoff.logs import log_path, open_log
from oneoff.runs.marks import environ_of
from oneoff.runs.run import Process, Run
from oneoff.tasks.task import RAW


class LocalLauncher:
    """Starts ``PREFIX… run TASK --run-id ID`` detached; implements ``protocols.Launcher``.

    A raw command is started as ``PREFIX… exec --run-id ID``: its record knows the command.

    The child leads a session of its own, appends its output to the run's log, and keeps this process's
    folder, variables and nothing else that is open. A run that starts it does not own it: it has a
    ``ONEOFF_RUN_ID`` of its own, and no mark. Secrets go through its standard input as one JSON object
    of strings, never through its arguments or variables, which others on the machine can read; it is told to
    expect them by ``--secrets-from-stdin``.
    """

    name = "local"

    def __init__(self, state_dir: Path, *, command_prefix: Sequence[str]) -> None:
        """
        Args:
            state_dir: where the logs of runs are kept.
            command_prefix: what starts oneoff on the same app, up to and without ``run``.
        """
        self._state_dir = state_dir
        self._command_prefix = tuple(command_prefix)

    def launch(self, run: Run, secrets: Mapping[str, str]) -> Process:
        """Start it.

        Raises:
            StoreUnavailable: its log cannot be opened.
            Refused: the system could not start a process.
        """
        command = self._command(run, secrets=bool(secrets))
        log = open_log(log_path(self._state_dir, run.id))
        try:
            child = _spawn(command, run=run, log=log, pipe=bool(secrets))
        except OSError as error:
            raise Refused(
                f"No process could be started for the run: {error.strerror}.",
                next_step="run it without --detach",
            ) from error
        finally:
            os.close(log)
        process = LocalProcesses().identify(child.pid)
        if child.stdin is not None:
            with suppress(BrokenPipeError), child.stdin:  # a child that is dead by now is found out later
                child.stdin.write(json.dumps(dict(secrets)).encode())
        # Whoever lives longer than the child must reap it; whoever does not need not wait.
        threading.Thread(target=child.wait, name=f"oneoff-reap-{child.pid}", daemon=True).start()
        return process

    def _command(self, run: Run, *, secrets: bool) -> list[str]:
        verb = [RAW] if run.task == RAW else ["run", run.task]
        command = [*self._command_prefix, *verb, "--run-id", run.id]
        if run.dry_run:  # said before the app is imported, so that it connects read-only
            command.append("--dry-run")
        if secrets:
            command.append("--secrets-from-stdin")
        return command


def _spawn(command: Sequence[str], *, run: Run, log: int, pipe: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=environ_of(run.id, os.environ),  # it belongs to no run that may have started it
        stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        close_fds=True,
        start_new_session=True,
    )
