"""``run --env`` where the environment is in Kubernetes: a Job that is the app, save that it runs the task.

What is asked for is checked and confirmed here, where somebody can be asked; the Job carries it on. Nothing
of the app is imported, and no store is opened: the pod does that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from oneoff.commands.cluster.creating import create
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.confirmation import confirm
from oneoff.commands.options import Options, check_effects
from oneoff.errors import (
    AlreadyStarted,
    ClusterError,
    ClusterUnreachable,
    Interrupted,
    InvalidParameters,
    LaunchUnknown,
    NotDerivable,
    ObjectMissing,
    Problem,
    Refused,
    UsageError,
)
from oneoff.kube.api.cluster import JOBS, Selection
from oneoff.kube.checks.preflight import preflight
from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import ENVIRONMENT, INTENT, KINDS, RUN_ID, TASK, Launch, Made, job
from oneoff.kube.objects import Object, annotations_of, metadata, name_of
from oneoff.kube.release.live import Live
from oneoff.policy import NOT_NEEDED
from oneoff.runs.intent import KUBERNETES, read_intent
from oneoff.runs.run import Actor, Outcome, Release, Run
from oneoff.runs.status import Status
from oneoff.settings.kubernetes import SecretKey
from oneoff.tasks import parameters
from oneoff.tasks.parameters import Parameter
from oneoff.tasks.secret import SECRET_MARK
from oneoff.tasks.task import RAW, Task
from oneoff.types import RUN_ID as RUN_ID_FORM
from oneoff.types import JSONObject, RunId

if TYPE_CHECKING:
    from oneoff.kube.following.verdict import Verdict

LONGEST_WORD: Final = 131_071
"""Bytes of one word of a command line: Linux's MAX_ARG_STRLEN, less the NUL at its end (execve(2))."""
_MEASURED: Final[dict[bool | None, list[str]]] = {None: [], True: ["--effects"], False: ["--no-effects"]}


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """One wish to run a task of a release."""

    run_id: RunId
    task: Task
    """As the release's catalogue has it, or the settings for one that is run bare."""
    texts: Mapping[str, Any] = field(default_factory=dict)
    """What was given for its parameters, as text, by their names; checked."""
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    """Where the values of its secret parameters are, by their names."""
    options: Options = field(default_factory=Options)
    again: Run | None = None
    """The earlier run whose parameters are taken."""
    bare: bool = False
    """The command itself is run, without oneoff, which the image has not."""
    live: Live
    image: str | None = None
    """In place of the release's own: a departure."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """To add to the app's own, or in place of some: a departure."""


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A run whose Job is in the cluster."""

    run: Run
    job: Object
    """As the API server has it."""
    container: str
    before: bool = False
    """The Job was there already."""


def launch(remote: Remote, request: LaunchRequest) -> Launched:
    """Check, ask, and create the Job; nothing is created where anything is wrong.

    Raises:
        UsageError: options that do not go together, or do not reach a pod.
        NotConfirmed, ReasonRequired: with the command that would work.
        NotDerivable: nobody can tell how the run is to be made.
        AlreadyStarted: the id is that of another run.
        ClusterError: the cluster does not answer, or does not permit it.
    """
    run, made = prepare(remote, request, record_of(remote, request))
    return put(remote, run, made)


def prepare(remote: Remote, request: LaunchRequest, run: Run) -> tuple[Run, Made]:
    """The run as it is confirmed, and its Job; nothing is created yet, and nobody is asked in vain."""
    _check_options(request)
    _check_lengths(request)
    _check_id(remote, request)
    _look(remote, request, _made(remote, request, run))
    how = confirm(
        request.task,
        remote.environment,
        request.options,
        asker=remote.asker,
        say=remote.say,
        what=f"{run.in_words}, release {request.image or request.live.image or request.live.revision}",
    )
    run = replace(run, confirmation=how)
    made = _made(remote, request, run)
    intent = read_intent(made.derived.template["metadata"]["annotations"][INTENT])
    assert intent is not None
    return replace(run, launch=intent.launch), made


def _made(remote: Remote, request: LaunchRequest, run: Run) -> Made:
    return job(request.live.workload, remote.where, launch_of(remote, request, run))


def _look(remote: Remote, request: LaunchRequest, made: Made) -> None:
    """Everything that would keep it from starting, or do harm, at once."""
    check_departures(remote, made)
    checks = preflight(remote.cluster, request.live, made, remote.where)
    failures = [check for check in checks if check.state == "failure"]
    if failures:
        steps = dict.fromkeys(check.next_step for check in failures if check.next_step)
        raise NotDerivable(
            "\n".join(f"{check.name}: {check.message}" for check in failures), next_step="; ".join(steps)
        )
    warnings = [check.message for check in checks if check.state == "warning"]
    for note in dict.fromkeys([*request.live.notes, *warnings]):
        remote.say(f"note: {note}")


def put(remote: Remote, run: Run, made: Made) -> Launched:
    """Create the Job of a run that is confirmed.

    Raises:
        LaunchUnknown: it may be there.
        AlreadyStarted: another one has its name.
        ClusterError: the server refuses it.
    """
    _ = remote.known  # as it was before this run
    try:
        created, before = create(remote.cluster, made.object)
    except ClusterUnreachable as lost:
        raise LaunchUnknown(
            f"{lost.message}: whether run {run.id} was launched is not known",
            next_step=f"`oneoff wait {run.id} --env {run.environment}` tells; the same again with "
            f"--run-id {run.id} launches nothing twice",
        ) from lost
    job = _ours(created, made.object, run.id)
    return Launched(run=run, job=job, container=made.derived.container, before=before)


def attend_launched(
    remote: Remote, launched: Launched, *, write: Callable[[bytes], None], say: Callable[[str], None]
) -> Verdict:
    """Follow a run to its end, writing its log.

    Raises:
        Interrupted: the cluster is away for minutes; the run goes on.
        KeyboardInterrupt: the run goes on.
    """
    from oneoff.kube.following.follow import follow  # by now the Job is there, and nobody waits for imports

    try:
        verdict = follow(
            remote.cluster,
            launched.job,
            container=launched.container,
            start_within=remote.where.start_within,
            write=write,
            say=say,
            withdraw=True,  # it would start later, and nobody would see it
        )
    except ClusterError as error:
        raise Interrupted(
            f"{error.message}: run {launched.run.id} goes on unwatched",
            next_step=f"`oneoff wait {launched.run.id} --env {launched.run.environment}` comes back to it",
        ) from error
    if verdict.words is not None and not launched.before:  # else it may be of long ago
        remote.saw(verdict.words.log, verdict.words.checkpoint)
    if verdict.unfinished:  # a sidecar keeps it from ending
        with suppress(ObjectMissing):
            remote.cluster.delete(JOBS, name_of(launched.job), uid=str(metadata(launched.job)["uid"]))
        say(f"the Job {name_of(launched.job)} was deleted")
    return verdict


def ended(run: Run, verdict: Verdict, at: datetime) -> Run:
    """The run as it stands by what the cluster says of it; under the id of the attempt that has ended it."""
    message = verdict.message or verdict.reason or None
    words = verdict.words
    last = RunId(words.id) if words else run.id
    return replace(
        run,
        id=last,
        rerun_of=run.rerun_of if last == run.id else run.id,
        status=verdict.status,
        ended_at=at if verdict.ended else None,
        outcome=Outcome(status=verdict.status, exit_code=verdict.exit_code, error=message)
        if verdict.ended
        else None,
        checkpoint=words.checkpoint if words else None,
    )


def _check_options(request: LaunchRequest) -> None:
    options, task = request.options, request.task
    if not RUN_ID_FORM.fullmatch(request.run_id):
        raise UsageError(f"{request.run_id!r} is no run id: lowercase letters, digits and dashes, at most 40")
    if options.break_glass:
        raise UsageError(
            "--break-glass does not reach into Kubernetes: what it notes would be lost with the pod",
            next_step="bring the store back, or run the task where its notes stay, with --here",
        )
    if options.effects.expect is not None and Path(options.effects.expect).is_file():
        raise UsageError(
            "--expect FILE does not reach a pod",
            next_step="name the dry run whose report it is by its id, which the environment's store knows",
        )
    check_effects(options.effects, task, dry_run=options.dry_run, elsewhere=False)
    if request.bare and options.dry_run:
        raise UsageError(
            f"{task.name} runs without oneoff, and nothing there can hold it to a dry run",
            next_step="`oneoff kube render` shows the Job; put oneoff into the image for dry runs",
        )
    if request.bare and request.texts:
        raise UsageError(f"{task.name} is a bare command, and takes no options")


def _check_lengths(request: LaunchRequest) -> None:
    """Raise InvalidParameters of values with which the container could not be started."""
    problems = [
        Problem(
            parameter.name,
            f"is {max(sizes):,} bytes long; allowed: {LONGEST_WORD:,}, as much as one word of the pod's "
            "command line holds",
        )
        for parameter in request.task.parameters
        if (sizes := [len(word.encode()) for word in _words(parameter, request.texts.get(parameter.name))])
        and max(sizes) > LONGEST_WORD
    ]
    if problems:
        raise InvalidParameters(
            problems, next_step="put it where the app can read it, and give the task its name"
        )


def _check_id(remote: Remote, request: LaunchRequest) -> None:
    """Raise AlreadyStarted where a Job of another task has the run's id: it would be taken for this one."""
    if request.options.run_id is None:
        return
    mine = Selection(labels={**MANAGED, RUN_ID: request.run_id})
    for one in remote.cluster.list(JOBS, mine).items:
        task = annotations_of(one).get(TASK)
        if task not in (None, request.task.name):
            raise AlreadyStarted(
                f"run {request.run_id} is of the task {task}, not {request.task.name}",
                next_step="a new run needs another --run-id",
            )


