"""The Job of a run: a pod template that was derived, and the settings with which it is run once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from oneoff.errors import NotDerivable
from oneoff.kube.derivation.derive import MANAGED, Derived, Room, Wish, derive, escaped
from oneoff.kube.derivation.identity import Identity, identity
from oneoff.kube.names import job_name, label_value
from oneoff.kube.objects import Object, canonical, named
from oneoff.kube.release.workload import Workload, container_of
from oneoff.runs.intent import Intent, write_intent
from oneoff.settings import KubernetesSettings
from oneoff.settings.kubernetes import SecretKey
from oneoff.tasks.task import RESUMABLE
from oneoff.types import JSONObject, RunId

PREFIX: Final = "oneoff.dev/"
RUN_ID: Final = f"{PREFIX}run-id"
TASK: Final = f"{PREFIX}task"
ENVIRONMENT: Final = f"{PREFIX}environment"
ACTOR: Final = f"{PREFIX}actor"
RELEASE: Final = f"{PREFIX}release"
"""The image, as the run names it."""
WORKLOAD: Final = f"{PREFIX}workload"
INTENT: Final = f"{PREFIX}intent"
"""What the launcher knows, for the run's record: see :mod:`oneoff.runs.intent`."""
DRY_RUN: Final = f"{PREFIX}dry-run"
"""``true`` where nothing of the run is to stay."""
RESULT: Final = f"{PREFIX}result"
"""``expected`` where the run says itself how it ended; without its word it has not succeeded."""
IDENTITY: Final = f"{PREFIX}identity"
"""The digests of the workload, as JSON."""
DIFFERS: Final = f"{PREFIX}differs"
"""The digests of the run where they are others, as JSON; without it they are the same."""
CANCELLED_BY: Final = f"{PREFIX}cancelled-by"
"""Who cancelled the run, before its Job was deleted."""
CANCEL_REASON: Final = f"{PREFIX}cancel-reason"
DEPARTURES: Final = f"{PREFIX}departures"
"""In what the run is not the app, one on each line."""
SCHEDULE: Final = f"{PREFIX}schedule"
"""The CronJob that a Job is of, by its name; it stays where the CronJob is gone."""

OWN_VARIABLES: Final = frozenset({"ONEOFF_STORE", "ONEOFF_STATE", "ONEOFF_INTENT", "ONEOFF_JOB"})
"""By these a run knows what it is."""
STATE: Final = "oneoff-state"
"""The volume for a run's log and its outcome's room: the image's own folders may not be written."""
STATE_PATH: Final = "/run/oneoff"
SECRETS: Final = "oneoff-secrets"
"""The volume with the values of a task's secret parameters, a file each."""
SECRETS_PATH: Final = "/run/oneoff-secrets"
TEMPORARY: Final = "oneoff-tmp"
"""The volume for a dry run's temporary files, where the app has no place for any."""
TEMPORARY_PATH: Final = "/tmp"
TERMINATION_LOG: Final = "/dev/termination-log"
"""Where Kubernetes reads the last words of a container."""

LONGEST: Final = timedelta(days=1)
"""How long a Job lives whose task has no time limit: a pod that cannot start would wait for ever."""
KEPT_FOR: Final = timedelta(days=3)
"""How long an ended Job stays to be looked at."""

_UNDISTURBED: Final = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
_NEVER_REPEATED: Final = [2, 3, 5]
"""Exit codes of a run that was not understood, refused or cancelled: nobody wants the same again."""
_DECIDED: Final = [1, *_NEVER_REPEATED, 6]
"""Those with which a run that could go on has ended all the same: it failed, or its time was up."""
_DISRUPTION: Final = {
    "action": "Ignore",
    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
}
"""A drain, an eviction, a preemption: no failure of the run, and no end of it. Its deadline is."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a task's Job has to be careful about."""

    retries: int
    """How often a pod that failed is replaced."""
    grace: int
    """Seconds that it gets to stop, at least."""
    resumes: bool = False
    """Whether another pod goes on where the cluster took one away; a node may be cleared of it, too."""


