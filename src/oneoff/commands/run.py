"""``run``, ``exec`` and ``rerun``: record the intent, confirm, then execute here or in another process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from oneoff import own, policy
from oneoff.audit import event
from oneoff.audit.event import Event
from oneoff.commands import effects
from oneoff.commands.attend import attend, settle
from oneoff.commands.confirmation import confirm
from oneoff.commands.elsewhere import check_elsewhere
from oneoff.commands.options import Options, check_effects
from oneoff.commands.runs import wait
from oneoff.dryrun.expect import Expectation
from oneoff.errors import (
    AlreadyStarted,
    InvalidParameters,
    LockHeld,
    LogChanged,
    OneoffError,
    OutcomeUnrecorded,
    Refused,
    RunNotFound,
    StoreConflict,
    StoreUnavailable,
    UsageError,
)
from oneoff.execution.execute import Execution, claim
from oneoff.execution.failure import in_words
from oneoff.execution.held import HeldCommand, HeldFunction
from oneoff.execution.kept import KeptFunction
from oneoff.execution.signals import Signals, finishing
from oneoff.execution.stopping import Stop
from oneoff.protocols import Services
from oneoff.runs.attempts import CUT_OFF, attempt, number_of
from oneoff.runs.intent import KUBERNETES
from oneoff.runs.run import FOREGROUND, Outcome, Release, Run
from oneoff.runs.status import EXECUTING, FINAL, Status
from oneoff.settings import EnvironmentSettings
from oneoff.tasks import parameters
from oneoff.tasks.code import code_digest
from oneoff.tasks.masking import Mask
from oneoff.tasks.registry import Registry
from oneoff.tasks.task import RAW, RESUMABLE, Task
from oneoff.types import RUN_ID, JSONObject, RunId, new_run_id

STAND_BY = 2.0
"""Seconds between two looks of a pod that waits for another one's run."""
REPORT_WITHIN = 10.0
"""Seconds that a launched process gets to report before the launching command goes on without it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One wish to run a task."""

    task: Task
    registry: Registry
    """The app that the task belongs to."""
    values: Callable[[], Mapping[str, Any]] = dict
    """Reads the parameters; raises InvalidParameters with all problems at once."""
    given: bool = False
    """Whether any parameter was given, beside the id of a run that is recorded already."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Secrets as they were asked for or read; they go to another process by a pipe only."""
    options: Options = field(default_factory=Options)
    rerun_of: Run | None = None
    first: RunId | None = None
    """The run that this is a further attempt of."""
    expectation: Expectation | None = None
    """What ``--expect`` names; found before anything is recorded."""
    elsewhere: Callable[[], Registry] | None = None
    """Loads the app as a process of its own would find it; None where it was found in that very way."""


def run(services: Services, request: Request) -> Run:
    """Run a task, here or detached; returns the run as it stands afterwards.

    Raises:
        InvalidParameters: nothing was recorded, nothing ran.
        Refused: a class below it says why; the refusal is recorded.
    """
    attend(services)
    existing = _existing(services, request)
    if existing is not None:
        return _take_up(services, request, existing)
    environment = services.settings.environment_named(request.options.environment)
    request = _with_expectation(services, request)
    values = request.values()
    wish = _record_of(services, request, environment, values)
    try:
        requested = services.store.create(wish, _asked_for(services, wish))
    except AlreadyStarted:  # the same id, started at the same moment
        return _take_up(services, request, services.store.get(wish.id))
    try:
        if request.options.detach and request.elsewhere is not None:
            check_elsewhere(request.registry, request.task, request.elsewhere)
        confirmed = _confirm(services, request, environment, requested)
        if request.options.detach:
            return _launch(services, request, confirmed)
        return _execute(services, request, confirmed, values)
    except (LogChanged, OutcomeUnrecorded):
        raise  # nothing more is written into a log that is not the one that was seen, or that takes nothing
    except OneoffError as refusal:
        _refuse(services, requested.id, refusal)
    except (KeyboardInterrupt, EOFError):
        if services.store.get(requested.id).status is not Status.REQUESTED:
            raise  # launched already: whoever watches it lets go of it
        _refuse(services, requested.id, Refused("interrupted before it started: nothing ran"))


def _with_expectation(services: Services, request: Request) -> Request:
    options = request.options
    elsewhere = options.detach or options.break_glass
    check_effects(options.effects, request.task, dry_run=options.dry_run, elsewhere=elsewhere)
    return replace(request, expectation=effects.expected(services, options.effects, request.task))