def record_of(remote: Remote, request: LaunchRequest) -> Run:
    """The run as it is asked for."""
    task, options, now = request.task, request.options, remote.clock.now()
    known = tuple(parameter for parameter in task.parameters if not parameter.secret)
    if request.again is None:
        frozen = parameters.freeze(known, parameters.parse(known, request.texts))
    else:
        frozen = dict(request.again.parameters)
    frozen |= dict.fromkeys(request.secrets, SECRET_MARK)
    return Run(
        id=request.run_id,
        app=remote.settings.project,
        task=task.name,
        status=Status.LAUNCHED,
        requested_at=now,
        actor=Actor(kind=remote.actor_kind, name=remote.actor),
        release=Release(),
        parameters=frozen,
        environment=remote.environment.name,
        protected=remote.environment.protected,
        dry_run=options.dry_run,
        reason=options.reason,
        command=task.command,
        timeout_seconds=task.timeout.total_seconds() if task.timeout else None,
        launcher=KUBERNETES,
        rerun_of=request.again.id if request.again else None,
        launch=_about(remote, request),
    )


def _about(remote: Remote, request: LaunchRequest) -> JSONObject:
    live = request.live
    return {
        "context": remote.cluster.context,
        "namespace": remote.cluster.namespace,
        "workload": live.workload.reference,
        "revision": live.revision,
        "pinned": live.image is not None,
        "config": dict(live.config),
    }