KINDS: Final = {
    "one-shot": Kind(retries=0, grace=30),
    "migration": Kind(retries=0, grace=60),
    RESUMABLE: Kind(retries=3, grace=60, resumes=True),
}
"""The first two are not repeated: nobody can tell how far they came."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One run as it is to be started."""

    task: str
    environment: str
    run_id: RunId | None = None
    """None for a schedule, each of whose Jobs is a run of its own."""
    actor: str
    """Who asked: for a run by hand the name that the API server has for them."""
    actor_kind: str = "human"
    requested_at: datetime | None = None
    confirmation: str | None = None
    """How it was confirmed where it was asked for."""
    about: JSONObject = field(default_factory=dict)
    """What else the launcher knows of the release, for the record."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """What else it says of the actor: see :class:`oneoff.runs.intent.Intent`."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """Further annotations of oneoff's own."""
    arguments: tuple[str, ...] = ()
    """The task's options, and what the pod is told of the confirmation."""
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    """Where the values of the task's secret parameters are, by the parameter's option."""
    command: tuple[str, ...] | None = None
    """The bare command, where oneoff is not in the image."""
    raw: tuple[str, ...] | None = None
    """The command of a run that is no task's: of ``oneoff exec``."""
    dry_run: bool = False
    again: RunId | None = None
    """The earlier run that is repeated: of ``oneoff rerun``."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables that the app has not, or has otherwise; those of a task oneoff in the image sets itself."""
    timeout: timedelta | None = None
    kind: Kind = KINDS["one-shot"]
    image: str | None = None
    """In place of the app's own: a departure."""
    pinned: str | None = None
    """The digest by which the app's own runs, where one is known."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """An object to create, with what there is to say about it."""

    object: Object
    derived: Derived
    identity: Identity


def job(workload: Workload, settings: KubernetesSettings, launch: Launch) -> Made:
    """The Job of one run; the same each time for the same run.

    Raises:
        ManifestUnfit, NotDerivable: see :func:`oneoff.kube.derive.derive`.
        NotDerivable: the run would find no store.
    """
    assert launch.run_id is not None
    made = pod(workload, settings, launch)
    head = head_of(workload, settings, launch, job_name(launch.task, launch.run_id), made)
    spec = job_spec(made, launch, deadline(launch.timeout, settings.start_within)) | {
        "ttlSecondsAfterFinished": int(KEPT_FOR.total_seconds())
    }
    return Made(
        object={"apiVersion": "batch/v1", "kind": "Job", "metadata": head, "spec": spec},
        derived=made.derived,
        identity=made.identity,
    )


def deadline(timeout: timedelta | None, start_within: timedelta) -> timedelta:
    """How long the Job may be active, waiting for a node included; ten years at most."""
    return min(timeout or LONGEST, timedelta(days=3650)) + start_within


def pod(workload: Workload, settings: KubernetesSettings, launch: Launch) -> Made:
    """The pod template of a run, compared with its source."""
    source = container_of(workload, settings.container)
    if launch.command is None:
        check_store(source, workload, settings)
    wish = Wish(
        argv=_argv(settings, launch),
        environ=_environ(settings, launch),
        departures=frozenset(launch.environ),
        labels=_labels(launch),
        annotations={
            **_annotations(workload, launch, str(launch.image or launch.pinned or source.get("image") or "")),
            **({} if launch.kind.resumes else _UNDISTURBED),
        },
        image=launch.image,
        pinned=launch.pinned,
        grace=launch.kind.grace,
        rooms=_rooms(source, launch),
    )
    derived = derive(workload, settings, wish)
    own = OWN_VARIABLES | {STATE, SECRETS, TEMPORARY}
    compared = identity(workload.template, derived.template, derived.container, own=own, pinned=launch.pinned)
    # Last: what it says of the derivation is known only now.
    derived.template["metadata"]["annotations"][INTENT] = write_intent(
        _intent(workload, launch, derived, compared)
    )
    return Made(object=derived.template, derived=derived, identity=compared)


def _intent(workload: Workload, launch: Launch, derived: Derived, compared: Identity) -> Intent:
    container = named(derived.template["spec"]["containers"], derived.container) or {}
    return Intent(
        run_id=launch.run_id,
        kind=launch.actor_kind,
        actor=launch.actor,
        requested_at=launch.requested_at,
        confirmation=launch.confirmation,
        launch={
            **launch.about,
            "workload": workload.reference,
            "image": str(container.get("image") or ""),
            "identity": dict(compared.source),
            "differs": {part: compared.result[part] for part in compared.differs},
            "departures": list(derived.departures),
        },
        claims=launch.claims,
    )


def _rooms(source: Object, launch: Launch) -> list[Room]:
    rooms = []
    if launch.command is None:
        rooms.append(state_room())
    if launch.dry_run and _closed(source):
        volume: Object = {"name": TEMPORARY, "emptyDir": {}}
        reason = "a dry run copies and lends files there, and the image may not be written"
        rooms.append(Room(volume=volume, path=TEMPORARY_PATH, reason=reason))
    if launch.secrets:
        # The option's own name is the file's: two options may name one key of one Secret.
        sources = [
            {"secret": {"name": one.secret, "items": [{"key": one.key, "path": option.lstrip("-")}]}}
            for option, one in launch.secrets.items()
        ]
        volume = {"name": SECRETS, "projected": {"sources": sources}}
        rooms.append(
            Room(volume=volume, path=SECRETS_PATH, reason="the task's secret parameters", read_only=True)
        )
    return rooms


def _closed(source: Object) -> bool:
    """Whether the app has no place for temporary files."""
    mounted = {str(mount.get("mountPath")).rstrip("/") for mount in source.get("volumeMounts") or []}
    closed = (source.get("securityContext") or {}).get("readOnlyRootFilesystem") is True
    return closed and TEMPORARY_PATH not in mounted


def state_room() -> Room:
    """What oneoff in a pod may write to: the image's own folders may be closed."""
    return Room(volume={"name": STATE, "emptyDir": {}}, path=STATE_PATH, reason="room to write in")


