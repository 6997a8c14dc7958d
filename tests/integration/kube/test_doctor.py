"""``doctor --env``, and the table of rights behind it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from oneoff.kube.checks.rights import Right, by_verb, role
from tests.kubernetes import FakeKubernetes, routes
from tests.kubernetes.shop import Shop, shop


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path) as found:
        yield found


def told(live: Shop, *, code: int = 0) -> dict[str, tuple[bool, str, str]]:
    """The findings by their names."""
    ended = live("doctor", "--env", "production", "-o", "json")
    assert ended.code == code, ended.err
    return {each["name"]: (each["ok"], each["message"], each["next_step"]) for each in ended.json}


def test_all_is_well(live: Shop) -> None:
    ended = live("doctor", "--env", "production")
    assert ended.code == 0, ended.err
    lines = [line.split(maxsplit=2) for line in ended.out.splitlines()]
    assert {mark for mark, _, _ in lines} == {"ok", "next:"}
    by_name = {name: message for mark, name, message in lines if mark == "ok"}
    assert by_name["environment"] == "production, protected: deployment/web in shop, context fake"
    assert by_name["cluster"] == "Kubernetes 1.36"
    assert by_name["user"] == "admin (system:masters, system:authenticated)"
    assert by_name["launch"] == "you may create/get jobs.batch, get deployments.apps, list replicasets.apps"
    assert "role" not in by_name
    assert f"ok   in a pod store       {live.store}, 0 runs active" in ended.out.splitlines()


def test_a_store_that_no_pod_reaches_is_told(live: Shop) -> None:
    """In the words of the pod's own doctor."""
    live.deploy(env=[{"name": "ONEOFF_STORE", "value": "postgresql://nobody@127.0.0.1:1/none"}])
    found = told(live, code=1)
    assert not found["in a pod store"][0]
    assert "cannot be reached" in found["in a pod store"][1]
    assert not any(path for method, path in live.cluster.server.requests if "secrets" in path)


