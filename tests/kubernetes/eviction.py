"""Eviction: a pod is marked and deleted, unless a disruption budget says no."""

from __future__ import annotations

from tests.kubernetes import answers, selectors
from tests.kubernetes.answers import Refused
from tests.kubernetes.kinds import Key, Object
from tests.kubernetes.removal import Removal
from tests.kubernetes.storage import Storage, timestamp

EVICTED = ("EvictionByEvictionAPI", "Eviction API: evicting")


def evict(
    storage: Storage, removal: Removal, namespace: str, name: str, asked: Object, dry_run: bool = False
) -> Object:
    """Answer an eviction; Refused with 404 or 429."""
    key = Key("", "pods", namespace, name)
    with storage.lock:
        pod = storage.get(key)
        if pod is None:
            raise answers.not_found(storage.kinds.stored(key), name)
        _check_budgets(storage, pod)
        if not dry_run:
            disrupt(storage, key, *EVICTED)
            removal.delete_pod(key, (asked.get("deleteOptions") or {}).get("gracePeriodSeconds"))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def disrupt(storage: Storage, key: Key, reason: str, message: str) -> None:
    """Say on a pod that the cluster takes it away, not its own failure."""
    condition = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None}
    condition |= {"lastTransitionTime": timestamp(), "reason": reason, "message": message}

    def mark(pod: Object) -> None:
        pod["status"].setdefault("conditions", []).append(condition)

    storage.mutate(key, mark)


def _check_budgets(storage: Storage, pod: Object) -> None:
    labels = pod["metadata"].get("labels") or {}
    for budget in storage.items("policy", "poddisruptionbudgets", pod["metadata"]["namespace"]):
        allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
        if selectors.matches(budget["spec"].get("selector"), labels) and allowed < 1:
            name = budget["metadata"]["name"]
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            why = f"The disruption budget {name} needs more healthy pods"
            causes = [{"reason": "DisruptionBudget", "message": why}]
            raise Refused(429, "TooManyRequests", message, {"causes": causes})
