"""How a Job ended, read from the Job, its Pods and its Events.

In this order: what the cluster did to the pod, what the run itself says at its end, the exit code. A program
that handles SIGTERM and exits with 0 makes a Job complete; so a Job whose run should have said how it ended,
and did not, has not succeeded. Where a run that lost its pod has said by then how it ended, it ended so.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from oneoff.kube.derivation.jobs import CANCELLED_BY, RESULT, RUN_ID
from oneoff.kube.objects import CANNOT_START, Object, annotations_of, metadata, name_of, named
from oneoff.runs.attempts import number_of
from oneoff.runs.lastwords import LastWords, read_last_words
from oneoff.runs.status import EXIT_CODES, FINAL, Status

_NO_PROCESS: Final = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons for which a container has ended without a process in it: the program is not in the image, say."""
KILLED: Final = 128
"""Above it, an exit code is that of a signal."""
_OWN_CODES: Final = {code: status for status, code in EXIT_CODES.items()} | {2: Status.REFUSED}
_GOOD: Final = ("Complete", "SuccessCriteriaMet")
"""The second comes first, and says that the first will come; so it is with those of failure."""
_BAD: Final = ("Failed", "FailureTarget")
INDEX: Final = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where a Job stands."""

    status: Status
    """``launched`` until its task starts; final once it is decided, though pods may still be going."""
    exit_code: int | None = None
    """The container's own."""
    reason: str = ""
    """One word of Kubernetes: ``OOMKilled``, ``DeadlineExceeded``, ``ImagePullBackOff``."""
    message: str = ""
    """For people."""
    attempts: int = 0
    """How many pods were started for it, or for its busiest shard."""
    shards: int = 1
    held_by: tuple[str, ...] = ()
    """Containers that go on though the task has ended: the Job does not end by itself."""
    words: LastWords | None = None
    """What the run said of its end."""
    unfinished: bool = False
    """It is decided, and yet the Job would go on or start later, unless it is deleted."""
    started: bool = False
    """The task was seen to begin in a pod."""
    seen_to_end: bool = False
    """So was its end, in all of them: none goes on behind a node that nobody reaches."""

    @property
    def ended(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True)
class _Seen:
    """Everything that was seen of one Job."""

    job: Object
    pods: Sequence[Object]
    events: Sequence[Object]
    container: str
    deleted: bool
    overdue: bool

    @property
    def expected(self) -> bool:
        return annotations_of(self.job).get(RESULT) == "expected"

    @property
    def run_id(self) -> str:
        """That of a schedule's run is its Job's name."""
        return annotations_of(self.job).get(RUN_ID) or name_of(self.job)

    def condition(self, *kinds: str) -> Object | None:
        """The first of the Job's conditions of these kinds that holds."""
        return _condition(self.job, *kinds)


def verdict(
    job: Object,
    pods: Iterable[Object],
    events: Iterable[Object] = (),
    *,
    container: str,
    deleted: bool = False,
    overdue: bool = False,
) -> Verdict:
    """Where a Job stands.

    Args:
        pods: Every pod of it that was seen, in its last state, also those that are gone.
        events: Events on the Job and on its pods, the newest last.
        container: The one that runs the task.
        deleted: The Job is gone.
        overdue: It has had its time to start; what keeps it from starting is then its end.
    """
    known = sorted(pods, key=lambda pod: age_of(pod, container))
    seen = _Seen(job, known, list(events), container, deleted, overdue)
    seen = replace(seen, pods=[pod for pod in known if not _turned_away(seen, pod)])
    counted: dict[str, int] = {}
    for pod in known:
        counted[index_of(pod)] = counted.get(index_of(pod), 0) + 1
    shards = int((job.get("spec") or {}).get("completions") or 1)
    return replace(_decide(seen), attempts=max(counted.values(), default=0), shards=shards)


def age_of(pod: Object, container: str) -> tuple[str, ...]:
    """Later pods have greater ones; of those of the same second, the one that ended first was the first."""
    ended = (_task(pod, container).get("terminated") or {}).get("finishedAt")
    return str(metadata(pod).get("creationTimestamp")), str(ended or "going"), name_of(pod)


def index_of(pod: Object) -> str:
    """Which shard a pod is of; ``""`` for the one shard of most Jobs."""
    return str((metadata(pod).get("labels") or {}).get(INDEX, ""))


