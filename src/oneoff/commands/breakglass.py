"""Break-glass: a run without the store, loudly; recorded and reviewed afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from oneoff.audit import event, sublog
from oneoff.audit.sublog import SubLog
from oneoff.commands.looks import with_subjects
from oneoff.errors import AlreadyStarted, Refused, UsageError
from oneoff.protocols import EventQuery, Services, SubLogFile
from oneoff.runs.document import from_document
from oneoff.runs.run import BREAK_GLASS, Outcome, Run
from oneoff.runs.status import Status
from oneoff.types import RunId, rfc3339

SILENCE = timedelta(seconds=60)
"""A record that nobody touched for this long is that of a process that is gone, where that cannot be seen."""


def take_in(services: Services) -> None:
    """Record the runs that went by without the store, each once and whole.

    What was changed since it was written is left where it is, and told.
    """
    if (
        services.sub_logs is None or services.no_store
    ):  # what stands for a store that is not there keeps nothing
        return
    for file in services.sub_logs.pending():
        try:
            found, run = _read(file)
        except ValueError as error:
            services.say(str(error))
            continue
        if run is None or _at_work(services, run, file):
            continue
        if _take_in(services, run, found):
            _release(services, file)
        else:
            services.say(f"the store has another run {run.id}: the break-glass record {file.path} stays")


def _read(file: SubLogFile) -> tuple[SubLog, Run | None]:
    """The record and the run as it was last; raises ValueError where it does not fit."""
    try:
        found = sublog.parse(file.content)
        return found, from_document(found.entries[-1]["run"]) if found.entries else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        words = f"the break-glass record {file.path} does not fit, and is not taken in: {error}"
        raise ValueError(words) from error


def unfit(services: Services) -> list[str]:
    """What is wrong with records that wait, each in words."""
    problems = []
    for file in services.sub_logs.pending() if services.sub_logs else ():
        try:
            _read(file)
        except ValueError as error:
            problems.append(str(error))
    return problems


def _at_work(services: Services, run: Run, file: SubLogFile) -> bool:
    if not run.active or run.process is None:
        return False
    alive = services.processes.alive(run.process)
    return services.clock.now() - file.changed_at < SILENCE if alive is None else alive


def _take_in(services: Services, run: Run, found: SubLog) -> bool:
    """Whether the store has the run now."""
    run = replace(run, actor=with_subjects(run.actor, services.store), launcher=BREAK_GLASS)
    opened = event.about_actor(
        "breakglass.opened",
        run.actor,
        services.observer,
        run.requested_at,
        reason=run.reason,
        environment=run.environment,
        recorded_at=rfc3339(services.clock.now()),
        count=found.frontier.size,
        root=found.frontier.root.hex(),
    )
    told = [replace(opened, run_id=run.id)]
    told += [event.from_json(entry["event"], run.actor) for entry in found.entries]
    if run.active:
        run, ending = _ended(services, run)
        told.append(ending)
    try:
        services.store.adopt(run, told)
    except AlreadyStarted:  # an earlier command did it and was killed, or does it right now
        return services.store.get(run.id).launcher == BREAK_GLASS
    services.say(f"recorded run {run.id}, which broke the glass: {run.status}; it waits for its review")
    return True


def _ended(services: Services, run: Run) -> tuple[Run, event.Event]:
    """Its process is gone and left no word of its end."""
    now = services.clock.now()
    if run.status is Status.REQUESTED:
        gone = "its process ended before the task started; nothing ran"
        run = run.ended(Outcome(status=Status.REFUSED, error=gone), now)
        return run, event.refused(run, services.observer, now)
    error = "its process is gone without a word; what it did is not known"
    run = run.ended(Outcome(status=Status.LOST, error=error), now)
    return run, event.outcome(run, services.observer, now, evidence="its break-glass record has no outcome")


def _release(services: Services, file: SubLogFile) -> None:
    assert services.sub_logs is not None
    try:
        services.sub_logs.release(file)
    except OSError as error:  # it is recorded, and will not be a second time
        services.say(f"the break-glass record {file.path} cannot be removed: {error.strerror}")


def open_reviews(services: Services) -> list[RunId]:
    """The runs that broke the glass and that nobody has reviewed."""
    reviewed = {found.columns["run_id"] for found in _found(services, "breakglass.reviewed")}
    opened = [found.columns["run_id"] for found in _found(services, "breakglass.opened")]
    return [RunId(str(run_id)) for run_id in opened if run_id not in reviewed]


def _found(services: Services, type_: str) -> list[event.StoredEvent]:
    return services.store.search(EventQuery(type=type_))


def review(services: Services, run: Run, *, reason: str) -> None:
    """Record that somebody looked at a run that broke the glass.

    Raises:
        UsageError: it did not.
        Refused: it was reviewed before.
    """
    if run.launcher != BREAK_GLASS:
        raise UsageError(
            f"run {run.id} did not break the glass", next_step="`oneoff doctor` names those that did"
        )
    if run.id not in open_reviews(services):
        raise Refused(f"run {run.id} was reviewed before")
    now = services.clock.now()
    told = event.about_actor("breakglass.reviewed", services.actor, services.observer, now, reason=reason)
    services.store.record(replace(told, run_id=run.id))