def launch_of(remote: Remote, request: LaunchRequest, run: Run) -> Launch:
    """What the Job is made of."""
    task = request.task
    about = {name: value for name, value in (run.launch or {}).items() if name != "workload"}
    return Launch(
        task=task.name,
        environment=run.environment,
        run_id=run.id,
        actor=run.actor.name,
        actor_kind=run.actor.kind,
        requested_at=run.requested_at,
        confirmation=run.confirmation,
        about=about,
        arguments=_arguments(request, run),
        secrets={_option(task.parameters, name): key for name, key in request.secrets.items()},
        command=task.command if request.bare else None,
        raw=task.command if task.name == RAW else None,
        dry_run=run.dry_run,
        again=request.again.id if request.again else None,
        environ={**(task.environ if request.bare else {}), **request.variables},
        timeout=task.timeout,
        kind=KINDS[task.nature],
        image=request.image,
        pinned=request.live.image,
    )


def _arguments(request: LaunchRequest, run: Run) -> tuple[str, ...]:
    """The options of the run and of the task, as the pod's command line has them."""
    options = request.options
    effects = options.effects
    given = [
        *(["--dry-run"] if options.dry_run else []),
        *(word for level in options.require_level for word in ("--require-level", level)),
        *_confirmed(options, run),
        *(["--reason", run.reason] if run.reason else []),
        *_MEASURED[effects.measured],
        *(["--sample", str(effects.sample)] if effects.sample is not None else []),
        *(["--values"] if effects.values else []),
        *(["--expect", effects.expect] if effects.expect is not None else []),
        *(["--tolerance", effects.tolerance] if effects.tolerance is not None else []),
    ]
    for parameter in request.task.parameters:
        given += _words(parameter, request.texts.get(parameter.name))
    return tuple(given)


