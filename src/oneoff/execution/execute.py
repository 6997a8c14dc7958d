"""The run protocol: take the lease, run the task, say how it ended. Kill it anywhere and the record is true.

    claim       room for the outcome, then one transaction: running + lease + audit ``starting``
    task        beside a supervisor that beats, hears signals and watches the clock
    record      one transaction: the final status + audit ``outcome``; then the log's checkpoint is noted

Signals are held from before the claim until after the record (:mod:`oneoff.execution.signals`).

A kill before the claim leaves a run that never started; after it, one that becomes ``lost`` when anyone
looks; an outcome that the store cannot take goes to the room set aside and is recorded by the next command.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any, NoReturn

from oneoff import own, policy
from oneoff.audit import event
from oneoff.audit.merkle import Checkpoint
from oneoff.dryrun.report import Report, masked
from oneoff.errors import (
    CommitUnknown,
    DryRunStopped,
    DryRunUnavailable,
    NotCommitted,
    OneoffError,
    OutcomeUnrecorded,
    Refused,
    RunNotFound,
    RunStopped,
    StoreConflict,
    StoreUnavailable,
)
from oneoff.execution import function, stopping
from oneoff.execution.children import Children
from oneoff.execution.command import require_program, run_command
from oneoff.execution.context import Context
from oneoff.execution.failure import own_traceback, summary
from oneoff.execution.held import HeldCommand, HeldFunction
from oneoff.execution.kept import KeptFunction
from oneoff.execution.log import RunLogger
from oneoff.execution.output import own_streams, passed_on, tee
from oneoff.execution.progress import ProgressMeter
from oneoff.execution.signals import Signals
from oneoff.execution.supervisor import Supervisor
from oneoff.execution.terminal import Terminal
from oneoff.execution.verdict import Attempt, verdict
from oneoff.execution.witness import look
from oneoff.logs import append, log_path
from oneoff.protocols import Services
from oneoff.runs.document import to_document
from oneoff.runs.marks import environ_of
from oneoff.runs.run import FOREGROUND, Outcome, Run
from oneoff.runs.status import EXECUTING, EXIT_CODES, FINAL, Status
from oneoff.tasks.masking import Mask
from oneoff.tasks.task import Task

LAST_WORDS_SECONDS = 2.0
"""How long a run that has ended waits for its output to be taken: a terminal may be paused."""
SHORT_TRACEBACK = 8_000
"""Characters of a traceback that are kept where there is no room for all of it."""


def claim(run: Run, services: Services) -> Run:
    """Take the lease: from here on the run is running, in this process.

    Raises:
        LockHeld: another run executes under the task's lock.
        StoreConflict: somebody else took or cancelled the run first.
        StoreUnavailable: the intent cannot be recorded, so nothing runs.
    """
    services.spool.reserve(run.id)
    try:
        return _claimed(run, services)
    except StoreConflict:
        if services.store.get(run.id).status in FINAL:
            services.spool.release(run.id)
        raise  # otherwise the room is that of the process that was quicker
    except BaseException:
        services.spool.release(run.id)
        raise


def _claimed(run: Run, services: Services) -> Run:
    while True:
        claimed = run.claimed(services.processes.current(), services.clock.now())
        told = event.starting(claimed, services.observer, services.clock.now())
        try:
            return services.store.save(claimed, told)
        except StoreConflict:
            now = services.store.get(run.id)
            if now.status is not run.status or now.version == run.version:
                raise
            run = now  # its launcher noted down which process it is


class Execution:
    """One claimed run in this process."""

    def __init__(
        self,
        run: Run,
        task: Task,
        values: Mapping[str, Any],
        services: Services,
        *,
        signals: Signals,
        open_database: Callable[[], Any] = lambda: None,
        held: HeldFunction | HeldCommand | KeptFunction | None = None,
    ) -> None:
        self._run = run
        self._task = task
        self._values = values
        self._mask = Mask.of(values)
        """Goes over every text of the task's that is recorded or printed here."""
        self._services = services
        self._signals = signals
        self._stop = signals.stop
        self._open_database = open_database
        self._held = held
        self._attempt = Attempt(command=task.command is not None)
        self._began: float | None = None
        self._result: Outcome | None = None
        self._owner = os.getpid()
        self._children = Children(run.id, signals.stop, warn=lambda words: self._log.warning(words))
        self._output = contextlib.ExitStack()

    def perform(self, *, keep_stdout: bool) -> Run:
        """Run the task to its end and record how it ended.

        With ``keep_stdout`` the task's standard output goes to standard error, because standard output
        belongs to a document that follows.

        Raises:
            OutcomeUnrecorded: the task has ended, and the store cannot take the outcome.
        """
        with own_streams():
            try:
                self._carry_out(keep_stdout)
            except Exception as error:  # of our own, around the task: what is known is recorded all the same
                if self._began is None:
                    self._attempt.error = error
            with self._closing_output():
                outcome = self._result or self._outcome()
                try:
                    return own.unheld(lambda: self._noted(self._record(outcome)))
                except OutcomeUnrecorded as error:
                    unrecorded = error
        _print_outcome(unrecorded)
        raise unrecorded

    @contextlib.contextmanager
    def _closing_output(self) -> Iterator[None]:
        """The block comes after the last output where that is quick; a reader that is not cannot delay it."""
        closing = threading.Thread(target=self._output.close, name="oneoff-closing", daemon=True)
        closing.start()
        closing.join(LAST_WORDS_SECONDS)
        yield
        self._signals.let_go()
        with contextlib.suppress(KeyboardInterrupt):  # nobody wants the rest; the run is recorded
            closing.join()

    def _carry_out(self, keep_stdout: bool) -> None:
        self._output.enter_context(_stdout_aside(keep_stdout))
        terminal = self._output.enter_context(self._diverted())
        self._log = RunLogger(
            run_id=self._run.id, task=self._run.task, as_text=terminal.isatty, mask=self._mask
        )
        self._meter = ProgressMeter(terminal=terminal, log=self._log, mask=self._mask)
        self._output.callback(self._print_traceback)
        self._output.callback(self._meter.close)
        with contextlib.suppress(OSError, ValueError):  # nobody listens
            mode = " as a dry run" if self._run.dry_run else ""
            print(f"run {self._run.id} starts{mode}: {self._run.in_words}", file=sys.stderr, flush=True)
            for cost in self._held.costs() if self._held else ():
                print(f"  {cost}", file=sys.stderr, flush=True)
        self._supervised()

    def _print_traceback(self) -> None:
        if self._result is not None and self._result.traceback:
            with contextlib.suppress(Exception):  # the task may have done anything to stderr
                print(self._result.traceback, file=sys.stderr, end="", flush=True)

    def _supervised(self) -> None:
        with Supervisor(
            self._signals,
            clock=self._services.clock,
            beat=self._beat,
            timeout=self._run.timeout_seconds,
            asked=self._tell,
            give_up=self._give_up,
        ):
            self._began = self._services.clock.monotonic()
            try:
                with self._watched(), self._signals.interruptible():
                    self._work()
            except BaseException as error:  # whatever a task raises is told, SystemExit and all
                self._attempt.error = error
            self._result = self._outcome()  # before the supervisor is waited for: it may wait for the store

    def _watched(self) -> AbstractContextManager[None]:
        if self._task.command is not None or self._run.dry_run:  # a guardian does it, or there is no child
            return contextlib.nullcontext()
        return self._children.watched()

    def _work(self) -> None:
        if self._stop.look():
            raise RunStopped
        if isinstance(self._held, HeldCommand):
            self._preview_command(self._held)
        elif self._task.command is not None:
            self._run_command(self._task.command, {**os.environ, **self._task.environ})
        else:
            self._call_function()

    def _run_command(self, argv: tuple[str, ...], environ: Mapping[str, str]) -> None:
        result = run_command(
            argv,
            environ=environ_of(self._run.id, environ),
            cwd=self._services.settings.root,
            on_start=self._stop.reaches,
        )
        self._attempt.exit_code, self._attempt.signal = result.exit_code, result.signal

    def _preview_command(self, held: HeldCommand) -> None:
        """Its exit code is that of the dry run: what the kernel refused is seen in nothing else."""
        environ = {**os.environ, **self._task.environ}
        require_program(held.command, environ=environ, cwd=self._services.settings.root)
        try:
            with held.around() as confined:
                self._run_command(confined.command, {**environ, **confined.environ})
        except Refused:
            raise  # nothing ran: there is nothing to report
        except BaseException:
            self._attempt.report = held.report(complete=False)
            raise
        complete = self._stop.cause is None and self._attempt.exit_code == 0
        self._attempt.report = held.report(complete=complete)

    def _call_function(self) -> None:
        held = self._held
        context = Context(
            run_id=self._run.id,
            actor=self._run.actor,
            dry_run=self._run.dry_run,
            log=self._log,
            report_progress=self._meter.update,
            stop=self._stop,
            open_database=self._open_database,
            confirmed=self._run.confirmation not in (None, policy.NOT_NEEDED),
        )
        try:
            if isinstance(held, KeptFunction):
                self._call_and_keep(held, context)
            else:
                with held.around() if isinstance(held, HeldFunction) else contextlib.nullcontext():
                    self._call(context)
        except DryRunUnavailable:
            raise  # the seal could not be closed around the task: there is nothing to report
        except BaseException as error:
            whole = isinstance(error, NotCommitted | CommitUnknown) or (
                isinstance(error, SystemExit) and not error.code
            )
            self._attempt.report = self._report(context, complete=whole)
            raise
        self._attempt.report = self._report(context, complete=not self._stop.seen)

    def _call_and_keep(self, held: KeptFunction, context: Context) -> None:
        """Call the task, make its work last if nothing speaks against it, and do what waited for that."""
        leaving: SystemExit | None = None
        context.hold_effects_back()
        with held.around():
            try:
                self._call(context)
            except SystemExit as error:
                if error.code:
                    raise
                leaving = error
            if not self._stop.seen:
                held.keep(self._attempt, self._signals)
        if held.committed:
            held.seal.call_hooks()
            context.call_held_back()
        if leaving is not None:
            raise leaving

    def _call(self, context: Context) -> None:
        """A task that forks comes back here twice; the child leaves before it touches what is the run's."""
        try:
            try:
                function.call(self._task, context, self._values)
            except (
                DryRunUnavailable
            ) as error:  # of a connection; the task has begun, so the run is not refused
                raise DryRunStopped(error.message) from error
        except BaseException as error:
            if os.getpid() != self._owner:
                _leave_fork(error, self._mask)
            raise
        if os.getpid() != self._owner:
            _leave_fork(None, self._mask)

    def _report(self, context: Context, *, complete: bool) -> Report | None:
        if not isinstance(self._held, HeldFunction | KeptFunction):
            return None
        return masked(self._held.report(tuple(context.suppressed), complete=complete), self._mask)

    def _beat(self) -> Run | None:
        run = self._run
        return self._services.store.beat(run.id, run.fence, self._services.clock.now(), self._meter.current)

    def _tell(self, cause: stopping.Cause) -> None:
        """In a thread of its own: a terminal that takes nothing must not hold the supervisor up."""
        words = f"{cause.words}: the task is asked to end"
        insist = {"insist": "Ctrl-C once more ends it now"} if cause is stopping.INTERRUPT else {}
        threading.Thread(target=self._log.warning, args=[words], kwargs=insist, daemon=True).start()

    def _outcome(self) -> Outcome:
        if self._began is None:
            why = summary(self._attempt.error or RunStopped(), self._mask)
            return Outcome(status=Status.REFUSED, error=f"nothing ran: {why}")
        elapsed = self._services.clock.monotonic() - self._began
        return verdict(self._attempt, self._stop, duration_ms=round(elapsed * 1000), mask=self._mask)

    def _record(self, outcome: Outcome) -> Run:
        """The final status and the audit's ``outcome``, together; written once, whoever tries."""
        at = self._services.clock.now()
        try:
            return self._save(outcome, at)
        except (StoreUnavailable, RunNotFound) as error:
            raise self._left_behind(outcome, at, error) from error

    def _noted(self, run: Run) -> Run:
        """The run with the log's checkpoint, which the run's log keeps as well."""
        checkpoint = self._checkpoint()
        if checkpoint is None:
            return run
        if run.launcher == FOREGROUND:  # else standard error is the log, where the ending is told
            append(log_path(self._services.settings.state_dir, run.id), f"checkpoint {checkpoint}")
        return replace(run, checkpoint=str(checkpoint))

    def _checkpoint(self) -> Checkpoint | None:
        """The audit log's, now that the outcome is in it. The run is recorded: nothing here makes it fail."""
        if self._services.stand_in:
            return None
        try:
            found = look(self._services)
        except StoreUnavailable:
            return None
        if found.discrepancy is not None:
            self._services.say(f"WARNING: {found.discrepancy}")
        return found.present.checkpoint

    def _save(self, outcome: Outcome, at: datetime) -> Run:
        store, spool = self._services.store, self._services.spool
        while True:
            run = store.get(self._run.id)
            if run.fence == self._run.fence and run.status in EXECUTING | {Status.LOST}:
                ended = self._ended(run, outcome, at)
                back = run.status is Status.LOST  # somebody who could not see this process called it that
                told = event.outcome(ended, self._services.observer, at, recovered=back)
                try:
                    run = store.save(ended, told)
                except StoreConflict:
                    continue
            spool.release(run.id)  # else another process answers for it by now
            return run

    def _ended(self, run: Run, outcome: Outcome, at: datetime) -> Run:
        report = self._attempt.report
        document = report.document() if report else None
        if outcome.status is Status.INTERRUPTED and run.stop_requested:  # the signal was faster than the beat
            outcome = replace(outcome, status=Status.CANCELLED)
        return replace(
            run.ended(outcome, at),
            dry_run_report=document if run.dry_run else None,
            effects_report=None if run.dry_run else document,
            progress=self._meter.current if self._began is not None else None,
        )

    def _left_behind(self, outcome: Outcome, at: datetime, error: OneoffError) -> OutcomeUnrecorded:
        """Keep the outcome where the next command finds it; the error that says so, and holds it."""
        ended = self._ended(self._run, outcome, at)
        kept = self._keep(ended) or self._keep(_shortened(ended))
        return OutcomeUnrecorded(
            f"run {self._run.id} ended as {outcome.status}, and the store cannot take it: {error}",
            next_step="the outcome is printed above; "
            + ("the next oneoff command that reaches the store records it" if kept else "keep it"),
            document=_text(ended),
        )

    def _keep(self, ended: Run) -> bool:
        try:
            self._services.spool.write(ended.id, _text(ended).encode())
        except OSError:  # it is printed; a second place is all that is lost
            return False
        return True

    def _give_up(self) -> None:
        """The task does not end: record that from the supervisor's thread, and leave without it."""
        code, unrecorded = EXIT_CODES[Status.LOST], None
        try:
            self._children.end()
            outcome = self._outcome()
            try:
                code = EXIT_CODES[self._record(outcome).status]
            except OutcomeUnrecorded as error:
                unrecorded = error
            # The task's thread may hold the lock of a stream, or wait for a terminal that takes nothing.
            threading.Timer(LAST_WORDS_SECONDS, os._exit, [code]).start()
            if unrecorded is not None:
                _print_outcome(unrecorded)
            print(f"the task did not end by itself: {outcome.error}", file=sys.stderr, flush=True)
            if unrecorded is None and (checkpoint := self._checkpoint()) is not None:
                print(f"checkpoint {checkpoint}", file=sys.stderr, flush=True)
            self._output.close()
        finally:
            os._exit(code)

    def _diverted(self) -> AbstractContextManager[Terminal]:
        if self._run.launcher != FOREGROUND:  # its launcher keeps its output: a file, a pod's log
            return passed_on()
        return tee(log_path(self._services.settings.state_dir, self._run.id))


