"""Any command that takes a checkpoint on its standard input: a client of an object store, a mailer, git."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from oneoff.audit.evidence import Statement
from oneoff.errors import AnchorFailed

TIME_LIMIT = 10.0
"""Seconds that the command gets; a run that has ended waits for it."""


class CommandAnchor:
    """Runs the command once for each checkpoint, without a shell."""

    def __init__(self, argv: Sequence[str], *, cwd: Path, time_limit: float = TIME_LIMIT) -> None:
        self.name = f"command {argv[0]}"  # arguments may hold what is nobody's business
        self._argv = list(argv)
        self._cwd = cwd
        self._time_limit = time_limit

    def keep(self, statement: Statement, *, stdout_taken: bool) -> None:
        """Exit code 0 within the time limit means that it is kept."""
        try:
            process = subprocess.Popen(
                self._argv,
                cwd=self._cwd,
                env={**os.environ, **_variables(statement)},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # ours may belong to a document; what it says goes to stderr
                start_new_session=True,  # Ctrl-C is for the run; at the time limit the whole group ends
            )
        except OSError as error:
            raise AnchorFailed(f"it could not be started: {error.strerror}") from error
        with process:
            try:
                process.communicate(statement.text.encode(), timeout=self._time_limit)
            except BaseException as error:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise AnchorFailed(f"it took more than {self._time_limit:g} s") from None
                raise
        if process.returncode:
            raise AnchorFailed(f"it ended with exit code {process.returncode}")


def _variables(statement: Statement) -> dict[str, str]:
    return {
        "ONEOFF_CHECKPOINT_ORIGIN": statement.origin,
        "ONEOFF_CHECKPOINT_SIZE": str(statement.checkpoint.size),
    }