def head_of(
    workload: Workload, settings: KubernetesSettings, launch: Launch, name: str, made: Made
) -> Object:
    """The metadata of a Job or a CronJob."""
    annotations = made.derived.template["metadata"]["annotations"]
    own = {key: value for key, value in annotations.items() if key.startswith(PREFIX)}
    own[IDENTITY] = canonical(made.identity.source)
    if made.identity.differs:
        own[DIFFERS] = canonical({part: made.identity.result[part] for part in made.identity.differs})
    if made.derived.departures:
        own[DEPARTURES] = "\n".join(made.derived.departures)
    head: Object = {"name": name}
    namespace = settings.namespace or workload.namespace
    if namespace:
        head["namespace"] = namespace
    return {**head, "labels": {**MANAGED, **_labels(launch)}, "annotations": own}


def job_spec(made: Made, launch: Launch, active: timedelta) -> Object:
    """What a Job of this run has besides its name; its retries, its deadline, its pods."""
    spec: Object = {
        "backoffLimit": launch.kind.retries,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": int(active.total_seconds()),
        "podReplacementPolicy": "Failed",  # a second pod only once the first is gone
    }
    rules: list[Object] = [_DISRUPTION] if launch.kind.resumes else []
    if launch.command is None:
        codes = {
            "containerName": made.derived.container,
            "operator": "In",
            "values": _DECIDED if launch.kind.resumes else _NEVER_REPEATED,
        }
        rules.append({"action": "FailJob", "onExitCodes": codes})
    if rules:
        spec["podFailurePolicy"] = {"rules": rules}
    return {**spec, "template": made.object}


def _argv(settings: KubernetesSettings, launch: Launch) -> tuple[str, ...]:
    if launch.command is not None:
        return escaped(launch.command)
    # A schedule's run has the name of its Job, which the schedule's controller gives once for each slot.
    run_id = launch.run_id or "$(ONEOFF_JOB)"
    return (
        *escaped([*settings.program, *_verb(launch)]),
        *escaped(["--env", launch.environment]),
        *("--run-id", run_id, "--here", "--result-file", TERMINATION_LOG),
        *escaped(launch.arguments),
        *(word for option in launch.secrets for word in (option, f"@{SECRETS_PATH}/{option.lstrip('-')}")),
        *(["--", *escaped(launch.raw)] if launch.raw and not launch.again else []),
    )


def _verb(launch: Launch) -> list[str]:
    if launch.again is not None:
        return ["rerun", launch.again]
    return ["exec"] if launch.raw else ["run", launch.task]


def _environ(settings: KubernetesSettings, launch: Launch) -> list[Object]:
    added: list[Object] = [
        {"name": name, "value": escaped([value])[0]} for name, value in launch.environ.items()
    ]
    if launch.command is not None:
        return added
    job = [_from_pod("ONEOFF_JOB", "labels", "batch.kubernetes.io/job-name")]
    return [*added, *own_variables(settings), *(job if launch.run_id is None else [])]


def own_variables(settings: KubernetesSettings) -> list[Object]:
    """What oneoff in a pod needs besides the app's variables: who asked, room to write in, and the store."""
    found = [
        _from_pod("ONEOFF_INTENT", "annotations", INTENT),
        {"name": "ONEOFF_STATE", "value": STATE_PATH},
    ]
    if settings.store is not None:
        reference = {"name": settings.store.secret, "key": settings.store.key}
        found.append({"name": "ONEOFF_STORE", "valueFrom": {"secretKeyRef": reference}})
    return found


def _from_pod(variable: str, kind: str, key: str) -> Object:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{kind}['{key}']"}}}


def check_store(source: Object, workload: Workload, settings: KubernetesSettings) -> None:
    """A record inside a pod is lost with it. What ``envFrom`` brings is not known here, and is believed.

    Raises NotDerivable.
    """
    if not (settings.store or named(source.get("env"), "ONEOFF_STORE") or source.get("envFrom")):
        raise NotDerivable(
            f"{workload.reference} has no ONEOFF_STORE, and records inside of a pod are lost with it",
            next_step='name a Secret that holds its URL: store = { secret = "NAME", key = "KEY" } in the '
            "environment's kubernetes table",
        )


def _labels(launch: Launch) -> dict[str, str]:
    run_id = {RUN_ID: launch.run_id} if launch.run_id else {}
    return {**run_id, TASK: label_value(launch.task)}


def _annotations(workload: Workload, launch: Launch, image: str) -> dict[str, Any]:
    return {
        TASK: launch.task,
        ENVIRONMENT: launch.environment,
        ACTOR: launch.actor,
        RELEASE: image,
        WORKLOAD: workload.reference,
        **({RUN_ID: launch.run_id} if launch.run_id else {}),
        **({RESULT: "expected"} if launch.command is None else {}),
        **({DRY_RUN: "true"} if launch.dry_run else {}),
        **launch.marks,
    }
