"""How a Job counts its pods: which are active, which have failed, which indexes are done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.kubernetes.defaults import INDEX, TRACKING
from tests.kubernetes.kinds import Object


def phase(pod: Object) -> str:
    return str(pod["status"].get("phase", "Pending"))


def finished(pod: Object) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def deleting(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def tracked(pod: Object) -> bool:
    """Not yet counted."""
    return TRACKING in (pod["metadata"].get("finalizers") or [])


def index(pod: Object) -> int:
    return int((pod["metadata"].get("annotations") or {}).get(INDEX, -1))


def holds(obj: Object, condition: str) -> bool:
    """Whether an object has this condition, as true."""
    conditions = obj["status"].get("conditions") or []
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def waits_for_the_end(job: Object) -> bool:
    """A pod that is being deleted has failed only when it has ended, and is replaced only then."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


@dataclass
class Count:
    """The pods of a Job, sorted by what they mean for it."""

    active: list[Object] = field(default_factory=list)
    terminating: list[Object] = field(default_factory=list)
    succeeded: list[Object] = field(default_factory=list)
    """Ended well, not yet counted."""
    failed: list[Object] = field(default_factory=list)
    """Ended badly, or given up, not yet counted; without those that the policy ignores."""
    ignored: list[Object] = field(default_factory=list)

    def ready(self) -> int:
        return len([pod for pod in self.active if holds(pod, "Ready")])


def count(job: Object, pods: Iterable[Object]) -> Count:
    """Sort the pods of a Job."""
    found = Count()
    for pod in pods:
        if phase(pod) == "Succeeded":
            if tracked(pod):
                found.succeeded.append(pod)
        elif phase(pod) == "Failed" or (deleting(pod) and not waits_for_the_end(job)):
            if tracked(pod):
                (found.ignored if _ignored(job, pod) else found.failed).append(pod)
        elif not deleting(pod):
            found.active.append(pod)
        if deleting(pod) and not finished(pod):
            found.terminating.append(pod)
    return found


def _matches(rule: Object, pod: Object) -> str | None:
    """Why a rule of a pod failure policy matches a pod, up to the words about the rule."""
    where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    codes = rule.get("onExitCodes")
    if codes is not None:
        statuses = pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
        for status in statuses:
            code = status["state"].get("terminated", {}).get("exitCode", 0)
            if code == 0 or codes.get("containerName") not in (None, status["name"]):
                continue
            if (code in codes["values"]) is (codes["operator"] == "In"):
                return f"Container {status['name']} for pod {where} failed with exit code {code}"
    for pattern in rule.get("onPodConditions") or []:
        for condition in pod["status"].get("conditions") or []:
            if (condition["type"], condition["status"]) == (pattern["type"], pattern.get("status", "True")):
                return f"Pod {where} has condition {condition['type']}"
    return None


def _first_rule(job: Object, pod: Object) -> tuple[str, str] | None:
    """The action of the first rule that matches, and why."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        why = _matches(rule, pod)
        if why is not None:
            return rule["action"], f"{why} matching {rule['action']} rule at index {number}"
    return None


def _ignored(job: Object, pod: Object) -> bool:
    rule = _first_rule(job, pod)
    return rule is not None and rule[0] == "Ignore"


def failure_by_policy(job: Object, pods: Iterable[Object]) -> str | None:
    """Why the Job's policy ends it at once."""
    for pod in pods:
        rule = _first_rule(job, pod) if phase(pod) == "Failed" else None
        if rule is not None and rule[0] == "FailJob":
            return rule[1]
    return None


def parse_indexes(text: str) -> set[int]:
    """``0-2,5`` as a set."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def write_indexes(indexes: Iterable[int]) -> str:
    """A set as ``0-2,5``: two neighbours are listed, three are a range."""
    parts: list[str] = []
    ordered = sorted(indexes)
    while ordered:
        length = 1
        while length < len(ordered) and ordered[length] == ordered[0] + length:
            length += 1
        ends = [ordered[0], ordered[length - 1]] if length > 1 else [ordered[0]]
        parts.append(("-" if length > 2 else ",").join(str(end) for end in ends))
        del ordered[:length]
    return ",".join(parts)
