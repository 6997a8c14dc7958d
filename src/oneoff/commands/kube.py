"""``kube render``: the Job or CronJob of a task, made of a manifest without a cluster or the app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from oneoff import policy
from oneoff.commands.remote import kubernetes_of
from oneoff.errors import InvalidSettings, NotDerivable, ReasonRequired, UsageError
from oneoff.kube import selectors
from oneoff.kube.cronjobs import cronjob
from oneoff.kube.jobs import KINDS, Launch, Made, job
from oneoff.kube.names import cronjob_name
from oneoff.kube.objects import Object
from oneoff.kube.workload import Workload, find, flattened
from oneoff.schedules.schedule import CronError, Schedule, schedule
from oneoff.settings import EnvironmentSettings, KubernetesSettings, Settings
from oneoff.tasks.registry import task_name
from oneoff.tasks.task import Task
from oneoff.types import RUN_ID, RunId, new_run_id


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """What is to be rendered."""

    task: str
    environment: str | None
    documents: Sequence[Any]
    """Of the manifest, as they were read."""
    catalogue: Sequence[Any] | None = None
    """What `oneoff tasks -o json` has printed in the release."""
    arguments: tuple[str, ...] = ()
    """The task's own options."""
    run_id: str | None = None
    wants_job: bool = True
    wants_schedule: bool = False
    yes: bool = False
    confirm: str | None = None
    reason: str | None = None
    image: str | None = None
    kind: str = "one-shot"
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

    name: str
    believed: bool = False
    """Neither the settings nor a catalogue has it: there may be no such task."""
    command: tuple[str, ...] | None = None
    environ: dict[str, str] = field(default_factory=dict)
    confirm: str | None = None
    timeout: timedelta | None = None
    schedule: str | None = None
    time_zone: str = "UTC"
    secrets: frozenset[str] = frozenset()
    """The options whose values are secrets."""


def render(settings: Settings, request: RenderRequest, now: datetime) -> Rendered:
    """Make the objects.

    Raises:
        ManifestUnfit: the manifest has no such workload.
        NotDerivable: nobody can tell how the run is to be made.
        UsageError: what was asked for does not go together.
    """
    environment = settings.environment_named(request.environment)
    where = kubernetes_of(environment)
    known = _known(settings, request)
    _check_arguments(known, request)
    objects = flattened(request.documents)
    workload = find(objects, where.workload, where.namespace)
    made: list[Made] = []
    if request.wants_job:
        made.append(job(workload, where, _launch(known, environment, request, now)))
    if request.wants_schedule:
        scheduled = _scheduled(known, environment, request, workload)
        made.append(cronjob(workload, where, scheduled, _schedule(known)))
    _check_selectors(objects, made[0], workload, where)
    lost = selectors.policies_lost(
        objects, workload.pod_labels, made[0].derived.template["metadata"]["labels"], where.namespace
    )
    notes = [
        *_about(made[0], known),
        *(
            f"NetworkPolicy {name} is for the app's pods and not for the run: see network_labels"
            for name in lost
        ),
        *_refusals(known, environment, request),
    ]
    return Rendered(workload=workload, made=made, notes=notes)


def _known(settings: Settings, request: RenderRequest) -> _Known:
    name = task_name(request.task)
    declared = next((task for key, task in settings.tasks.items() if task_name(key) == name), None)
    if declared is not None:
        return _Known(
            name=name,
            command=None if declared.runner else declared.command,
            environ={} if declared.runner else dict(declared.environ),
            confirm=declared.confirm,
            timeout=declared.timeout,
            schedule=declared.schedule,
            time_zone=declared.time_zone,
        )
    if request.catalogue is None:
        return _Known(name=name, believed=True)
    for entry in request.catalogue:
        if isinstance(entry, dict) and entry.get("name") == name:
            try:
                return _of_catalogue(name, entry)
            except (TypeError, AttributeError, OverflowError) as error:
                raise UsageError(f"the catalogue's entry of {name} is not as oneoff prints it") from error
    raise UsageError(f"the catalogue has no task {name}")


def _of_catalogue(name: str, entry: dict[str, Any]) -> _Known:
    seconds = entry.get("timeout_seconds")
    properties = (entry.get("parameters") or {}).get("properties") or {}
    return _Known(
        name=name,
        confirm=entry.get("confirm"),
        timeout=timedelta(seconds=seconds) if seconds else None,
        schedule=entry.get("schedule"),
        time_zone=entry.get("time_zone") or "UTC",
        secrets=frozenset(
            f"--{parameter.replace('_', '-')}"
            for parameter, about in properties.items()
            if about.get("writeOnly")
        ),
    )


