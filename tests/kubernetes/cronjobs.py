"""CronJobs, fired by hand: a test says which slot is due."""

from __future__ import annotations

import copy
import threading
from datetime import UTC, datetime

from tests.kubernetes import counting
from tests.kubernetes.answers import Refused
from tests.kubernetes.events import Recorder
from tests.kubernetes.kinds import Key, Object
from tests.kubernetes.removal import Removal
from tests.kubernetes.resources import Caller, Resources
from tests.kubernetes.storage import Change, timestamp

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class CronJobs:
    """Makes Jobs from CronJobs, and notes their end; its thread only does the latter."""

    def __init__(self, resources: Resources, removal: Removal) -> None:
        self.resources = resources
        self.storage = resources.storage
        self.removal = removal
        self._events = Recorder(self.storage, "cronjob-controller")
        self._ended = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cronjob-controller", daemon=True)
        self.storage.listen(self._note)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._ended.set()
        self._thread.join()

    def fire(self, namespace: str, name: str, scheduled: datetime) -> Object | None:
        """The Job of a slot; None where the CronJob is suspended or forbids it, or the Job exists."""
        key = Key("batch", "cronjobs", namespace, name)
        with self.storage.lock:
            cronjob = self.storage.get(key)
            if cronjob is None:
                raise KeyError(name)
            if cronjob["spec"]["suspend"] or not self._may_start(cronjob):
                return None
            job = _job_of(cronjob, scheduled.astimezone(UTC))
            kind = self.storage.kinds.of(job)
            try:
                created = self.resources.create(kind, namespace, job, Caller())
            except Refused as refused:
                if refused.code != 409:
                    text = f"Error creating job: {refused}"
                    self._events.say(cronjob, "FailedCreate", text, warn=True)
                return None
            self._events.say(cronjob, "SuccessfulCreate", f"Created job {created['metadata']['name']}")
            reference = {"kind": "Job", "namespace": namespace, "name": created["metadata"]["name"]}
            reference |= {"uid": created["metadata"]["uid"], "apiVersion": "batch/v1"}
            reference["resourceVersion"] = created["metadata"]["resourceVersion"]
            cronjob["status"].setdefault("active", []).append(reference)
            cronjob["status"]["lastScheduleTime"] = timestamp(scheduled)
            self._write(cronjob)
            return created

    def _may_start(self, cronjob: Object) -> bool:
        """What the concurrency policy says; under Replace the running Jobs are deleted."""
        active = cronjob["status"].get("active") or []
        policy = cronjob["spec"]["concurrencyPolicy"]
        if not active or policy == "Allow":
            return True
        if policy == "Forbid":
            why = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._events.say(cronjob, "JobAlreadyActive", why)
            return False
        for reference in active:
            key = Key("batch", "jobs", reference["namespace"], reference["name"])
            if self.storage.get(key) is not None:
                kind = self.storage.kinds.stored(key)
                self.removal.delete(kind, key, {"propagationPolicy": "Background"})
            self._events.say(cronjob, "SuccessfulDelete", f"Deleted job {reference['name']}")
        cronjob["status"]["active"] = []
        return True

    def _note(self, change: Change) -> None:
        if change.key.plural == "jobs":
            self._ended.set()

    def _run(self) -> None:
        while True:
            self._ended.wait()
            self._ended.clear()
            if self._stopped:
                return
            with self.storage.lock:
                for cronjob in self.storage.items("batch", "cronjobs"):
                    self._look(cronjob)

    def _look(self, cronjob: Object) -> None:
        """Take the Jobs that have ended out of the active list, and the oldest away."""
        namespace, active = cronjob["metadata"]["namespace"], []
        jobs = {job["metadata"]["uid"]: job for job in self.storage.items("batch", "jobs", namespace)}
        for reference in cronjob["status"].get("active") or []:
            job = jobs.get(reference["uid"])
            ended = next((each for each in ("Complete", "Failed") if job and counting.holds(job, each)), None)
            if job is None:
                text = f"Active job went missing: {reference['name']}"
                self._events.say(cronjob, "MissingJob", text)
            elif ended is None:
                active.append(reference)
            else:
                text = f"Saw completed job: {reference['name']}, condition: {ended}"
                self._events.say(cronjob, "SawCompletedJob", text)
                if ended == "Complete":
                    cronjob["status"]["lastSuccessfulTime"] = job["status"]["completionTime"]
        if active != (cronjob["status"].get("active") or []):
            cronjob["status"]["active"] = active
            if not active:
                del cronjob["status"]["active"]
            self._write(cronjob)
        self._trim(cronjob, list(jobs.values()))

    def _trim(self, cronjob: Object, jobs: list[Object]) -> None:
        """Keep only as many ended Jobs as the history limits say."""
        uid, spec = cronjob["metadata"]["uid"], cronjob["spec"]
        limits = (
            ("Complete", spec["successfulJobsHistoryLimit"]),
            ("Failed", spec["failedJobsHistoryLimit"]),
        )
        for condition, limit in limits:
            ended = [
                job
                for job in jobs
                if counting.holds(job, condition)
                and any(owner["uid"] == uid for owner in job["metadata"].get("ownerReferences") or [])
            ]
            ended.sort(key=lambda job: job["status"].get("startTime", ""))
            for job in ended[: max(len(ended) - limit, 0)]:
                key = Key("batch", "jobs", job["metadata"]["namespace"], job["metadata"]["name"])
                kind = self.storage.kinds.stored(key)
                self.removal.delete(kind, key, {"propagationPolicy": "Background"})
                self._events.say(cronjob, "SuccessfulDelete", f"Deleted job {key.name}")

    def _write(self, cronjob: Object) -> None:
        kind = self.storage.kinds.of(cronjob)
        meta = cronjob["metadata"]
        given = {**cronjob, "metadata": {"name": meta["name"]}}
        self.resources.update(kind, meta["namespace"], given, Caller(), "status")


def _job_of(cronjob: Object, scheduled: datetime) -> Object:
    """The Job of a slot, named by Kubernetes' rule: minutes since 1970."""
    meta, template = cronjob["metadata"], copy.deepcopy(cronjob["spec"]["jobTemplate"])
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": meta["name"], "uid": meta["uid"]}
    owner |= {"controller": True, "blockOwnerDeletion": True}
    described = dict(template["metadata"])
    described["name"] = f"{meta['name']}-{int(scheduled.timestamp()) // 60}"
    described["annotations"] = {**described.get("annotations", {}), SCHEDULED: timestamp(scheduled)}
    described["ownerReferences"] = [owner]
    return {"kind": "Job", "apiVersion": "batch/v1", "metadata": described, "spec": template["spec"]}
