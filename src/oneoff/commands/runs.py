"""The verbs on runs that exist: find, follow, wait, cancel."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from oneoff.audit import event
from oneoff.commands.attend import attend, say_no_store, seen
from oneoff.errors import Refused, RunNotFound, StoreConflict, UsageError
from oneoff.logs import log_path
from oneoff.protocols import RunQuery, Services
from oneoff.runs.intent import KUBERNETES
from oneoff.runs.run import Outcome, Run
from oneoff.runs.status import ACTIVE, EXECUTING, Status
from oneoff.types import RunId

LATEST = "@latest"
POLL = 0.2
"""Seconds between two looks while following a run."""


def find(services: Services, query: RunQuery) -> list[Run]:
    """The runs that match, newest first, none of them claiming to be alive when it is not."""
    if attend(services):
        say_no_store(services)
        return services.store.find(query)
    statuses = query.statuses
    # A run that is shown as ended may be recorded as one that is not, or as lost.
    wider = (
        query if statuses is None else replace(query, statuses=statuses | ACTIVE | {Status.LOST}, limit=None)
    )
    runs = [seen(services, run) for run in services.store.find(wider)]
    return [run for run in runs if statuses is None or run.status in statuses][: query.limit]


def get(services: Services, reference: str) -> Run:
    """One run by its id, the unique beginning of its id, or ``@latest``.

    Raises:
        RunNotFound: there is none.
        UsageError: the beginning fits several.
    """
    told = attend(services)
    run = _referred(services, reference)
    return run if told else seen(services, run)


def _referred(services: Services, reference: str) -> Run:
    if reference == LATEST:
        newest = services.store.find(RunQuery(limit=1))
        if not newest:
            where = services.settings.elsewhere
            step = f"; runs elsewhere with {where}" if where else ""
            raise RunNotFound("there is no run yet", next_step=f"`oneoff tasks` lists what can be run{step}")
        return newest[0]
    with suppress(RunNotFound):
        return services.store.get(RunId(reference))
    found = services.store.find(RunQuery(id_prefix=reference, limit=6))
    if not found:
        where = services.settings.elsewhere
        step = f"`oneoff runs` lists those here; elsewhere with {where}" if where else ""
        raise RunNotFound(f"there is no run {reference!r}", next_step=step)
    if len(found) == 1:
        return found[0]
    listed = ", ".join(run.id for run in found[:5])
    raise UsageError(f"{reference!r} fits several runs: {listed}", next_step="give more of the id")


def wait(services: Services, run: Run, *, every: float = POLL) -> Run:
    """The run once it has ended; looked at so often, in seconds.

    Raises:
        UsageError: nothing tells this store of its end.
    """
    _check_told(run, "wait")
    while run.active:
        time.sleep(every)
        run = _again(services, run)
    return run


def _check_told(run: Run, verb: str) -> None:
    """Of a bare command in Kubernetes its Job tells, and takes what is asked of it."""
    if run.watched:
        raise UsageError(
            f"run {run.id} is a bare command in {run.environment}, and its Job alone tells of it",
            next_step=f"oneoff {verb} {run.id} --env {run.environment}",
        )


def _again(services: Services, run: Run) -> Run:
    told = attend(services)
    run = services.store.get(run.id)
    return run if told else seen(services, run)


def follow_log(services: Services, run: Run, *, follow: bool) -> Iterator[bytes]:
    """What the run has printed, and with ``follow`` what it goes on to print until it has ended.

    Raises:
        RunNotFound: the log is not on this machine.
        Refused: this user may not read it.
    """
    if follow:
        _check_told(run, "logs -f")
    path = log_path(services.settings.state_dir, run.id)
    position = 0
    while True:
        # Look at the run before the file: what was written before the end is then surely read.
        if follow and run.active:
            run = _again(services, run)
        position, chunks = _read_on(path, position)
        yield from chunks
        if not (follow and run.active):
            break
        time.sleep(POLL)
    if position == 0 and run.started_at is not None and not path.exists():
        host = run.process.host if run.process else "another machine"
        step = f"oneoff logs {run.id} --env {run.environment}" if run.launcher == KUBERNETES else ""
        raise RunNotFound(f"the log of run {run.id} is not here: it ran on {host}", next_step=step)


def _read_on(path: Path, position: int) -> tuple[int, list[bytes]]:
    chunks = []
    try:
        with path.open("rb") as file:
            file.seek(position)
            while chunk := file.read(65536):
                chunks.append(chunk)
                position += len(chunk)
    except FileNotFoundError:
        pass
    except PermissionError as error:
        raise Refused(
            f"the log {path} cannot be read by user {os.geteuid()}: {error.strerror}",
            next_step=f"give this user read access to it and its folder {path.parent}",
        ) from error
    return position, chunks


def cancel(services: Services, run: Run, *, force: bool, reason: str | None) -> Run:
    """Ask a run to end; with ``force`` its task is ended without waiting for a safe point.

    Raises:
        Refused: the run has ended already.
        UsageError: nothing of it listens to this store.
    """
    _check_told(run, "cancel")
    while True:
        if not run.active:
            raise Refused(f"run {run.id} has ended already: {run.status}")
        now = services.clock.now()
        if run.status in EXECUTING:
            wanted = replace(
                run if run.status is Status.STOPPING else run.to(Status.STOPPING),
                stop_requested="kill" if force or run.stop_requested == "kill" else "cancel",
            )
        else:
            wanted = run.ended(Outcome(status=Status.CANCELLED, error="cancelled before it started"), now)
        try:
            return services.store.save(
                wanted,
                event.cancelled(
                    wanted, services.observer, now, by=services.actor, force=force, reason=reason
                ),
            )
        except StoreConflict:
            run = services.store.get(run.id)
