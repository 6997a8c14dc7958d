"""``kube render``: a task's Job or CronJob, made of a manifest or of the live release, without the app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from oneoff import policy
from oneoff.commands.cluster.catalogues import at_hand
from oneoff.commands.cluster.releases import Wanted, live
from oneoff.commands.cluster.remote import Remote, kubernetes_of, named_of
from oneoff.commands.confirmation import carried
from oneoff.commands.declared import command_task
from oneoff.commands.schedules import schedule_of
from oneoff.errors import NotDerivable, ReasonRequired, UsageError, did_you_mean
from oneoff.kube.checks.judging import check_network, check_selectors
from oneoff.kube.checks.place import Place, look, of_objects
from oneoff.kube.derivation.cronjobs import cronjob
from oneoff.kube.derivation.jobs import KINDS, Launch, Made, job
from oneoff.kube.release.pinning import is_pinned
from oneoff.kube.release.workload import Workload, find, flattened
from oneoff.schedules.schedule import Schedule
from oneoff.settings import EnvironmentSettings, Settings
from oneoff.tasks.registry import task_name
from oneoff.tasks.task import Task
from oneoff.types import RUN_ID, RunId, new_run_id


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """What is to be rendered."""

    task: str
    environment: str | None
    documents: Sequence[Any] = ()
    """Of the manifest, as they were read; none where the cluster is asked."""
    catalogue: Sequence[Task] | None = None
    """The tasks of the release."""
    arguments: tuple[str, ...] = ()
    """The task's own options."""
    run_id: str | None = None
    wants_job: bool = True
    wants_schedule: bool = False
    yes: bool = False
    confirm: str | None = None
    reason: str | None = None
    image: str | None = None
    nature: str | None = None
    """In place of the task's own, where nobody knows it."""
    actor: str = ""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What was rendered."""

    workload: Workload
    made: list[Made]
    notes: list[str] = field(default_factory=list)
    """What whoever applies it should know."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What is known of a task whose app is not imported."""

    task: Task
    believed: bool = False
    """Neither the settings nor a catalogue has it: there may be no such task."""

    @property
    def bare(self) -> tuple[str, ...] | None:
        """The command itself, where oneoff is not in the image."""
        return None if self.task.runner else self.task.command


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What the objects are made of."""

    workload: Workload
    place: Place
    pinned: str | None = None
    notes: tuple[str, ...] = ()


def render(settings: Settings, request: RenderRequest, now: datetime) -> Rendered:
    """Make the objects of a manifest, without a cluster.

    Raises:
        ManifestUnfit: the manifest has no such workload.
        NotDerivable: nobody can tell how the run is to be made.
        UsageError: what was asked for does not go together.
    """
    environment = named_of(settings, request.environment)
    where = kubernetes_of(environment)
    known = _known(settings, request)  # before the manifest: it is the smaller mistake
    objects = flattened(request.documents)
    workload = find(objects, where.workload, where.namespace)
    place = of_objects(objects, where.namespace or workload.namespace)
    return _rendered(known, environment, request, now, _Source(workload=workload, place=place))


def render_live(remote: Remote, request: RenderRequest, wanted: Wanted) -> Rendered:
    """Make the objects of a release as it is in its cluster; nothing is created there.

    So its tasks are taken as they are at hand, kept here or published, where no catalogue is given.

    Raises:
        UsageError: what was asked for does not go together.
        ManifestUnfit, NotDerivable, ClusterError: see :mod:`oneoff.kube.release.live`.
    """
    found = live(remote, wanted)
    if request.catalogue is None:
        request = replace(request, catalogue=at_hand(remote, found))
    known = _known(remote.settings, request)
    source = _Source(
        workload=found.workload,
        place=look(remote.cluster, found.workload),
        pinned=found.image,
        notes=found.notes,
    )
    return _rendered(known, remote.environment, request, remote.clock.now(), source)


def _rendered(
    known: _Known, environment: EnvironmentSettings, request: RenderRequest, now: datetime, source: _Source
) -> Rendered:
    where, workload = kubernetes_of(environment), source.workload
    made: list[Made] = []
    if request.wants_job:
        launch = _launch(known, environment, request, now)
        made.append(job(workload, where, replace(launch, pinned=source.pinned)))
    if request.wants_schedule:
        launch = _scheduled(known, environment, request)
        made.append(cronjob(workload, where, replace(launch, pinned=source.pinned), _schedule(known)))
    checks = [
        *check_selectors(source.place, made[0].derived.template),
        *check_network(source.place, workload, made[0].derived.template, where),
    ]
    for check in checks:
        if (check.name, check.state) == ("selectors", "failure"):
            raise NotDerivable(check.message, next_step=check.next_step)
    notes = [
        *source.notes,
        *_about(made[0], known),
        *(f"{check.message}: {check.next_step}" for check in checks if check.state != "ok"),
        *_refusals(known, environment, request),
    ]
    return Rendered(workload=workload, made=made, notes=notes)


def _known(settings: Settings, request: RenderRequest) -> _Known:
    known = _looked_up(settings, request)
    _check_arguments(known, request)
    return known


def _looked_up(settings: Settings, request: RenderRequest) -> _Known:
    name = task_name(request.task)
    for declared, command in settings.tasks.items():
        if task_name(declared) == name:
            return _Known(task=command_task(declared, command))
    if request.catalogue is None:
        return _Known(task=Task(name=name), believed=True)
    for task in request.catalogue:
        if task.name == name:
            return _Known(task=task)
    others = [task.name for task in request.catalogue]
    raise UsageError(f"the catalogue has no task {name}{did_you_mean(name, others)}")


def _check_arguments(known: _Known, request: RenderRequest) -> None:
    if known.bare is not None and request.arguments:
        raise UsageError(f"{known.task.name} is a bare command, and takes no options")
    secrets = {parameter.option for parameter in known.task.parameters if parameter.secret}
    for word in request.arguments:
        if word.partition("=")[0] in secrets:
            raise UsageError(
                f"{word.partition('=')[0]} is a secret, and a manifest is none",
                next_step="give the task a variable of the workload instead",
            )


def _launch(known: _Known, environment: EnvironmentSettings, request: RenderRequest, now: datetime) -> Launch:
    run_id = request.run_id or new_run_id(now)
    if not RUN_ID.fullmatch(run_id):
        raise UsageError(f"{run_id!r} is no run id: lowercase letters, digits and dashes, at most 40")
    given = [
        *(["--yes"] if request.yes else []),
        *(["--confirm", request.confirm] if request.confirm else []),
        *(["--reason", request.reason] if request.reason else []),
    ]
    return _common(known, environment, request, RunId(run_id), given)


def _scheduled(known: _Known, environment: EnvironmentSettings, request: RenderRequest) -> Launch:
    """A schedule carries its confirmation, which is that of whoever applies it: nobody can be asked later."""
    problem = policy.reason_problem(environment, request.reason, dry_run="--dry-run" in request.arguments)
    if problem and known.bare is None:
        raise ReasonRequired(problem, next_step="give one that holds for each run: --reason '…'")
    return _common(known, environment, request, None, carried(environment, request.reason))


def _common(
    known: _Known,
    environment: EnvironmentSettings,
    request: RenderRequest,
    run_id: RunId | None,
    given: Sequence[str],
) -> Launch:
    return Launch(
        task=known.task.name,
        environment=environment.name,
        run_id=run_id,
        actor=request.actor,
        arguments=(*given, *request.arguments),
        command=known.bare,
        environ=known.task.environ if known.bare else {},
        timeout=known.task.timeout,
        kind=KINDS[request.nature or known.task.nature],
        image=request.image,
    )


def _schedule(known: _Known) -> Schedule:
    if known.task.schedule is None:
        raise UsageError(
            f"no schedule of {known.task.name} is known",
            next_step="the app is not imported here: give --tasks FILE, which `oneoff tasks -o json` prints "
            "in the release, and with --env from here; or a schedule in "
            f"[tool.oneoff.tasks.{known.task.name}]",
        )
    return schedule_of(known.task, known.task.schedule)


def _about(made: Made, known: _Known) -> list[str]:
    """In what the run is not the app, and what nobody can know here."""
    image = made.derived.template["spec"]["containers"][0].get("image", "")
    return [
        *(
            [f"whether the release has a task {known.task.name} shows in the pod: see --tasks"]
            if known.believed
            else []
        ),
        *(
            []
            if is_pinned(image)
            else [f"{image} is no digest: what it names may change until the run starts"]
        ),
        *(f"{change.path}: {change.reason}" for change in made.derived.changes if change.action == "kept"),
        *(f"not the app: {departure}" for departure in made.derived.departures),
        *([f"differs from the app: {', '.join(made.identity.differs)}"] if made.identity.differs else []),
        *(
            []
            if known.task.timeout
            else [f"no time limit of {known.task.name} is known: its Job lives for a day at most"]
        ),
    ]


def _refusals(known: _Known, environment: EnvironmentSettings, request: RenderRequest) -> list[str]:
    """Why the run would be refused in its pod, where nobody can be asked."""
    if known.bare is not None or not request.wants_job:
        return []
    dry = "--dry-run" in request.arguments
    demand = policy.confirmation(known.task, environment, dry_run=dry)
    found = []
    if demand is not None and policy.accepted(demand, yes=request.yes, confirm=request.confirm) is None:
        option = f"--confirm {demand.typed}" if demand.typed else "--yes"
        found.append(f"nobody can be asked in a pod, and the run will be refused there: give {option}")
    problem = policy.reason_problem(environment, request.reason, dry_run=dry)
    return [*found, *([f"the run will be refused in its pod: {problem}"] if problem else [])]