def _text(run: Run) -> str:
    return json.dumps(to_document(run))  # in ASCII: an error may quote what has no UTF-8


def _shortened(run: Run) -> Run:
    """What fits into the room set aside, where the disk has no more."""
    outcome = run.outcome
    if outcome is None or outcome.traceback is None:
        return replace(run, dry_run_report=None, effects_report=None)
    return replace(
        run,
        outcome=replace(outcome, traceback=outcome.traceback[-SHORT_TRACEBACK:]),
        dry_run_report=None,
        effects_report=None,
    )


def _print_outcome(error: OutcomeUnrecorded) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody listens
        print(f"ONEOFF-OUTCOME {error.document}", flush=True)


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
        with contextlib.suppress(Exception):  # the task may have closed or replaced it
            sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _leave_fork(error: BaseException | None, mask: Mask) -> NoReturn:
    """End the child of a task that forked as Python would have; it must not come near the run's record."""
    code = 1
    try:
        wanted = error.code if isinstance(error, SystemExit) else None if error is None else 1
        code = wanted if isinstance(wanted, int) else 0 if wanted is None else 1
        if isinstance(wanted, str):
            print(mask(wanted), file=sys.stderr)
        if error is not None and not isinstance(error, SystemExit):
            print(own_traceback(error, mask), file=sys.stderr, end="")
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)
