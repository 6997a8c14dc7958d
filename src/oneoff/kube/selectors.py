"""What selects a pod by its labels: what would count a run as the app, and what a run would lose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oneoff.kube.objects import Object, name_of

Labels = Mapping[str, str]


def selects(selector: Object | None, labels: Labels) -> bool:
    """Whether a LabelSelector selects these labels; an empty one selects all."""
    selector = selector or {}
    wanted: dict[str, str] = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def _holds(expression: Object, labels: Labels) -> bool:
    key, values = expression.get("key", ""), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def counted_by(objects: Iterable[Object], labels: Labels) -> list[str]:
    """The Services and PodDisruptionBudgets that would take a pod with these labels for the app's."""
    return [f"{one['kind']} {name_of(one)}" for one in objects if _counts(one, labels)]


def _counts(one: Object, labels: Labels) -> bool:
    spec: Any = one.get("spec") or {}
    if one["kind"] == "Service":  # without a selector its endpoints are somebody else's
        return bool(spec.get("selector")) and selects({"matchLabels": spec["selector"]}, labels)
    return one["kind"] == "PodDisruptionBudget" and "selector" in spec and selects(spec["selector"], labels)


def scaled_by(
    autoscalers: Iterable[Object], scaled: Mapping[tuple[str, str], Object], labels: Labels
) -> list[str]:
    """The autoscalers that would count a pod with these labels among those that they scale by.

    Args:
        scaled: The selector of each workload that is scaled, by its kind and name.
    """
    return [
        f"HorizontalPodAutoscaler {name_of(one)}"
        for one in autoscalers
        if (target := target_of(one)) in scaled and selects(scaled[target], labels)
    ]


def target_of(autoscaler: Object) -> tuple[str, str]:
    """Kind and name of what it scales."""
    target = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    return str(target.get("kind")), str(target.get("name"))