def refuse(services: Services, request: Request, refusal: OneoffError) -> NoReturn:
    """Record a wish that comes to nothing before its task is known, and raise the refusal.

    The request's task is a name and no more; its app has the name by which it was asked for.

    Raises:
        UsageError, StoreUnavailable: it could not be recorded.
    """
    attend(services)
    existing = _existing(services, request)
    if existing is not None:
        _not_this_one(services, existing, refusal)
    environment = services.settings.environment_named(request.options.environment)
    wish = _record_of(services, request, environment, {})
    created = services.store.create(wish, _asked_for(services, wish))
    _refuse(services, created.id, refusal)


def task_again(services: Services, earlier: Run, registry: Registry, options: Options) -> Task:
    """The task of an earlier run, in the same app.

    Raises:
        Refused: this is another app; recorded.
        TaskNotFound: the app has no such task any more.
    """
    if earlier.app != registry.name:
        wish = Request(task=Task(name=earlier.task), registry=registry, options=options, rerun_of=earlier)
        refusal = Refused(
            f"run {earlier.id} is of the app {earlier.app}, and this one is {registry.name}: nothing ran",
            next_step=f"name the app {earlier.app}: oneoff --app MODULE:NAME rerun {earlier.id}",
        )
        refuse(services, wish, refusal)
    return registry.get(earlier.task)


def _record_of(
    services: Services, request: Request, environment: EnvironmentSettings, values: Mapping[str, Any]
) -> Run:
    task, options, now = request.task, request.options, services.clock.now()
    intent = services.intent if options.here else None
    return Run(
        id=options.run_id or new_run_id(now),
        app=request.registry.name,
        task=task.name,
        status=Status.REQUESTED,
        requested_at=(intent and intent.requested_at) or now,
        actor=services.actor,
        release=release_of(services, request.registry, task),
        parameters=parameters.freeze(task.parameters, values),
        environment=environment.name,
        protected=environment.protected,
        dry_run=options.dry_run,
        reason=options.reason,
        command=task.command,
        lock=None if options.dry_run else task.lock,
        timeout_seconds=task.timeout.total_seconds() if task.timeout else None,
        launcher=KUBERNETES if intent else services.launcher.name if options.detach else FOREGROUND,
        launch=intent.launch_of(request.first or options.run_id) if intent else None,
        rerun_of=request.rerun_of.id if request.rerun_of else None,
        process=services.processes.current(),
    )


def _asked_for(services: Services, wish: Run) -> Event:
    """At the time of this record: a launcher may have been asked some while ago."""
    return event.requested(wish, services.observer, services.clock.now())


def _existing(services: Services, request: Request) -> Run | None:
    wanted = request.options.run_id
    if wanted is None:
        return None
    if not RUN_ID.fullmatch(wanted):
        raise UsageError(f"{wanted!r} is no run id: lowercase letters, digits and dashes, at most 40")
    try:
        existing = services.store.get(wanted)
    except RunNotFound:
        return None
    if existing.task != request.task.name:
        raise UsageError(f"run {existing.id} is of the task {existing.task}, not {request.task.name}")
    return existing


def _take_up(services: Services, request: Request, existing: Run) -> Run:
    """The id is known: execute what was launched under it, and nothing a second time."""
    other = _differs(request, existing)
    if other:
        _not_this_one(
            services,
            existing,
            AlreadyStarted(
                f"run {existing.id} was asked for {other}", next_step="a new run needs another --run-id"
            ),
        )
    if _goes_on(services, request, existing):
        return _go_on(services, request, existing)
    if existing.status in FINAL:
        services.say(f"run {existing.id} has ended before: {existing.status}; it is not started again")
        return existing
    if existing.status is not Status.LAUNCHED:
        state = "is running" if existing.status in EXECUTING else "waits for its confirmation"
        there = AlreadyStarted(
            f"run {existing.id} {state} already, {_where(existing)}",
            next_step=f"`oneoff wait {existing.id}` waits for its end",
        )
        if request.options.here and services.intent is not None:
            ended = _stand_by(services, existing, there)
            return _go_on(services, request, ended) if _goes_on(services, request, ended) else ended
        _turn_away(services, existing, there)
    if request.options.effects.given:
        _not_this_one(
            services,
            existing,
            AlreadyStarted(f"run {existing.id} was launched without options of its effects"),
        )
    if existing.release.code != code_digest(request.task):
        _not_this_one(
            services,
            existing,
            Refused(
                f"the code of {existing.task} has changed since run {existing.id} was asked for: nothing ran",
                next_step="ask for a new run",
            ),
        )
    try:
        values = parameters.thaw(request.task.parameters, existing.parameters, request.secrets)
        return _execute(services, request, existing, values)
    except (Refused, InvalidParameters) as refusal:
        _refuse(services, existing.id, refusal)