def _confirmed(options: Options, run: Run) -> list[str]:
    """What was confirmed here, and no more: a question that nobody has seen stays unanswered in the pod.

    The settings in the image may demand what those here do not.
    """
    if run.confirmation in (None, NOT_NEEDED):
        named, answered = options.confirm is not None, options.yes
    else:
        named, answered = run.protected or options.confirm is not None, True
    return [*(["--confirm", run.environment] if named else []), *(["--yes"] if answered else [])]


def _words(parameter: Parameter, text: Any) -> list[str]:
    if text is None:
        return []
    if isinstance(text, bool):
        return [parameter.options[0 if text else -1]]
    return [
        word
        for one in (text if isinstance(text, list | tuple) else [text])
        # An @ names a file, which was read here.
        for word in (parameter.option, f"@{one}" if one.startswith("@") else one)
    ]


def _option(known: Sequence[Parameter], name: str) -> str:
    return next(parameter.option for parameter in known if parameter.name == name)


def check_departures(remote: Remote, made: Made) -> None:
    """Raise Refused where a run would not be the app, and its environment does not allow that."""
    departures = made.derived.departures
    if departures and remote.environment.protected and not remote.where.departures:
        raise Refused(
            f"{remote.environment.name} is protected, and the run would not be the app: "
            + "; ".join(departures),
            next_step="leave it out, or allow it for all runs: departures = true in the environment's "
            "kubernetes table",
        )


def _ours(found: Object, wanted: Object, run_id: RunId) -> Object:
    """The Job that is there, if it is that of this very wish."""
    annotations = annotations_of(found)
    environment = annotations.get(ENVIRONMENT)
    if annotations.get(RUN_ID) != run_id:
        raise AlreadyStarted(
            f"a Job {name_of(found)} is there, and it is not oneoff's",
            next_step="give another --run-id",
        )
    if _does(found) != _does(wanted):
        raise AlreadyStarted(
            f"run {run_id} was launched before, as something else",
            next_step=f"a new run needs another --run-id; `oneoff logs {run_id} --env {environment}` "
            "shows that one",
        )
    return found


def _does(one: Object) -> list[Any]:
    """What a Job runs; all that a second wish of the same run has in common with the first."""
    return [
        [container.get(key) for key in ("name", "command", "args")]
        for container in one["spec"]["template"]["spec"]["containers"][:1]
    ]
