"""What RBAC lists is believed; what it does not list is asked for."""

from __future__ import annotations

from typing import cast

import pytest

from oneoff.errors import NotPermitted
from oneoff.kube.api.cluster import DEPLOYMENTS, JOBS, PODS, Cluster, Resource
from oneoff.kube.checks.rights import Right, not_given
from oneoff.kube.objects import Object

LOG = Right("get", PODS, "read", subresource="log")
CREATE = Right("create", JOBS, "launch")


def rule(verbs: str, groups: str, resources: str, **more: list[str]) -> Object:
    """Of words; ``core`` is the group without a name."""
    named = ["" if group == "core" else group for group in groups.split()]
    return {"verbs": verbs.split(), "apiGroups": named, "resources": resources.split(), **more}


@pytest.mark.parametrize(
    ("right", "given", "holds"),
    [
        (CREATE, rule("*", "*", "*"), True),
        (CREATE, rule("get create", "apps batch", "cronjobs jobs"), True),
        (CREATE, rule("create", "batch", "jobs", resourceNames=["one"]), False),
        (CREATE, rule("get", "batch", "jobs"), False),
        (CREATE, rule("create", "core", "jobs"), False),
        (CREATE, rule("create", "batch", "jobs/status"), False),
        (LOG, rule("get", "core", "pods/log"), True),
        (LOG, rule("get", "core", "*/log"), True),
        (LOG, rule("get", "core", "*"), True),
        (LOG, rule("get", "core", "pods"), False),
        (Right("get", DEPLOYMENTS, "read"), rule("get", "apps", "*/scale"), False),
        (CREATE, {"verbs": ["*"]}, False),
    ],
)
def test_a_rule_gives_a_right_or_not(right: Right, given: Object, holds: bool) -> None:
    assert right.is_in(given) is holds


class Server:
    """Lists some rules, and knows of more."""

    def __init__(self, *rules: Object, knows: tuple[str, ...] = (), lists: bool = True) -> None:
        self._rules, self._knows, self._lists = rules, knows, lists
        self.asked: list[str] = []

    def rules(self) -> tuple[Object, ...]:
        if not self._lists:
            raise NotPermitted("you may not create selfsubjectrulesreviews")
        return self._rules

    def may(self, verb: str, resource: Resource, *, subresource: str = "", name: str = "") -> bool:
        self.asked.append(f"{verb} {resource.plural}/{subresource}".rstrip("/"))
        return self.asked[-1] in self._knows


def test_what_is_not_listed_is_asked_for() -> None:
    """As of an authorizer beside RBAC, which lists nothing."""
    server = Server(rule("create", "batch", "jobs"), knows=("get pods/log",))
    wanted = [CREATE, LOG, Right("delete", JOBS, "cancel")]
    assert not_given(cast(Cluster, server), wanted) == wanted[2:]
    assert sorted(server.asked) == ["delete jobs", "get pods/log"]


def test_a_server_that_lists_nothing_is_asked_for_all() -> None:
    server = Server(knows=("create jobs",), lists=False)
    assert not_given(cast(Cluster, server), [CREATE, LOG]) == [LOG]
