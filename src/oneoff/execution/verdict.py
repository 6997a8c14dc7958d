"""How a run ended, from all that is known of its task's end. Pure: the truth table of promise 5."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from oneoff.dryrun.report import DatabaseReport, Report
from oneoff.errors import (
    CommandFailed,
    CommitUnknown,
    DryRunStopped,
    NotCommitted,
    Refused,
    RunStopped,
)
from oneoff.execution.failure import own_traceback, summary
from oneoff.execution.stopping import Stop
from oneoff.runs.run import Outcome
from oneoff.runs.status import Status
from oneoff.tasks.masking import NO_SECRETS, Mask
from oneoff.types import JSONObject


@dataclass
class Attempt:
    """What is known of the task's end; filled in by whoever learns it."""

    command: bool = False
    error: BaseException | None = None
    exit_code: int | None = None
    signal: str | None = None
    report: Report | None = None
    committing: bool = False
    """It is in the middle of the one commit of a run whose effects are measured."""


def verdict(attempt: Attempt, stop: Stop, *, duration_ms: int, mask: Mask = NO_SECRETS) -> Outcome:
    """The outcome, with the run's secrets masked in its words.

    A function that never looked at the request to stop and came to its end has succeeded; one that looked,
    or that was ended by force, has not. A command is told by a signal and cannot say whether it heeded it:
    once asked, it counts as stopped even if it exits with 0.
    """
    outcome = _verdict(attempt, stop, duration_ms, mask)
    error, trace = outcome.error, outcome.traceback
    return replace(outcome, error=error and mask(error), traceback=trace and mask(trace))


def _verdict(attempt: Attempt, stop: Stop, duration_ms: int, mask: Mask) -> Outcome:
    exit_code, error = _exit(attempt, mask)
    known = Outcome(
        status=Status.SUCCEEDED, exit_code=exit_code, rows=_rows(attempt.report), duration_ms=duration_ms
    )
    if attempt.committing or isinstance(attempt.error, CommitUnknown):
        why = error or "the process was ended in the middle of its commit"
        return replace(known, status=Status.LOST, error=f"it is not known whether it was committed: {why}")
    committed = attempt.report is not None and attempt.report.committed is True
    if committed and error is None:
        return known
    if stop.cause is not None and (stop.seen or stop.forced or attempt.command):
        return replace(known, status=stop.cause.status, error=_stopped(stop.cause.words, error))
    if isinstance(attempt.error, Refused):
        words = "; ".join(filter(None, (attempt.error.message, attempt.error.next_step)))
        return replace(known, status=Status.REFUSED, error=words)
    if isinstance(attempt.error, KeyboardInterrupt):
        return replace(known, status=Status.INTERRUPTED, error="KeyboardInterrupt")
    if isinstance(attempt.error, NotCommitted):
        words = "; ".join(filter(None, (attempt.error.message, attempt.error.next_step)))
        return replace(known, status=Status.FAILED, error=words)
    attempts = attempt.report.all_attempts if attempt.report else ()
    if attempts and (error is None or isinstance(attempt.error, DryRunStopped)):
        held = "nothing was committed" if attempt.report and attempt.report.real else "the dry run held"
        tried = f"{held}, and the task tried what it may not: {attempts[0]}"
        return replace(known, status=Status.FAILED, error=tried)
    if error is not None:
        return replace(known, status=Status.FAILED, error=error, traceback=_traceback(attempt.error, mask))
    return known


def _exit(attempt: Attempt, mask: Mask) -> tuple[int | None, str | None]:
    """The exit code, where there is one, and what went wrong in one line, where something did."""
    error = attempt.error
    if isinstance(error, SystemExit):
        if error.code is None or error.code == 0:
            return 0, None
        if isinstance(error.code, int):
            return error.code, f"the task exited with code {error.code}"
        return 1, str(error.code)
    if isinstance(error, CommandFailed):
        return error.code, "; ".join(filter(None, (error.message, error.next_step)))
    if error is not None:
        return None, summary(error, mask)
    if attempt.signal is not None:
        return None, f"the command was ended by {attempt.signal}"
    if attempt.exit_code:
        return attempt.exit_code, f"the command exited with code {attempt.exit_code}"
    return attempt.exit_code, None


def _stopped(words: str, error: str | None) -> str:
    return f"{words}; {error}" if error and RunStopped.__name__ not in error else words


def _traceback(error: BaseException | None, mask: Mask) -> str | None:
    return (
        None if error is None or isinstance(error, SystemExit | CommandFailed) else own_traceback(error, mask)
    )


def _databases(report: Report | None) -> tuple[DatabaseReport, ...]:
    return report.databases if report else ()


def _rows(report: Report | None) -> JSONObject | None:
    """Rows per table where they were measured; a real run that did not commit has changed none.

    Tables of one name in several databases are counted together, as the shards of one table are.
    """
    if report is None or not all(database.measured for database in report.databases):
        return None
    if report.real and not report.committed:
        return {} if report.committed is False else None
    rows: dict[str, Counter[str]] = {}
    for table in (table for database in _databases(report) for table in database.tables if table.changed):
        rows.setdefault(table.table, Counter()).update(
            inserted=table.inserted, updated=table.updated, deleted=table.deleted
        )
    return {name: dict(counts) for name, counts in rows.items()}
