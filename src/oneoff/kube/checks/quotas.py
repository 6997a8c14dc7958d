"""Whether the pod of a run fits into what is left of a namespace's ResourceQuotas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from oneoff.kube.checks.quantities import quantity
from oneoff.kube.objects import Object, name_of

Amounts = dict[str, Fraction]

_ZERO: Final = Fraction(0)
_KINDS: Final = ("requests", "limits")
_NATIVE: Final = ("cpu", "memory", "ephemeral-storage")
"""A quota may name the requests of these without ``requests.`` before them."""


def exceeded(quotas: Iterable[Object], limits: Iterable[Object], template: Object) -> list[str]:
    """What each quota would refuse of a Job with one pod of this template; empty where it fits.

    Args:
        limits: The LimitRanges of the namespace, whose defaults fill what a container does not say.
    """
    spec = template["spec"]
    limits = list(limits)
    first = [{**_filled(one, limits), "first": True} for one in spec.get("initContainers") or []]
    containers = [*first, *({**_filled(one, limits), "first": False} for one in spec["containers"])]
    needed = _needed(spec, containers)
    return [problem for quota in quotas for problem in _problems(quota, spec, containers, needed)]


def _problems(
    quota: Object, spec: Object, containers: Sequence[Object], needed: Mapping[str, Fraction]
) -> list[str]:
    counted = _scoped(quota, spec, containers)
    used = (quota.get("status") or {}).get("used") or {}
    hard = (quota.get("status") or {}).get("hard") or (quota.get("spec") or {}).get("hard") or {}
    found = []
    for resource, most in hard.items():
        where = f"ResourceQuota {name_of(quota)}"
        if not counted and not resource.startswith("count/jobs"):
            continue
        lacking = _undeclared(resource, containers)
        if lacking:
            found.append(f"{where} counts {resource}, and {', '.join(lacking)} says none")
            continue
        wanted = needed.get(_canonical(resource), _ZERO)
        if wanted and quantity(used.get(resource, 0)) + wanted > quantity(most):
            need = "one" if resource.startswith(("count/", "pods")) else _written(wanted)
            found.append(
                f"{where} has {used.get(resource, 0)} of {most} {resource} in use: no room for {need}"
            )
    return found


def _canonical(resource: str) -> str:
    if resource == "pods":
        return "count/pods"
    return f"requests.{resource}" if resource in _NATIVE else resource


def _needed(spec: Object, containers: Sequence[Object]) -> Amounts:
    """One Job, one pod, and what that requests and is limited to."""
    found = {"count/pods": Fraction(1), "count/jobs.batch": Fraction(1)}
    for kind in _KINDS:
        whole = ((spec.get("resources") or {}).get(kind)) or {}
        names = {name for one in containers for name in _amounts(one, kind)} | set(whole)
        for name in names:
            total = quantity(whole[name]) if name in whole else _effective(containers, kind, name)
            overhead = quantity((spec.get("overhead") or {}).get(name, 0))
            found[f"{kind}.{name}"] = total + overhead
    return found


def _effective(containers: Sequence[Object], kind: str, name: str) -> Fraction:
    """Init containers run one after the other, each beside the sidecars that were started before it."""
    sidecars, most, together = _ZERO, _ZERO, _ZERO
    for one in containers:
        amount = _amounts(one, kind).get(name, _ZERO)
        if one["first"] and one.get("restartPolicy") == "Always":
            sidecars += amount
            most = max(most, sidecars)
        elif one["first"]:
            most = max(most, sidecars + amount)
        else:
            together += amount
    return max(most, sidecars + together)


def _amounts(container: Object, kind: str) -> Amounts:
    given = (container.get("resources") or {}).get(kind) or {}
    return {name: quantity(amount) for name, amount in given.items()}


def _filled(container: Object, limits: Iterable[Object]) -> Object:
    """As the server fills it in: a request that is not said is the limit, then the namespace's defaults."""
    given = container.get("resources") or {}
    bounds = dict(given.get("limits") or {})
    requests = {**bounds, **(given.get("requests") or {})}
    for limit in limits:
        for item in (limit.get("spec") or {}).get("limits") or []:
            if item.get("type") == "Container":
                default = item.get("default") or {}
                requests = {**default, **(item.get("defaultRequest") or {}), **requests}
                bounds = {**default, **bounds}
    return {**container, "resources": {"requests": requests, "limits": bounds}}


def _undeclared(resource: str, containers: Sequence[Object]) -> list[str]:
    """The containers that have to say this resource, and do not: a quota on cpu or memory demands it."""
    kind, _, name = _canonical(resource).partition(".")
    if name not in ("cpu", "memory"):
        return []
    return [str(one.get("name")) for one in containers if name not in _amounts(one, kind)]


def _scoped(quota: Object, spec: Object, containers: Sequence[Object]) -> bool:
    """Whether the quota counts this pod at all."""
    best_effort = not any(_amounts(one, kind) for one in containers for kind in _KINDS)
    holds = {
        "Terminating": "activeDeadlineSeconds" in spec,
        "NotTerminating": "activeDeadlineSeconds" not in spec,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": False,
    }
    wanted = quota.get("spec") or {}
    expressions = (wanted.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(holds.get(scope, True) for scope in wanted.get("scopes") or []) and all(
        _priority(one, spec)
        if one.get("scopeName") == "PriorityClass"
        else holds.get(one.get("scopeName"), True)
        for one in expressions
    )


def _priority(expression: Object, spec: Object) -> bool:
    name, values = spec.get("priorityClassName"), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
    return bool(name)


def _written(amount: Fraction) -> str:
    """For people: bytes in Mi where they are whole ones, and thousandths where they are."""
    if amount >= 1024**2 and amount % 1024**2 == 0:
        return f"{amount // 1024**2}Mi"
    if amount.denominator != 1 and 1000 % amount.denominator == 0:
        return f"{int(amount * 1000)}m"
    return str(int(amount)) if amount.denominator == 1 else str(float(amount))
