from __future__ import annotations

import pytest

from oneoff.dryrun.report import DatabaseReport, Report, TableEffect
from oneoff.errors import CommandFailed, CommitUnknown, DryRunUnavailable, NotCommitted, RunStopped
from oneoff.execution import stopping
from oneoff.execution.stopping import Stop
from oneoff.execution.verdict import Attempt, verdict
from oneoff.runs.run import Outcome
from oneoff.runs.status import Status


def judge(attempt: Attempt, stop: Stop | None = None) -> Outcome:
    return verdict(attempt, stop or Stop(), duration_ms=7)


def asked(cause: stopping.Cause, *, seen: bool = False, forced: bool = False) -> Stop:
    stop = Stop()
    stop.request(cause)
    if seen:
        stop.look()
    if forced:
        stop.force()
    return stop


def test_a_task_that_comes_to_its_end_has_succeeded() -> None:
    """The plain case."""
    assert judge(Attempt()) == Outcome(status=Status.SUCCEEDED, duration_ms=7)


def test_a_task_that_raises_has_failed_with_its_own_traceback() -> None:
    """The reader sees the class, the message, and the frames of the task."""
    try:
        raise ValueError("no such flight\nsecond line")
    except ValueError as error:
        outcome = judge(Attempt(error=error))
    assert (outcome.status, outcome.error) == (Status.FAILED, "ValueError: no such flight")
    assert outcome.traceback is not None
    assert "test_verdict.py" in outcome.traceback


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "words"),
    [
        (None, Status.SUCCEEDED, 0, None),
        (0, Status.SUCCEEDED, 0, None),
        (3, Status.FAILED, 3, "exited with code 3"),
        ("no luck", Status.FAILED, 1, "no luck"),
    ],
)
def test_sys_exit_means_what_it_means_to_the_shell(
    code: object, status: Status, exit_code: int, words: str | None
) -> None:
    """`sys.exit` in a task is an exit code and no error of ours."""
    outcome = judge(Attempt(error=SystemExit(code)))
    assert (outcome.status, outcome.exit_code) == (status, exit_code)
    assert outcome.traceback is None
    assert (words or "") in (outcome.error or "")


def test_a_command_keeps_its_exit_code() -> None:
    """The child's code is the record's."""
    assert judge(Attempt(command=True, exit_code=0)).status is Status.SUCCEEDED
    failed = judge(Attempt(command=True, exit_code=42))
    assert (failed.status, failed.exit_code) == (Status.FAILED, 42)
    killed = judge(Attempt(command=True, signal="SIGKILL"))
    assert (killed.status, killed.exit_code) == (Status.FAILED, None)
    assert "SIGKILL" in (killed.error or "")


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (stopping.INTERRUPT, Status.INTERRUPTED),
        (stopping.TERMINATE, Status.INTERRUPTED),
        (stopping.CANCEL, Status.CANCELLED),
        (stopping.TIMEOUT, Status.TIMED_OUT),
    ],
)
def test_a_task_that_saw_the_request_has_not_succeeded(cause: stopping.Cause, status: Status) -> None:
    """Returning early is no success, whatever was the cause."""
    assert judge(Attempt(), asked(cause, seen=True)).status is status
    assert judge(Attempt(error=RunStopped()), asked(cause, forced=True)).status is status
    assert judge(Attempt(error=OSError("x")), asked(cause, seen=True)).status is status


def test_a_task_that_never_looked_and_came_to_its_end_has_succeeded() -> None:
    """All of its work is done; a request that came too late changes nothing."""
    assert judge(Attempt(), asked(stopping.CANCEL)).status is Status.SUCCEEDED


def test_a_command_that_was_told_to_stop_has_not_succeeded_even_with_exit_code_0() -> None:
    """Exiting with 0 on SIGTERM is good manners, and says nothing about the work."""
    outcome = judge(Attempt(command=True, exit_code=0), asked(stopping.TERMINATE))
    assert (outcome.status, outcome.exit_code) == (Status.INTERRUPTED, 0)


def test_a_dry_run_that_is_not_enforceable_is_refused() -> None:
    """Found out in the middle, it is a refusal and no failure of the task."""
    assert judge(Attempt(error=DryRunUnavailable("no TEMP"))).status is Status.REFUSED


def test_an_attempt_that_was_held_back_fails_the_dry_run() -> None:
    """Also where the task swallowed the error."""
    database = DatabaseReport(
        database="d",
        level="sealed",
        attempts=("COMMIT",),
        tables=(TableEffect(table="t", deleted=2), TableEffect(table="u")),
    )
    outcome = judge(Attempt(report=Report(databases=(database,))))
    assert outcome.status is Status.FAILED
    assert "COMMIT" in (outcome.error or "")
    assert outcome.rows == {"t": {"inserted": 0, "updated": 0, "deleted": 2}}


def test_an_exception_that_cannot_be_shown_is_still_told() -> None:
    """A broken `__str__` does not hide that the task failed."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    outcome = judge(Attempt(error=Broken()))
    assert outcome.status is Status.FAILED
    assert "Broken" in (outcome.error or "")


def _measured(*, committed: bool | None) -> Report:
    table = TableEffect(table="t", deleted=2)
    database = DatabaseReport(database="db", level="sealed", tables=(table,))
    return Report(databases=(database,), real=True, committed=committed)


def test_a_run_that_could_not_commit_has_failed_without_a_traceback() -> None:
    """It is not the task's error; nothing has changed, and that is measured."""
    ended = judge(
        Attempt(error=NotCommitted("nothing was committed: why"), report=_measured(committed=False))
    )
    assert (ended.status, ended.error, ended.rows) == (Status.FAILED, "nothing was committed: why", {})
    assert ended.traceback is None


@pytest.mark.parametrize("attempt", [Attempt(committing=True), Attempt(error=CommitUnknown("lost"))])
def test_an_end_in_the_middle_of_the_commit_is_not_known(attempt: Attempt) -> None:
    """Neither success nor failure is claimed, and no rows."""
    attempt.report = _measured(committed=None)
    ended = judge(attempt)
    assert (ended.status, ended.rows) == (Status.LOST, None)


def test_a_request_to_end_after_the_commit_is_too_late() -> None:
    """What was committed is a success, with its rows."""
    ended = judge(Attempt(report=_measured(committed=True)), asked(stopping.CANCEL, forced=True))
    assert ended.status is Status.SUCCEEDED
    assert ended.rows == {"t": {"inserted": 0, "updated": 0, "deleted": 2}}


def test_rows_that_nobody_counted_are_not_none_changed() -> None:
    """A dry run without its effects knows nothing of them."""
    report = Report(databases=(DatabaseReport(database="db", level="copy", measured=False),))
    assert judge(Attempt(report=report)).rows is None


def test_a_frameworks_command_fails_in_its_own_words() -> None:
    """The error is what the command says, the exit code its own, and there is no traceback to read."""
    outcome = judge(Attempt(error=CommandFailed("no such poll", next_step="look again", code=4)))
    assert outcome == Outcome(
        status=Status.FAILED, exit_code=4, error="no such poll; look again", duration_ms=7
    )