def _differs(request: Request, existing: Run) -> str | None:
    """How this wish differs from what was asked for under the same id; None where it does not."""
    task, options = request.task, request.options
    if request.first and existing.rerun_of != (request.rerun_of and request.rerun_of.id):
        return "as no attempt of this run"
    if task.name != RAW and existing.app != request.registry.name:
        return f"in the app {existing.app}, and this one is {request.registry.name}"
    if options.dry_run != existing.dry_run:
        return "as a dry run" if existing.dry_run else "as a real run"
    if options.environment is not None and options.environment != existing.environment:
        return f"in the environment {existing.environment}"
    if task.command != existing.command:
        return "with another command"
    if request.given and parameters.freeze(task.parameters, request.values()) != existing.parameters:
        return "with other parameters"
    return None


def _not_this_one(services: Services, existing: Run, refusal: OneoffError) -> NoReturn:
    """Refuse to take a run up. Where this is the process that was started for it, that is its end."""
    if existing.status is Status.LAUNCHED and existing.process == services.processes.current():
        _refuse(services, existing.id, refusal)
    _turn_away(services, existing, refusal)


def _stand_by(services: Services, existing: Run, there: AlreadyStarted) -> Run:
    """A second pod of a run that is in hand: it runs nothing, waits, and ends as the run does.

    Kubernetes may start a Job's pod twice. Whichever of the two ended first, by failure or not, would end the
    Job, and with it the pod that is at work.
    """
    _note(services, existing, there)
    services.say(f"{there.message}; this one waits for its end")
    return wait(services, existing, every=STAND_BY)


def _goes_on(services: Services, request: Request, ended: Run) -> bool:
    """Whether this is the pod that the cluster has put in the place of one that it took away."""
    in_pod = request.options.here and services.intent is not None
    return in_pod and request.task.nature == RESUMABLE and ended.status in CUT_OFF


def _go_on(services: Services, request: Request, ended: Run) -> Run:
    """The next attempt of a run that was cut off, as a run of its own: what is recorded of this one stays."""
    first = request.first or ended.id
    again = attempt(first, (number_of(first, ended.id) or 1) + 1)
    services.say(f"run {ended.id} was cut off ({ended.status}); {again} goes on")
    options = replace(request.options, run_id=again)
    return run(services, replace(request, options=options, rerun_of=ended, first=first))


def _turn_away(services: Services, existing: Run, refusal: OneoffError) -> NoReturn:
    """Record an attempt that is refused and leaves the run of its id as it is; raise the refusal."""
    _note(services, existing, refusal)
    raise refusal


def _note(services: Services, existing: Run, refusal: OneoffError) -> None:
    attempt = replace(existing, outcome=Outcome(status=Status.REFUSED, error=in_words(refusal)))
    services.store.record(event.refused(attempt, services.observer, services.clock.now()))


def _where(run: Run) -> str:
    process = run.process
    return f"on {process.host} as process {process.pid}" if process else "elsewhere"


def _confirm(services: Services, request: Request, environment: EnvironmentSettings, run: Run) -> Run:
    """The run with the way in which it was confirmed. Raises what :func:`confirm` raises."""
    options = request.options
    policy.check_place(environment, here=options.here)
    how = confirm(
        request.task, environment, options, asker=services.asker, say=services.say, what=run.in_words
    )
    if options.here and services.intent is not None and (options.confirm or how != policy.NOT_NEEDED):
        how = services.intent.confirmation or how  # asked where somebody was; an option tells it here
    return replace(run, confirmation=how)


