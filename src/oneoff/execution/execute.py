"""The run protocol: take the lease, run the task, say how it ended. Kill it anywhere and the record is true.

    claim       room for the outcome, then one transaction: running + lease + audit ``starting``
    task        beside a supervisor that beats, hears signals and watches the clock
    record      one transaction: the final status + audit ``outcome``

A kill before the claim leaves a run that never started; after it, one that becomes ``lost`` when anyone
looks; an outcome that the store cannot take goes to the room set aside and is recorded by the next command.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any, NoReturn

from oneoff.audit import event
from oneoff.dryrun.report import Report
from oneoff.errors import OutcomeUnrecorded, StoreConflict, StoreUnavailable
from oneoff.execution import function
from oneoff.execution.command import run_command
from oneoff.execution.context import Context
from oneoff.execution.failure import own_traceback
from oneoff.execution.log import RunLogger
from oneoff.execution.output import tee
from oneoff.execution.progress import ProgressMeter
from oneoff.execution.stopping import Stop
from oneoff.execution.supervisor import Supervisor
from oneoff.execution.terminal import Terminal
from oneoff.execution.verdict import Attempt, verdict
from oneoff.logs import log_path
from oneoff.protocols import Seal, Services
from oneoff.runs.document import to_document
from oneoff.runs.run import FOREGROUND, Outcome, Run
from oneoff.runs.status import EXECUTING, EXIT_CODES, Status
from oneoff.tasks.task import Task


def claim(run: Run, services: Services) -> Run:
    """Take the lease: from here on the run is running, in this process.

    Raises:
        LockHeld: another run executes under the task's lock.
        StoreConflict: somebody else took or cancelled the run first.
        StoreUnavailable: the intent cannot be recorded, so nothing runs.
    """
    claimed = run.claimed(services.processes.current(), services.clock.now())
    services.spool.reserve(run.id)
    try:
        return services.store.save(claimed, event.starting(claimed, services.observer, services.clock.now()))
    except BaseException:
        services.spool.release(run.id)
        raise


class Execution:
    """One claimed run in this process."""

    def __init__(
        self,
        run: Run,
        task: Task,
        values: Mapping[str, Any],
        services: Services,
        *,
        open_database: Callable[[], Any] = lambda: None,
        seal: Seal | None = None,
    ) -> None:
        self._run = run
        self._task = task
        self._values = values
        self._services = services
        self._open_database = open_database
        self._seal = seal
        self._stop = Stop()
        self._attempt = Attempt(command=task.command is not None)
        self._owner = os.getpid()

    def perform(self, *, keep_stdout: bool) -> Run:
        """Run the task to its end and record how it ended.

        With ``keep_stdout`` the task's standard output goes to standard error, because standard output
        belongs to a document that follows.

        Raises:
            OutcomeUnrecorded: the task has ended, and the store cannot take the outcome.
        """
        self._began = self._services.clock.monotonic()
        with _stdout_aside(keep_stdout), self._output() as terminal:
            self._log = RunLogger(run_id=self._run.id, task=self._run.task, as_text=terminal.isatty)
            self._meter = ProgressMeter(terminal=terminal, log=self._log)
            with contextlib.closing(self._meter):
                self._supervised()
            outcome = self._outcome()
            if outcome.traceback:
                print(outcome.traceback, file=sys.stderr, end="", flush=True)
        return self._record(outcome)

    def _supervised(self) -> None:
        timeout = self._run.timeout_seconds
        with Supervisor(
            self._stop, clock=self._services.clock, beat=self._beat, timeout=timeout, give_up=self._give_up
        ) as supervisor:
            try:
                self._work()
            except BaseException as error:  # whatever a task raises is told, SystemExit and all
                self._attempt.error = error
            if os.getpid() != self._owner:  # the task forked, and this is the child: not the run's process
                _leave_fork(self._attempt.error)
            supervisor.task_ended()

    def _work(self) -> None:
        if self._task.command is not None:
            self._run_command(self._task.command)
        else:
            self._call_function()

    def _run_command(self, argv: tuple[str, ...]) -> None:
        result = run_command(
            argv,
            environ={**os.environ, **self._task.environ, "ONEOFF_RUN_ID": self._run.id},
            cwd=self._services.settings.root,
            on_start=self._stop.reaches,
        )
        self._attempt.exit_code, self._attempt.signal = result.exit_code, result.signal

    def _call_function(self) -> None:
        context = Context(
            run_id=self._run.id,
            actor=self._run.actor,
            dry_run=self._run.dry_run,
            log=self._log,
            report_progress=self._meter.update,
            stop=self._stop,
            open_database=self._open_database,
        )
        try:
            with self._seal or contextlib.nullcontext():
                function.call(self._task, context, self._values)
        except BaseException:
            self._attempt.report = self._report(context, complete=False)
            raise
        self._attempt.report = self._report(context, complete=not self._stop.seen)

    def _report(self, context: Context, *, complete: bool) -> Report | None:
        if self._seal is None:
            return None
        return Report(databases=(self._seal.report(),), effects=tuple(context.suppressed), complete=complete)

    def _beat(self) -> Run | None:
        run = self._run
        return self._services.store.beat(run.id, run.fence, self._services.clock.now(), self._meter.current)

    def _outcome(self) -> Outcome:
        elapsed = self._services.clock.monotonic() - self._began
        return verdict(self._attempt, self._stop, duration_ms=round(elapsed * 1000))

    def _record(self, outcome: Outcome) -> Run:
        """The final status and the audit's ``outcome``, together; written once, whoever tries."""
        at = self._services.clock.now()
        try:
            return self._save(outcome, at)
        except StoreUnavailable as error:
            self._leave_behind(outcome, at)
            raise OutcomeUnrecorded(
                f"run {self._run.id} ended as {outcome.status}, and the store cannot take it: {error}",
                next_step="the outcome is printed above; the next oneoff command records it",
            ) from error

    def _save(self, outcome: Outcome, at: datetime) -> Run:
        store = self._services.store
        while True:
            run = store.get(self._run.id)
            if run.fence != self._run.fence or run.status not in EXECUTING | {Status.LOST}:
                return run  # another process answers for it by now
            ended = self._ended(run, outcome, at)
            try:
                saved = store.save(ended, event.outcome(ended, self._services.observer, at))
            except StoreConflict:
                continue
            self._services.spool.release(run.id)
            return saved

    def _ended(self, run: Run, outcome: Outcome, at: datetime) -> Run:
        report = self._attempt.report
        return replace(
            run.ended(outcome, at),
            dry_run_report=report.document() if report else None,
            progress=self._meter.current,
        )

    def _leave_behind(self, outcome: Outcome, at: datetime) -> None:
        text = json.dumps(to_document(self._ended(self._run, outcome, at)), ensure_ascii=False)
        print(f"ONEOFF-OUTCOME {text}", flush=True)
        with contextlib.suppress(OSError):  # it is printed; a second place is all that is lost
            self._services.spool.write(self._run.id, text.encode())

    def _give_up(self) -> None:
        """The task does not end: record that from the supervisor's thread, and leave without it."""
        outcome = self._outcome()
        try:
            self._record(outcome)
            code = EXIT_CODES[outcome.status]
        except OutcomeUnrecorded as error:
            code = error.exit_code
        print(f"the task did not end by itself: {outcome.error}", file=sys.stderr, flush=True)
        os._exit(code)

    def _output(self) -> AbstractContextManager[Terminal]:
        if self._run.launcher != FOREGROUND:  # its launcher gave it the log as its output
            return contextlib.nullcontext(Terminal(2))
        return tee(log_path(self._services.settings.state_dir, self._run.id))


@contextlib.contextmanager
def _stdout_aside(wanted: bool) -> Iterator[None]:
    """Send file descriptor 1 to where 2 goes, for this process and its children."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _leave_fork(error: BaseException | None) -> NoReturn:
    if error is not None and not isinstance(error, SystemExit):
        print(own_traceback(error), file=sys.stderr, end="")
    sys.stdout.flush()
    sys.stderr.flush()
    code = error.code if isinstance(error, SystemExit) else error and 1
    os._exit(code if isinstance(code, int) else 1 if code else 0)
