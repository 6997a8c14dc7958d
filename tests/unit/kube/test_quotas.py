"""Quantities are read exactly, and a run's pod is held against what a quota has left."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.kube.checks.quantities import quantity
from oneoff.kube.checks.quotas import exceeded

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Fraction(0)),
        (2, Fraction(2)),
        ("100m", Fraction(1, 10)),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("+1", Fraction(1)),
        ("-1k", Fraction(-1000)),
        ("1e3", Fraction(1000)),
        ("1E3", Fraction(1000)),
        ("1E", Fraction(10**18)),
        ("1.5e-3", Fraction(3, 2000)),
        ("12345e7", Fraction(123450000000)),
        ("1Ki", Fraction(1024)),
        ("1.5Gi", Fraction(3 * 1024**3, 2)),
        ("1Ei", Fraction(1024**6)),
        ("250u", Fraction(1, 4000)),
        ("1n", Fraction(1, 10**9)),
        ("1M", Fraction(10**6)),
        ("9007199254740993", Fraction(9007199254740993)),
    ],
)
def test_a_quantity_is_exact(text: object, expected: Fraction) -> None:
    """Also where a float would not be."""
    assert quantity(text) == expected


@pytest.mark.parametrize("text", ["", "1K", "1kb", "Gi", "1 Gi", "0x10", "1e", "1,5", "1mi", "e3", "1e3Ki"])
def test_what_is_no_quantity(text: str) -> None:
    """ValueError, and no guess."""
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


@given(st.integers(0, 10**15))
def test_a_thousandth_is_a_thousandth(number: int) -> None:
    """`m` is a thousandth of the same without it, for every number."""
    assert quantity(f"{number}m") * 1000 == quantity(str(number))


def template(*, first: list[Object] | None = None, **spec: Any) -> Object:
    """A pod of one container that says both kinds of both."""
    main = container("app", {"cpu": "100m", "memory": "64Mi"}, {"cpu": "1", "memory": "128Mi"})
    return {"spec": {"initContainers": first or [], "containers": [main], **spec}}


def container(name: str, requests: Object, limits: Object | None = None, **more: Any) -> Object:
    return {"name": name, "resources": {"requests": requests, "limits": limits or {}}, **more}


def quota(hard: Object, used: Object | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"name": "compute"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used or {}},
    }


@pytest.mark.parametrize(
    ("hard", "used", "said"),
    [
        ({"pods": "10"}, {"pods": "9"}, None),
        ({"pods": "10"}, {"pods": "10"}, "has 10 of 10 pods in use: no room for one"),
        ({"count/pods": "1"}, {"count/pods": "1"}, "1 of 1 count/pods"),
        ({"count/jobs.batch": "2"}, {"count/jobs.batch": "2"}, "2 of 2 count/jobs.batch"),
        ({"count/cronjobs.batch": "0"}, {}, None),
        ({"services": "0"}, {}, None),
        ({"requests.cpu": "1"}, {"requests.cpu": "900m"}, None),
        (
            {"requests.cpu": "1"},
            {"requests.cpu": "901m"},
            "901m of 1 requests.cpu in use: no room for 100m",
        ),
        ({"cpu": "1"}, {"cpu": "901m"}, "901m of 1 cpu"),
        ({"memory": "1Gi"}, {"memory": "961Mi"}, "961Mi of 1Gi memory in use: no room for 64Mi"),
        ({"limits.memory": "128Mi"}, {}, None),
        ({"limits.memory": "134217727"}, {}, "0 of 134217727 limits.memory in use: no room for 128Mi"),
        ({"requests.example.com/gpu": "0"}, {}, None),
    ],
)
def test_what_is_left_is_compared(hard: Object, used: Object, said: str | None) -> None:
    """To the last unit; what a run does not need is no matter."""
    found = exceeded([quota(hard, used)], [], template())
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_a_quota_demands_what_it_counts() -> None:
    """Each container has to say what a quota names; a default of the namespace says it too."""
    bare = template(first=[{"name": "wait"}])
    hard = {"requests.cpu": "10", "limits.memory": "10Gi"}
    assert exceeded([quota(hard)], [], bare) == [
        "ResourceQuota compute counts requests.cpu, and wait says none",
        "ResourceQuota compute counts limits.memory, and wait says none",
    ]
    default = {"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"cpu": "10m"}}
    assert exceeded([quota(hard)], [{"spec": {"limits": [default]}}], bare) == []


def test_a_limit_is_its_own_request() -> None:
    """Kubernetes takes the limit for the request that is not said, before any default of the namespace."""
    limited = {"spec": {"containers": [container("app", {}, {"memory": "2Gi"})]}}
    default = {"type": "Container", "defaultRequest": {"memory": "1Mi"}}
    found = exceeded([quota({"requests.memory": "1Gi"})], [{"spec": {"limits": [default]}}], limited)
    assert found == ["ResourceQuota compute has 0 of 1Gi requests.memory in use: no room for 2048Mi"]


@pytest.mark.parametrize(
    ("first", "spec", "needed"),
    [
        ([], {}, "100m"),
        ([container("a", {"cpu": "50m"})], {}, "100m"),
        ([container("a", {"cpu": "150m"}), container("b", {"cpu": "120m"})], {}, "150m"),
        ([container("s", {"cpu": "50m"}, restartPolicy="Always")], {}, "150m"),
        (
            [
                container("s", {"cpu": "50m"}, restartPolicy="Always"),
                container("a", {"cpu": "150m"}),
                container("t", {"cpu": "10m"}, restartPolicy="Always"),
            ],
            {},
            "200m",
        ),
        ([], {"overhead": {"cpu": "20m"}}, "120m"),
        ([], {"resources": {"requests": {"cpu": "300m"}}}, "300m"),
    ],
)
def test_a_pod_needs_what_it_needs_at_its_busiest(first: list[Object], spec: Object, needed: str) -> None:
    """Init containers one after the other, sidecars beside all that comes after them, the pod's own word."""
    exact = quota({"requests.cpu": needed})
    assert exceeded([exact], [], template(first=first, **spec)) == []
    below = quota({"requests.cpu": needed}, {"requests.cpu": "1m"})
    assert len(exceeded([below], [], template(first=first, **spec))) == 1


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({"scopes": ["NotTerminating"]}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["NotBestEffort", "NotTerminating"]}, True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, False),
    ],
)
def test_a_quota_counts_the_pods_of_its_scope(spec: Object, counts: bool) -> None:
    """A run's pod has no deadline of its own, so it is not Terminating."""
    assert bool(exceeded([quota({"pods": "0"}, **spec)], [], template())) == counts


@pytest.mark.parametrize(
    ("operator", "values", "name", "counts"),
    [
        ("In", ["high"], "high", True),
        ("In", ["high"], None, False),
        ("NotIn", ["high"], "low", True),
        ("NotIn", ["high"], "high", False),
        ("Exists", [], "low", True),
        ("Exists", [], None, False),
        ("DoesNotExist", [], None, True),
    ],
)
def test_a_quota_may_count_by_priority(
    operator: str, values: list[str], name: str | None, counts: bool
) -> None:
    """The priority class of the pod decides."""
    expression = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    counted = quota({"pods": "0"}, scopeSelector={"matchExpressions": [expression]})
    made = template(priorityClassName=name)
    assert bool(exceeded([counted], [], made)) == counts
