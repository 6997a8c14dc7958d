"""``oneoff logs``, ``wait`` and ``cancel`` of a run whose environment is in Kubernetes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial

from oneoff.cli.launch import letting_go
from oneoff.cli.session import Session, tell
from oneoff.commands.cluster import runs as remoteruns
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.cluster.runs import Cancel, RemoteRun
from oneoff.commands.options import Options
from oneoff.errors import OneoffError, Refused, UsageError
from oneoff.runs.run import Run


def logs(session: Session, remote: Remote, reference: str, *, follow: bool) -> None:
    """Print it as it comes."""
    found = remoteruns.find(remote, reference)
    with letting_go(found.run.id, remote.environment.name):
        told = remoteruns.logs(remote, found, follow=follow, write=_write)
    _record(session, remote, found, told)


def wait(session: Session, remote: Remote, reference: str) -> Run:
    found = remoteruns.find(remote, reference)
    with letting_go(found.run.id, remote.environment.name):
        told = remoteruns.wait(remote, found)
    _record(session, remote, found, told)
    return told


def cancel(session: Session, remote: Remote, reference: str, options: Options, *, force: bool) -> Run:
    found = remoteruns.find(remote, reference)
    with letting_go(found.run.id, remote.environment.name):
        ask = None if found.bare else partial(_ask, remote, options.reason, force)
        told = remoteruns.cancel(remote, found, Cancel(force=force, options=options, ask=ask))
    _record(session, remote, found, told, reason=options.reason)
    return told


def _record(
    session: Session, remote: Remote, found: RemoteRun, told: Run, *, reason: str | None = None
) -> None:
    """The end of a bare command, where its record is in the store here: no pod records it."""
    if not found.bare or told.outcome is None:
        return
    from oneoff.commands.cluster.collecting import is_open_here, record_end

    try:
        if is_open_here(session.reading, told.id):  # to look makes no store where there is none
            record_end(session.services, remote, told, found.job, reason=reason)
    except OneoffError as error:
        tell(f"the end of run {told.id} is not recorded: {error.message}")


def _ask(remote: Remote, reason: str | None, force: bool, run: Run) -> bool:
    """Through the store, so that it may end at its next safe point, and the log has who asked.

    Whoever wants it gone at once waits for that record, and not for long. Where it cannot be asked, its pod
    is told by a signal, as its Job goes.
    """
    from oneoff.commands.cluster import errands
    from oneoff.commands.cluster.telling import SOON

    words = ["cancel", run.id, *(["--force"] if force else []), *(["--reason", reason] if reason else [])]
    try:
        answer = errands.run(remote, words, within=SOON if force else None)
        if answer.exit_code == 0:
            return True
        remote.say(answer.stderr.decode(errors="replace").strip())
    except (Refused, UsageError) as error:
        remote.say(f"run {run.id} could not be asked to end: {error.message}")
    return False


def confirming(
    reference: str, *, environment: str, force: bool, reason: str | None, yes: bool, confirm: str | None
) -> Options:
    """How the cancelling is confirmed, and the command that would have worked."""

    def command_with(missing: Sequence[str]) -> str:
        words = ["oneoff", "cancel", reference, "--env", environment, *(["--force"] if force else [])]
        if reason and not any(option.startswith("--reason") for option in missing):
            words += ["--reason", reason]
        return " ".join([*map(shlex.quote, words), *missing])

    return Options(
        environment=environment, yes=yes, confirm=confirm, reason=reason, command_with=command_with
    )


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