def _check_arguments(known: _Known, request: RenderRequest) -> None:
    if known.command is not None and request.arguments:
        raise UsageError(f"{known.name} is a bare command, and takes no options")
    for word in request.arguments:
        if word.partition("=")[0] in known.secrets:
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
    return _common(known, environment, request, RunId(run_id), request.actor, given)


def _scheduled(
    known: _Known, environment: EnvironmentSettings, request: RenderRequest, workload: Workload
) -> Launch:
    """A schedule carries its confirmation, which is that of whoever applies it: nobody can be asked later."""
    problem = policy.reason_problem(environment, request.reason, dry_run="--dry-run" in request.arguments)
    if problem and known.command is None:
        raise ReasonRequired(problem, next_step="give one that holds for each run: --reason '…'")
    given = [
        *(["--confirm", environment.name] if environment.protected else ["--yes"]),
        *(["--reason", request.reason] if request.reason else []),
    ]
    actor = f"cron:{cronjob_name(workload.name, known.name)}"
    return _common(known, environment, request, None, actor, given, kind="schedule")


def _common(
    known: _Known,
    environment: EnvironmentSettings,
    request: RenderRequest,
    run_id: RunId | None,
    actor: str,
    given: Sequence[str],
    kind: str = "human",
) -> Launch:
    return Launch(
        task=known.name,
        environment=environment.name,
        run_id=run_id,
        actor=actor,
        actor_kind=kind,
        arguments=(*given, *request.arguments),
        command=known.command,
        environ=known.environ,
        timeout=known.timeout,
        kind=KINDS[request.kind],
        image=request.image,
    )


def _schedule(known: _Known) -> Schedule:
    if known.schedule is None:
        raise UsageError(
            f"no schedule of {known.name} is known",
            next_step="the app is not imported here: give --tasks FILE, which `oneoff tasks -o json` prints "
            f"in the release, or a schedule in [tool.oneoff.tasks.{known.name}]",
        )
    try:
        return schedule(known.schedule, known.time_zone)
    except CronError as error:
        raise InvalidSettings(f"{known.name}: schedule {known.schedule!r}: {error}") from error


def _check_selectors(
    objects: Sequence[Object], made: Made, workload: Workload, where: KubernetesSettings
) -> None:
    labels = made.derived.template["metadata"]["labels"]
    found = selectors.counted_by(objects, labels, where.namespace or workload.namespace)
    if found:
        raise NotDerivable(
            f"{' and '.join(found)} would take the run for the app, by its labels",
            next_step="take from network_labels what they select by",
        )


def _about(made: Made, known: _Known) -> list[str]:
    """In what the run is not the app, and what nobody can know here."""
    image = made.derived.template["spec"]["containers"][0].get("image", "")
    pinned = "@sha256:" in image
    return [
        *(
            [f"whether the release has a task {known.name} shows in the pod: see --tasks"]
            if known.believed
            else []
        ),
        *([] if pinned else [f"{image} is no digest: what it names may change until the run starts"]),
        *(f"{change.path}: {change.reason}" for change in made.derived.changes if change.action == "kept"),
        *(f"not the app: {departure}" for departure in made.derived.departures),
        *([f"differs from the app: {', '.join(made.identity.differs)}"] if made.identity.differs else []),
        *(
            []
            if known.timeout
            else [f"no time limit of {known.name} is known: its Job lives for a day at most"]
        ),
    ]


def _refusals(known: _Known, environment: EnvironmentSettings, request: RenderRequest) -> list[str]:
    """Why the run would be refused in its pod, where nobody can be asked."""
    if known.command is not None or not request.wants_job:
        return []
    dry = "--dry-run" in request.arguments
    task = Task(name=task_name(known.name), confirm=known.confirm)
    demand = policy.confirmation(task, environment, dry_run=dry)
    found = []
    if demand is not None and policy.accepted(demand, yes=request.yes, confirm=request.confirm) is None:
        option = f"--confirm {demand.typed}" if demand.typed else "--yes"
        found.append(f"nobody can be asked in a pod, and the run will be refused there: give {option}")
    problem = policy.reason_problem(environment, request.reason, dry_run=dry)
    return [*found, *([f"the run will be refused in its pod: {problem}"] if problem else [])]