def _turned_away(seen: _Seen, pod: Object) -> bool:
    """Whether it was a second start of the run, which a Job may make: refused, it says nothing of the end."""
    rivals = [other for other in seen.pods if index_of(other) == index_of(pod)]
    return _refused_without_words(seen, pod) and any(
        _task(other, seen.container).keys() & {"running", "terminated"}
        and not _refused_without_words(seen, other)
        for other in rivals
    )


def _refused_without_words(seen: _Seen, pod: Object) -> bool:
    refused = _code(pod, seen) == EXIT_CODES[Status.REFUSED]
    return seen.expected and refused and _words(seen, pod) is None


def _decide(seen: _Seen) -> Verdict:
    last = seen.pods[-1] if seen.pods else None
    finished = seen.condition(*_GOOD, *_BAD)
    gone = seen.deleted or bool(metadata(seen.job).get("deletionTimestamp"))
    if finished is not None:
        return _ended(seen, finished, last)
    if gone:
        return _removed(seen, last)
    if any(_task(pod, seen.container).get("running") for pod in seen.pods):
        return Verdict(status=Status.RUNNING)
    if last is not None and _task(last, seen.container).get("terminated"):
        return _held(seen, last)
    return _waiting(seen, last)


def _ended(seen: _Seen, finished: Object, last: Object | None) -> Verdict:
    if finished.get("reason") == "DeadlineExceeded":
        return _late(seen, last, str(finished.get("message") or ""))
    if finished["type"] in _GOOD:
        if last is None and not seen.expected:
            return Verdict(status=Status.SUCCEEDED)
        return _of_pod(seen, _last_to(_has_succeeded, seen) or last)
    reason, message = str(finished.get("reason") or ""), str(finished.get("message") or "")
    failed = _last_to(_has_failed, seen) or last
    if failed is None:
        if _had_a_pod(seen):  # one that is gone says no more
            gone = "its pod has failed and is gone: nobody knows here how far it came"
            return Verdict(status=Status.LOST, reason=reason, message=gone)
        return Verdict(status=Status.REFUSED, reason=reason, message=message)
    found = _of_pod(seen, failed)
    if found.words is not None:
        return found
    if found.status is Status.SUCCEEDED:
        return Verdict(status=Status.FAILED, exit_code=found.exit_code, reason=reason, message=message)
    return replace(found, reason=found.reason or reason, message=found.message or message)


def _late(seen: _Seen, last: Object | None, message: str) -> Verdict:
    """The Job's deadline has passed, which counts the time in which nothing could start as well."""
    words = _words(seen, last)
    if words is not None:  # it came to its end in its grace, and has recorded that
        found = _of_words(words, last, seen)
        why = f"{words.message}: {message}" if words.status is Status.INTERRUPTED else words.message
        return replace(found, reason="DeadlineExceeded", message=why)
    if last is None and _had_a_pod(seen):  # they are deleted, and nobody has watched
        return Verdict(status=Status.TIMED_OUT, reason="DeadlineExceeded", message=message)
    if last is None or not _task(last, seen.container).keys() & {"running", "terminated"}:
        _, obstacle = _obstacle(seen, last)
        return Verdict(status=Status.REFUSED, reason="DeadlineExceeded", message=obstacle or message)
    code = _code(last, seen)
    return Verdict(status=Status.TIMED_OUT, exit_code=code, reason="DeadlineExceeded", message=message)


def _had_a_pod(seen: _Seen) -> bool:
    """Whether the Job counts one that has failed: evicted, say, or deleted at its deadline."""
    return bool((seen.job.get("status") or {}).get("failed"))


def _last_to(end: Callable[[Object, str], bool], seen: _Seen) -> Object | None:
    """The last pod that ended so."""
    return next((pod for pod in reversed(seen.pods) if end(pod, seen.container)), None)


def _has_succeeded(pod: Object, container: str) -> bool:
    return (pod.get("status") or {}).get("phase") == "Succeeded"


def _has_failed(pod: Object, container: str) -> bool:
    terminated = _task(pod, container).get("terminated") or {}
    return bool(terminated.get("exitCode")) or (pod.get("status") or {}).get("phase") == "Failed"