def test_what_is_missing_is_told_with_a_role_that_gives_it(live: Shop) -> None:
    access = live.cluster.access
    live.cluster.kubeconfig(live.laptop.root / "kubeconfig", token=access.add("ann", "devs"))
    for verb, resource in (("create", "jobs"), ("get", "pods/log"), ("*", "cronjobs"), ("list", "services")):
        access.deny(verb, resource, user="ann")
    found = told(live, code=1)
    assert found["user"][1] == "ann (devs, system:authenticated)"
    assert found["launch"][:2] == (False, "you may not create jobs.batch, and so cannot launch a run")
    assert found["follow"][:2] == (False, "you may not get pods/log, and so cannot read a run's output")
    assert found["cancel"][:2] == (True, "you may patch/delete jobs.batch")
    assert found["sync"][0]
    assert found["sync"][1].startswith("you may not get/list/create/patch/delete cronjobs.batch, and so")
    assert found["preflight"][0]
    given = yaml.safe_load(found["role"][2])
    _, (role, binding) = given["kind"], given["items"]
    assert role["rules"] == [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {
            "apiGroups": ["batch"],
            "resources": ["cronjobs"],
            "verbs": ["get", "list", "create", "patch", "delete"],
        },
        {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]},
    ]
    assert binding["subjects"] == [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_the_role_is_one_that_the_schemas_take() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    every = [right for rights in by_verb("Deployment").values() for right in rights]
    for item in role("shop", "system:serviceaccount:ci:deployer", every)["items"]:
        kubernetes_validate.validate(item, "1.36", strict=True)


def test_a_service_account_is_bound_as_one() -> None:
    right = by_verb(None)["cancel"][0]
    _, binding = role("shop", "system:serviceaccount:ci:deployer", [right])["items"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"}]


@pytest.mark.parametrize(
    ("fault", "bad", "words"),
    [
        pytest.param("stopped", "cluster", "refuses connections", marks=pytest.mark.slow),
        ("no context", "environment", "has no context 'fake'"),
        ("expired", "user", "does not know who you are"),
        ("terminating", "namespace", "shop is being deleted"),
        ("missing", "namespace", "has no namespace elsewhere"),
        ("no workload", "environment", "'pod/web' names no workload"),
    ],
)
def test_what_is_wrong_is_a_finding(live: Shop, fault: str, bad: str, words: str) -> None:
    break_it(live, fault)
    found = told(live, code=1)
    assert not found[bad][0]
    assert words in found[bad][1]
    assert found[bad][2]
    unseen = [
        name for name, (_, message, _) in found.items() if message.startswith("not looked at: needs the ")
    ]
    assert [name for name, (ok, _, _) in found.items() if not ok] == [bad, *unseen]
    assert ("rights" in unseen) == (bad != "namespace")
    assert "in a pod" in unseen


def break_it(live: Shop, fault: str) -> None:
    settings = live.laptop.root / "oneoff.toml"
    match fault:
        case "stopped":
            live.cluster.server.stop()
        case "no context":
            config = live.laptop.root / "kubeconfig"
            config.write_text(config.read_text().replace("name: fake", "name: other"))
        case "expired":
            live.cluster.access.expired.add("admin-token")
        case "terminating":
            found = live.cluster.get("namespaces", "", "shop")
            found["status"] = {"phase": "Terminating"}
            live.cluster.load([found])
        case "missing":
            settings.write_text(settings.read_text().replace('namespace = "shop"', 'namespace = "elsewhere"'))
        case "no workload":
            settings.write_text(settings.read_text().replace("deployment/web", "pod/web"))


def test_an_environment_that_is_not_in_kubernetes(live: Shop) -> None:
    ended = live("doctor", "--env", "local")
    assert ended.code == 2
    assert "the environment local is not in Kubernetes" in ended.err


def test_without_the_extra_for_kubernetes(live: Shop) -> None:
    hidden = "import sys; sys.modules['yaml'] = None; sys.argv[0] = 'oneoff'\n"
    hidden += "from oneoff.cli.main import main; main()"
    ended = live("doctor", "--env", "production", program=(sys.executable, "-c", hidden))
    assert ended.code == 2
    assert "needs PyYAML" in ended.err
    assert "pip install 'oneoff[kubernetes]'" in ended.err


CONFIRMED = ("--confirm", "production")


def asked(cluster: FakeKubernetes) -> set[str]:
    """What was asked of the cluster, in the words of the table."""
    found = set[str]()
    for method, path in cluster.server.requests:
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        route = routes.find(
            cluster.kinds, method, parts.path.strip("/").split("/"), watches=query.get("watch") == "true"
        )
        if route is not None and not route.kind.plural.startswith("selfsubject"):
            name = f"{route.kind.plural}.{route.kind.group}".rstrip(".")
            found.add(f"{route.verb} {name}{f'/{route.subresource}' if route.subresource else ''}")
    return found


@pytest.mark.parametrize(
    "verb",
    [("kube", "preflight"), ("exec", *CONFIRMED, "--", "true"), ("cancel", "r1", *CONFIRMED)],
    ids=lambda given: given[0],
)
def test_the_table_has_all_that_is_asked_for(live: Shop, verb: tuple[str, ...]) -> None:
    """A verb that needs another right has to name it; whoever launches needs none of those of schedules."""
    named = by_verb("Deployment")
    rights = {str(right) for name in named if name != "sync" for right in named[name]}
    on = ("--env", "production")
    if "cancel" in verb:
        asleep = ("--run-id", "r1", "--detach", "--", "sleep", "60")
        assert live("exec", *on, *CONFIRMED, *asleep).code == 0
        live.cluster.server.requests.clear()
    place = 1 + (verb[0] == "kube")
    ended = live(*verb[:place], *on, *verb[place:])
    assert ended.code == 0, ended.err
    assert asked(live.cluster) <= rights
    assert len(asked(live.cluster)) > 5


def test_every_right_is_named_once_for_a_verb() -> None:
    for kind in (None, "Deployment", "StatefulSet", "Rollout", "ReplicaSet", "PodTemplate"):
        for those in by_verb(kind).values():
            assert len(those) == len({str(right) for right in those})
        assert all(isinstance(right, Right) for those in by_verb(kind).values() for right in those)
    assert json.dumps(role("shop", "ann", [])["items"][0]["rules"]) == "[]"
