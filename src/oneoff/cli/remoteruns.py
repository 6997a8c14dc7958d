"""``oneoff logs``, ``wait`` and ``cancel`` of a run whose environment is in Kubernetes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from oneoff.cli.launch import leaving
from oneoff.commands import remoteruns
from oneoff.commands.options import Options
from oneoff.commands.remote import Remote
from oneoff.commands.remoteruns import Cancel
from oneoff.runs.run import Run


def logs(remote: Remote, reference: str, *, follow: bool) -> None:
    """Print it as it comes."""
    found = remoteruns.find(remote, reference)
    with leaving(found.run.id, found.run.environment):
        remoteruns.logs(remote, found, follow=follow, write=_write)


def wait(remote: Remote, reference: str) -> Run:
    found = remoteruns.find(remote, reference)
    with leaving(found.run.id, found.run.environment):
        return remoteruns.wait(remote, found)


def cancel(remote: Remote, reference: str, options: Options, *, force: bool) -> Run:
    found = remoteruns.find(remote, reference)
    with leaving(found.run.id, found.run.environment):
        return remoteruns.cancel(remote, found, Cancel(force=force, options=options))


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