def _removed(seen: _Seen, last: Object | None) -> Verdict:
    words = _words(seen, last)
    if words is not None:
        found = _of_words(words, last, seen)
        # The run knows of the signal alone; who sent it is on the Job.
        cancelled = words.status is Status.INTERRUPTED and CANCELLED_BY in annotations_of(seen.job)
        return replace(found, status=Status.CANCELLED) if cancelled else found
    if last is not None and _task(last, seen.container).get("running"):
        return Verdict(status=Status.STOPPING, message="the Job is being deleted")
    return Verdict(
        status=Status.CANCELLED, exit_code=_code(last, seen), message="the Job was deleted before its end"
    )


def _held(seen: _Seen, last: Object) -> Verdict:
    """The task has ended, and the Job not yet: it is about to, a next pod is, or a sidecar holds it."""
    if (last.get("status") or {}).get("phase") != "Running":
        return Verdict(status=Status.RUNNING, message="its pod has ended, and the Job is about to")
    statuses = (last.get("status") or {}).get("containerStatuses") or []
    holding = tuple(one["name"] for one in statuses if (one.get("state") or {}).get("running"))
    if not holding:
        return Verdict(status=Status.RUNNING, message="its pod has ended, and the Job is about to")
    return replace(_of_pod(seen, last), held_by=holding, unfinished=True)


def _waiting(seen: _Seen, last: Object | None) -> Verdict:
    if seen.condition("Suspended"):
        return Verdict(status=Status.LAUNCHED, reason="JobSuspended", message="the Job is suspended")
    reason, message = _obstacle(seen, last)
    status = Status.REFUSED if seen.overdue else Status.LAUNCHED
    if not reason and seen.overdue:
        message = "it did not start in time, and nothing says why"
    return Verdict(status=status, reason=reason, message=message, unfinished=seen.overdue)


def _obstacle(seen: _Seen, last: Object | None) -> tuple[str, str]:
    """What keeps it from starting, in a word and in a sentence; empty where nothing does."""
    if last is None:
        failed = [one for one in _events_on(seen, seen.job) if one.get("reason") == "FailedCreate"]
        return _told(failed[-1]) if failed else ("", "")
    unscheduled = _condition(last, "PodScheduled", status="False")
    if unscheduled is not None and unscheduled.get("reason"):
        return str(unscheduled["reason"]), str(unscheduled.get("message") or "")
    status = last.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in CANNOT_START | {"CrashLoopBackOff"}:
            return str(waiting["reason"]), f"{one['name']}: {waiting.get('message') or waiting['reason']}"
    newest = _events_on(seen, last)[-1:]  # an image that was pulled, a volume that was mounted is no obstacle
    if newest and _hinders(newest[0]):
        return _told(newest[0])
    return _initializing(last) or ("", "")


def _initializing(pod: Object) -> tuple[str, str] | None:
    """The init container that the task waits for: one that has not ended, or a sidecar that is not ready."""
    specs = (pod.get("spec") or {}).get("initContainers")
    for one in (pod.get("status") or {}).get("initContainerStatuses") or []:
        stays = (named(specs, one["name"]) or {}).get("restartPolicy") == "Always"
        if (one.get("state") or {}).get("running") and not (stays and one.get("started")):
            done = "has not started yet" if stays else "has not ended yet"
            return "PodInitializing", f"the init container {one['name']} {done}"
    return None


def _hinders(event: Object) -> bool:
    """Whether an event on a pod that has a node tells why it does not run yet."""
    warns = event.get("type") == "Warning" and event.get("reason") != "FailedScheduling"
    return warns or event.get("reason") == "Pulling"


def _told(event: Object) -> tuple[str, str]:
    return str(event.get("reason") or ""), str(event.get("message") or "")


def _events_on(seen: _Seen, thing: Object) -> list[Object]:
    return [one for one in seen.events if (one.get("involvedObject") or {}).get("name") == name_of(thing)]


