"""Where a run may connect to beside the app, over the policies that namespaces have."""

from __future__ import annotations

from typing import Any

import pytest

from oneoff.kube.checks.network import Reach, reach

Object = dict[str, Any]
APP = {"app": "shop", "tier": "web"}
RUN = {"app.kubernetes.io/component": "oneoff"}
NAMESPACE = {"kubernetes.io/metadata.name": "shop"}
DATABASE = [{"ports": [{"port": 5432}]}]
DNS = [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": "dns"}]}]


def policy(name: str, selector: Object | None = None, **spec: Any) -> Object:
    """For all pods where no labels are given."""
    pods = {"matchLabels": selector} if selector else {}
    return {"metadata": {"name": name}, "spec": {"podSelector": pods, **spec}}


ALLOW_DB = policy("allow-db", {"app": "shop"}, policyTypes=["Egress"], egress=DATABASE)
DENY_ALL = policy("deny-all", policyTypes=["Ingress", "Egress"])
ALLOW_DNS = policy("allow-dns", policyTypes=["Egress"], egress=DNS)
FOR_RUNS = policy("for-runs", RUN, policyTypes=["Egress"], egress=DATABASE)
INGRESS = policy("web-in", {"app": "shop"}, ingress=[{"from": [{"podSelector": {}}]}])
OF_DB = policy("db-in", {"app": "db"}, ingress=[{"from": [{"podSelector": {"matchLabels": APP}}]}])


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        pytest.param([], Reach(free=True), id="no policy"),
        pytest.param(
            [ALLOW_DB], Reach(lost=("allow-db",), free=True, labels=("app",)), id="the run is free of it"
        ),
        pytest.param(
            [DENY_ALL, ALLOW_DB],
            Reach(lost=("allow-db",), held=("deny-all",), labels=("app",)),
            id="default deny",
        ),
        pytest.param(
            [DENY_ALL, ALLOW_DNS, ALLOW_DB],
            Reach(lost=("allow-db",), held=("allow-dns", "deny-all"), labels=("app",)),
            id="questions to DNS are no way out",
        ),
        pytest.param([DENY_ALL], Reach(), id="the app may nothing either"),
        pytest.param(
            [DENY_ALL, ALLOW_DB, FOR_RUNS],
            Reach(lost=("allow-db",), labels=("app",)),
            id="a policy of the runs' own",
        ),
        pytest.param([INGRESS], Reach(free=True), id="who connects to the app is no matter"),
        pytest.param(
            [OF_DB],
            Reach(free=True, shut=("db-in",), labels=("app", "tier")),
            id="the database lets the app in",
        ),
        pytest.param(
            [
                OF_DB,
                policy("db-runs", {"app": "db"}, ingress=[{"from": [{"podSelector": {"matchLabels": RUN}}]}]),
            ],
            Reach(free=True),
            id="and the runs by another policy",
        ),
        pytest.param(
            [
                policy(
                    "db-in",
                    {"app": "db"},
                    ingress=[{"from": [{"namespaceSelector": {"matchLabels": NAMESPACE}}]}],
                )
            ],
            Reach(free=True),
            id="whoever is in the namespace",
        ),
        pytest.param([policy("db-in", {"app": "db"}, ingress=[{}])], Reach(free=True), id="everybody"),
        pytest.param(
            [policy("db-in", {"app": "db"}, ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])],
            Reach(free=True),
            id="addresses are not known before",
        ),
        pytest.param(
            [
                policy(
                    "db-in",
                    {"app": "db"},
                    ingress=[
                        {
                            "from": [
                                {
                                    "podSelector": {"matchLabels": {"app": "shop"}},
                                    "namespaceSelector": {"matchLabels": {"name": "elsewhere"}},
                                }
                            ]
                        }
                    ],
                )
            ],
            Reach(free=True),
            id="pods of another namespace",
        ),
    ],
)
def test_where_a_run_may_connect_to(policies: list[Object], expected: Reach) -> None:
    """What it loses, what holds it, who does not let it in, and the labels that would help."""
    assert reach(policies, APP, RUN, NAMESPACE) == expected


def test_network_labels_bring_it_back() -> None:
    """With the labels that were named, nothing is lost."""
    policies = [DENY_ALL, ALLOW_DB, OF_DB]
    found = reach(policies, APP, RUN, NAMESPACE)
    assert found.labels == ("app", "tier")
    again = reach(policies, APP, {**RUN, **{key: APP[key] for key in found.labels}}, NAMESPACE)
    assert again == Reach()


def test_a_policy_without_types_is_for_egress_if_it_has_some() -> None:
    """As Kubernetes reads it."""
    assert reach([policy("a", APP, egress=DATABASE)], APP, RUN, {}).lost == ("a",)
    assert reach([policy("a", APP)], APP, RUN, {}).lost == ()