def _execute(services: Services, request: Request, run: Run, values: Mapping[str, Any]) -> Run:
    mask = Mask.of(values)
    with _masking(mask):
        kept = request.options.effects.kept
        held = _hold(services, request, run, mask) if run.dry_run or kept else None
    with Signals(Stop()) as signals:
        try:
            claimed = _claim(services, run)
        except StoreConflict:
            return _overtaken(services, run)
        if claimed.protected:
            _anchor(services, request)
        execution = Execution(
            claimed,
            request.task,
            values,
            services,
            signals=signals,
            open_database=lambda: services.databases.resolve(request.registry.database),
            held=held,
        )
        ended = execution.perform(keep_stdout=request.options.keep_stdout)
        with finishing():
            _anchor(services, request)
        return ended


def _hold(
    services: Services, request: Request, run: Run, mask: Mask
) -> HeldFunction | HeldCommand | KeptFunction:
    from oneoff.commands import dryrun  # an ordinary run needs none of it

    options, registry = request.options, request.registry
    measure = effects.measure(services, registry, options.effects, dry_run=run.dry_run)
    if not run.dry_run:
        return dryrun.hold_to_the_end(
            services, registry, mask=mask, measure=measure, expectation=request.expectation
        )
    environment = services.settings.environment_named(run.environment)
    return dryrun.hold(
        services,
        request.task,
        registry,
        environment,
        mask=mask,
        measure=measure,
        require=options.require_level,
    )


def _anchor(services: Services, request: Request) -> None:
    """Whoever rewrites the log from here on cannot rewrite what an anchor has of it."""
    if services.anchors:
        from oneoff.commands.checkpoints import publish  # nothing else of a run needs it

        own.unheld(lambda: publish(services, stdout_taken=request.options.keep_stdout))


def _claim(services: Services, run: Run) -> Run:
    try:
        return claim(run, services)
    except LockHeld:
        attend(services)  # the holder may be gone
        return claim(run, services)


def _overtaken(services: Services, run: Run) -> Run:
    """Between the request and the start somebody cancelled the run or started it elsewhere."""
    now = services.store.get(run.id)
    if now.status in FINAL:
        return now
    raise AlreadyStarted(f"run {run.id} was started meanwhile, {_where(now)}")


@contextlib.contextmanager
def _masking(mask: Mask) -> Iterator[None]:
    """What is refused here has the app's own words in it, and is recorded and shown without its secrets."""
    try:
        yield
    except OneoffError as error:
        error.reword(mask)
        raise


def _launch(services: Services, request: Request, run: Run) -> Run:
    launched = services.store.save(run.to(Status.LAUNCHED, launcher=services.launcher.name))
    process = services.launcher.launch(launched, request.secrets)
    with contextlib.suppress(StoreConflict):  # it has reported already, and says itself which process it is
        launched = services.store.save(replace(launched, process=process))
    deadline = services.clock.monotonic() + REPORT_WITHIN
    with contextlib.suppress(KeyboardInterrupt):  # it runs on without us
        while launched.status is Status.LAUNCHED and services.clock.monotonic() < deadline:
            time.sleep(0.05)
            attend(services)
            launched = services.store.get(run.id)
    return launched


def _refuse(services: Services, run_id: RunId, refusal: OneoffError) -> NoReturn:
    """Record the refusal where the store still can, and raise it."""
    with contextlib.suppress(StoreUnavailable):  # the refusal itself matters more to the reader
        settle(
            services,
            run_id,
            Outcome(status=Status.REFUSED, error=in_words(refusal)),
            only=frozenset({Status.REQUESTED, Status.LAUNCHED}),
        )
    raise refusal


def release_of(services: Services, registry: Registry, task: Task | None = None) -> Release:
    """The release that a run of this app, and of this task, would belong to."""
    here = services.release
    return replace(here, version=registry.version or here.version, code=code_digest(task) if task else None)


def rerun_differences(services: Services, earlier: Run, registry: Registry, task: Task) -> list[str]:
    """What has changed in the code since ``earlier``, in words; empty where nothing is known to have."""
    then, now = earlier.release, release_of(services, registry, task)
    names = {"version": "version", "commit": "commit", "code": "the task's package"}
    return [
        f"{words}: {_brief(getattr(then, name))} then, {_brief(getattr(now, name))} now"
        for name, words in names.items()
        if getattr(then, name) != getattr(now, name)
    ]


def _brief(text: str | None) -> str:
    return "unknown" if text is None else text[:12]


def frozen_parameters(run: Run) -> JSONObject:
    """The parameters of an earlier run, for a new one."""
    return dict(run.parameters)