def _of_pod(seen: _Seen, last: Object | None) -> Verdict:
    """How the task ended in its last pod: the pod's condition, the run's own words, the exit code."""
    words = _words(seen, last)
    if words is not None:
        return _of_words(words, last, seen)
    if last is None:
        return Verdict(status=Status.LOST, message="the Job has ended, and no pod of it was seen")
    terminated = _task(last, seen.container).get("terminated")
    disrupted = _condition(last, "DisruptionTarget")
    code = _code(last, seen)
    if disrupted is not None:
        message = f"the cluster took its pod away: {disrupted.get('message') or disrupted.get('reason')}"
        return Verdict(
            status=Status.INTERRUPTED, exit_code=code, reason=str(disrupted.get("reason")), message=message
        )
    if terminated is None and _task(last, seen.container).get("running"):
        return Verdict(status=Status.RUNNING, message="the Job has ended, and its pod is seen to end soon")
    if terminated is None:
        return _never_started(last)
    if terminated.get("reason") in _NO_PROCESS:
        message = str(terminated.get("message") or terminated["reason"])
        return Verdict(
            status=Status.REFUSED, exit_code=code, reason=str(terminated["reason"]), message=message
        )
    if terminated.get("reason") == "OOMKilled" and code != 0:  # with 0 it was a child, and borne with
        return Verdict(
            status=Status.FAILED,
            exit_code=code,
            reason="OOMKilled",
            message="out of memory: its limit is reached",
        )
    if code == 0:
        if not seen.expected:
            return Verdict(status=Status.SUCCEEDED, exit_code=0)
        message = "it exited with 0 and left no result: nobody knows whether it came to its end"
        return Verdict(status=Status.LOST, exit_code=0, reason="NoResult", message=message)
    if seen.expected and code is not None and code > KILLED:
        message = f"{_signal(code - KILLED)} ended it without a word: nobody knows how far it came"
        return Verdict(status=Status.LOST, exit_code=code, reason="NoResult", message=message)
    if not seen.expected:
        return Verdict(status=Status.FAILED, exit_code=code, message=_of_command(code))
    message = str(terminated.get("message") or "").strip() or f"exit code {code}"
    if terminated.get("reason") == "Error":
        # The end of its log, as the kubelet has it: not masked, and no word of the run's for its record.
        message = f"it exited with {code} and left no result: its log may say why"
    return Verdict(status=_OWN_CODES.get(code or 1, Status.FAILED), exit_code=code, message=message)


def _of_command(code: int | None) -> str:
    """How a bare command failed; not the end of its output, which nobody masks, and a record keeps."""
    if code is not None and code > KILLED:
        return f"the command was ended by {_signal(code - KILLED)}"
    return f"the command exited with code {code}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _never_started(pod: Object) -> Verdict:
    """The pod ended before its task began: an init container failed, or the node gave it back."""
    status = pod.get("status") or {}
    for one in status.get("initContainerStatuses") or []:
        terminated = (one.get("state") or {}).get("terminated") or {}
        if terminated.get("exitCode"):
            message = f"the init container {one['name']} exited with {terminated['exitCode']}: nothing ran"
            return Verdict(status=Status.REFUSED, reason="InitContainerFailed", message=message)
    message = str(status.get("message") or "its pod ended, and nothing tells of the task")
    return Verdict(status=Status.LOST, reason=str(status.get("reason") or ""), message=message)


def _of_words(words: LastWords, last: Object | None, seen: _Seen) -> Verdict:
    disrupted = _condition(last, "DisruptionTarget") if last is not None else None
    return Verdict(
        status=words.status,
        exit_code=_code(last, seen),
        reason=str(disrupted.get("reason")) if disrupted else "",
        message=words.message,
        words=words,
    )


def _words(seen: _Seen, pod: Object | None) -> LastWords | None:
    """What the run said of its end, if it is this run's and is one."""
    terminated = (_task(pod, seen.container) if pod is not None else {}).get("terminated") or {}
    words = read_last_words(str(terminated.get("message") or "")) if seen.expected else None
    return words if words is not None and number_of(seen.run_id, words.id) else None


def _code(pod: Object | None, seen: _Seen) -> int | None:
    terminated = (_task(pod, seen.container) if pod is not None else {}).get("terminated") or {}
    return terminated.get("exitCode")


def _task(pod: Object, container: str) -> Object:
    """The state of the task's container; empty while there is none."""
    found = named((pod.get("status") or {}).get("containerStatuses"), container) or {}
    return found.get("state") or {}


def _condition(thing: Object, *kinds: str, status: str = "True") -> Object | None:
    conditions = (thing.get("status") or {}).get("conditions") or []
    for kind in kinds:
        for condition in conditions:
            if condition.get("type") == kind and condition.get("status") == status:
                return condition  # type: ignore[no-any-return]
    return None
