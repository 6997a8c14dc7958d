"""The Job controller: pods from Jobs, and the status of Jobs from their pods, in the recorded order."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from dataclasses import dataclass

from tests.kubernetes import counting
from tests.kubernetes.answers import Refused
from tests.kubernetes.clock import Clock
from tests.kubernetes.counting import Count
from tests.kubernetes.defaults import INDEX, JOB_NAME, TRACKING
from tests.kubernetes.events import Recorder
from tests.kubernetes.faults import Faults
from tests.kubernetes.kinds import Key, Object
from tests.kubernetes.removal import Removal
from tests.kubernetes.resources import Caller, Resources, suffix
from tests.kubernetes.storage import Change, timestamp

BATCH = 1.0
"""Seconds of the cluster's time that the controller waits for more news of a Job's pods."""
BACKOFF, LONGEST_BACKOFF = 10.0, 360.0

_REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")
_LIMIT = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_DEADLINE = ("DeadlineExceeded", "Job was active longer than specified deadline")
_FINAL = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}

Decision = tuple[str, str, str]
"""The interim condition, its reason and its message."""


@dataclass
class _Memory:
    """What the controller knows of a Job beside its status."""

    started: float | None = None
    finished: float | None = None
    failures: int = 0
    retry_at: float = 0.0
    refusals: int = 0
    extra: int = 0
    """Pods more than wanted, by the fault."""


class JobController:
    """One thread that brings each Job up to date soon after it, or a pod of it, has changed."""

    def __init__(self, resources: Resources, removal: Removal, clock: Clock, faults: Faults) -> None:
        self.resources = resources
        self.storage = resources.storage
        self.removal = removal
        self.clock = clock
        self.faults = faults
        self._events = Recorder(self.storage, "job-controller")
        self._due: dict[Key, float] = {}
        self._memory: dict[str, _Memory] = {}
        self._news = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="job-controller", daemon=True)
        self.storage.listen(self._note)
        self._thread.start()

    def stop(self) -> None:
        with self._news:
            self._stopped = True
            self._news.notify()
        self._thread.join()

    # The queue.

    def _note(self, change: Change) -> None:
        if change.key.plural == "jobs" and change.key.group == "batch":
            self._enqueue(change.key, 0.0)
        elif change.key.plural == "pods" and not change.key.group:
            for owner in change.object["metadata"].get("ownerReferences") or []:
                if owner["kind"] == "Job":
                    key = Key("batch", "jobs", change.key.namespace, owner["name"])
                    self._enqueue(key, self.clock.real(BATCH))

    def _enqueue(self, key: Key, delay: float) -> None:
        with self._news:
            at = time.monotonic() + delay
            self._due[key] = min(self._due.get(key, at), at)
            self._news.notify()

    def _next(self) -> Key | None:
        with self._news:
            while not self._stopped:
                if self._due:
                    key = min(self._due, key=self._due.__getitem__)
                    left = self._due[key] - time.monotonic()
                    if left <= 0:
                        del self._due[key]
                        return key
                    self._news.wait(left)
                else:
                    self._news.wait()
        return None

    def _run(self) -> None:
        while (key := self._next()) is not None:
            with self.storage.lock:
                self._sync(key)

    # One Job.

    def _sync(self, key: Key) -> None:
        job = self.storage.get(key)
        if job is None:
            return self._release_orphans(key)
        pods = self._pods(job)
        memory = self._memory.setdefault(job["metadata"]["uid"], _Memory())
        if any(counting.holds(job, final) for final in _FINAL.values()):
            self._release(pods)
            return self._expire(job, memory)
        if "deletionTimestamp" in job["metadata"]:
            self._release(pods)
            return self._write(key, self._counted(job, counting.count(job, pods)))
        return self._advance(key, job, pods, memory)

    def _advance(self, key: Key, job: Object, pods: list[Object], memory: _Memory) -> None:
        spec, status = job["spec"], job["status"]
        count = counting.count(job, pods)
        if count.failed or count.ignored:
            memory.failures += 1
            wait = min(BACKOFF * 2 ** (memory.failures - 1), LONGEST_BACKOFF)
            memory.retry_at = time.monotonic() + self.clock.real(wait)
        elif count.succeeded:
            memory.failures = 0
        resumed = self._suspension(job, memory)
        if not spec["suspend"] and "startTime" not in status:
            status["startTime"] = timestamp()
            memory.started = time.monotonic()
        decision = self._decide(job, count, memory, pods)
        if decision is not None or spec["suspend"]:
            count = self._delete(job, count.active, count, failed=decision is not None)
        else:
            count = self._manage(job, count, memory)
        if resumed:
            self._events.say(job, "Resumed", "Job resumed")
        self._settle(key, job, count, decision, memory)

    def _suspension(self, job: Object, memory: _Memory) -> bool:
        """Note in the status that the Job is suspended or resumed; True when it has just been resumed."""
        status, suspended = job["status"], job["spec"]["suspend"]
        known = [each for each in status.get("conditions") or [] if each["type"] == "Suspended"]
        if suspended and not counting.holds(job, "Suspended"):
            _set(status, "Suspended", "True", "JobSuspended", "Job suspended")
            status.pop("startTime", None)
            memory.started = None
            self._events.say(job, "Suspended", "Job suspended")
        elif known and known[0]["status"] == "True" and not suspended:
            _set(status, "Suspended", "False", "JobResumed", "Job resumed")
            status["startTime"] = timestamp()
            memory.started = time.monotonic()
            return True
        return False

    def _decide(self, job: Object, count: Count, memory: _Memory, pods: list[Object]) -> Decision | None:
        """How the Job ends, once that is known."""
        spec, status = job["spec"], job["status"]
        for condition in status.get("conditions") or []:
            if condition["type"] in _FINAL:
                return condition["type"], condition["reason"], condition["message"]
        why = counting.failure_by_policy(job, pods)
        if why is not None:
            return "FailureTarget", "PodFailurePolicy", why
        if status.get("failed", 0) + len(count.failed) > spec["backoffLimit"]:
            return ("FailureTarget", *_LIMIT)
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and memory.started is not None:
            left = memory.started + self.clock.given(deadline) - time.monotonic()
            if left <= 0:
                return ("FailureTarget", *_DEADLINE)
            self._enqueue(self._key(job), left)
        if self._succeeded(job, count) >= (spec.get("completions") or 1):
            return ("SuccessCriteriaMet", *_REACHED)
        return None

    def _succeeded(self, job: Object, count: Count) -> int:
        if counting.is_indexed(job):
            return len(_done(job) | {counting.index(pod) for pod in count.succeeded})
        return int(job["status"].get("succeeded", 0)) + len(count.succeeded)

    def _manage(self, job: Object, count: Count, memory: _Memory) -> Count:
        """Make the pods that are missing, or delete those too many."""
        spec = job["spec"]
        wanted = min(spec["parallelism"], (spec.get("completions") or 1) - self._succeeded(job, count))
        there = list(count.active)
        if counting.waits_for_the_end(job):
            there += count.terminating
        missing = wanted - len(there)
        if missing < 0 and memory.extra == 0:
            return self._delete(job, count.active[missing:], count, failed=False)
        if missing <= 0:
            return count
        left = memory.retry_at - time.monotonic()
        if left > 0:
            self._enqueue(self._key(job), left)
            return count
        extra = self.faults.extra_pods()
        memory.extra += extra
        if counting.is_indexed(job):
            taken = _done(job) | {counting.index(pod) for pod in [*there, *count.succeeded]}
            free = [number for number in range(spec["completions"]) if number not in taken]
            indexes: list[int | None] = [*free[:missing], *free[:extra]]
        else:
            indexes = [None] * (missing + extra)
        for index in indexes:
            pod = self._create(job, index, memory)
            if pod is None:
                break
            count.active.append(pod)
        return count

    def _create(self, job: Object, index: int | None, memory: _Memory) -> Object | None:
        """A new pod; None, with an Event and a later attempt, where the server refuses it."""
        pod = _new_pod(job, index)
        kind = self.storage.kinds.of(pod)
        name = pod["metadata"]["name"]
        try:
            quota = self.faults.quota()
            if quota is not None:
                raise Refused(403, "Forbidden", f'pods "{name}" is forbidden: {quota}')
            created = self.resources.create(kind, job["metadata"]["namespace"], pod, Caller())
        except Refused as refused:
            self._events.say(job, "FailedCreate", f"Error creating: {refused}", warn=True)
            memory.refusals += 1
            self._enqueue(self._key(job), self.clock.real(min(2.0 ** (memory.refusals - 1), 600)))
            return None
        self._events.say(job, "SuccessfulCreate", f"Created pod: {name}")
        return created

    def _delete(self, job: Object, pods: list[Object], count: Count, *, failed: bool) -> Count:
        """Delete pods; those of a Job that has ended count as failed, those not wanted now do not."""
        if not pods:
            return count
        if not failed:
            self._release(pods)
        for pod in pods:
            self.removal.delete_pod(Key("", "pods", pod["metadata"]["namespace"], pod["metadata"]["name"]))
            self._events.say(job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        return counting.count(job, self._pods(job))

    # The status.

    def _settle(
        self, key: Key, job: Object, count: Count, decision: Decision | None, memory: _Memory
    ) -> None:
        """Write the status in two steps, as recorded: what is decided and to be counted; then the counts."""
        interim = self._counted(job, count)
        status = interim["status"]
        succeeded = [] if counting.is_indexed(job) else count.succeeded
        for name, pods in (("succeeded", succeeded), ("failed", count.failed)):
            if pods:
                status["uncountedTerminatedPods"][name] = [pod["metadata"]["uid"] for pod in pods]
        if counting.is_indexed(job) and count.succeeded:
            done = _done(job) | {counting.index(pod) for pod in count.succeeded}
            status |= {"succeeded": len(done), "completedIndexes": counting.write_indexes(done)}
        if decision is not None:
            _set(status, decision[0], "True", *decision[1:])
        self._write(key, interim)
        self._release([*count.succeeded, *count.failed, *count.ignored])
        final = copy.deepcopy(interim)
        status = final["status"]
        status["uncountedTerminatedPods"] = {}
        for name, pods in (("succeeded", succeeded), ("failed", count.failed)):
            if pods:
                status[name] = status.get(name, 0) + len(pods)
        ends = decision is not None and not count.terminating and not count.active
        if ends and decision is not None:
            _set(status, _FINAL[decision[0]], "True", *decision[1:])
            memory.finished = time.monotonic()
            if decision[0] == "SuccessCriteriaMet":
                status["completionTime"] = timestamp()
        self._write(key, final)
        if ends and decision is not None:
            self._tell_end(final, decision)

    def _tell_end(self, job: Object, decision: Decision) -> None:
        if decision[0] == "SuccessCriteriaMet":
            self._events.say(job, "Completed", "Job completed")
        else:
            self._events.say(job, decision[1], decision[2], warn=True)

    def _counted(self, job: Object, count: Count) -> Object:
        """The Job with its pods counted as they are now."""
        status = job["status"]
        status.pop("active", None)
        if count.active:
            status["active"] = len(count.active)
        status |= {"terminating": len(count.terminating), "ready": count.ready()}
        status.setdefault("uncountedTerminatedPods", {})
        return job

    def _write(self, key: Key, job: Object) -> None:
        kind = self.storage.kinds.of(job)
        given = {**job, "metadata": {"name": key.name}}
        with contextlib.suppress(Refused):
            self.resources.update(kind, key.namespace, given, Caller(), "status")

    # Pods, and what is left of them.

    def _pods(self, job: Object) -> list[Object]:
        uid = job["metadata"]["uid"]
        return [
            pod
            for pod in self.storage.items("", "pods", job["metadata"]["namespace"])
            if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or [])
        ]

    def _release(self, pods: list[Object]) -> None:
        """Let counted pods go when they are deleted."""

        def release(pod: Object) -> None:
            meta = pod["metadata"]
            left = [each for each in meta.get("finalizers") or [] if each != TRACKING]
            meta["finalizers"] = left
            if not left:
                del meta["finalizers"]

        for pod in pods:
            meta = pod["metadata"]
            self.storage.mutate(Key("", "pods", meta["namespace"], meta["name"]), release)

    def _release_orphans(self, key: Key) -> None:
        """Nobody counts the pods of a Job that is gone."""
        pods = self.storage.items("", "pods", key.namespace)
        self._release(
            [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(JOB_NAME) == key.name]
        )

    def _expire(self, job: Object, memory: _Memory) -> None:
        """Delete a Job that ended long enough ago."""
        after = job["spec"].get("ttlSecondsAfterFinished")
        if after is None or memory.finished is None:
            return None
        left = memory.finished + self.clock.given(after) - time.monotonic()
        key = self._key(job)
        if left > 0:
            return self._enqueue(key, left)
        self.removal.delete(self.storage.kinds.stored(key), key, {"propagationPolicy": "Background"})
        return None

    def _key(self, job: Object) -> Key:
        return Key("batch", "jobs", job["metadata"]["namespace"], job["metadata"]["name"])


def _done(job: Object) -> set[int]:
    return counting.parse_indexes(job["status"].get("completedIndexes", ""))


def _set(status: Object, name: str, state: str, reason: str, message: str) -> None:
    """Set a condition of a Job, in its place or at the end."""
    now = timestamp()
    condition: Object = {"type": name, "status": state, "lastProbeTime": now, "lastTransitionTime": now}
    condition |= {"reason": reason, "message": message}
    conditions = status.setdefault("conditions", [])
    for place, known in enumerate(conditions):
        if known["type"] == name:
            if known["status"] != state:
                conditions[place] = condition
            return
    conditions.append(condition)


def _new_pod(job: Object, index: int | None) -> Object:
    """A pod of the Job's template."""
    meta, template = job["metadata"], copy.deepcopy(job["spec"]["template"])
    stem = f"{meta['name']}-" if index is None else f"{meta['name']}-{index}-"
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
    owner |= {"controller": True, "blockOwnerDeletion": True}
    described: Object = {"name": stem + suffix(), "generateName": stem} | template["metadata"]
    described |= {"ownerReferences": [owner], "finalizers": [TRACKING]}
    if index is not None:
        described["labels"] = {**described["labels"], INDEX: str(index)}
        described["annotations"] = {**described.get("annotations", {}), INDEX: str(index)}
        template["spec"]["hostname"] = stem[:-1]
        path = f"metadata.labels['{INDEX}']"
        variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for container in [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]:
            if not any(each["name"] == variable["name"] for each in container.get("env") or []):
                container["env"] = [*(container.get("env") or []), copy.deepcopy(variable)]
    return {"kind": "Pod", "apiVersion": "v1", "metadata": described, "spec": template["spec"]}
