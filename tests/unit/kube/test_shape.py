from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from oneoff.errors import ManifestUnfit, OneoffError
from oneoff.kube.checks.judging import check_network, check_selectors
from oneoff.kube.checks.place import of_objects
from oneoff.kube.derivation.jobs import Launch, job
from oneoff.kube.release.workload import find, flattened
from oneoff.kube.shape import TEMPLATE, check
from oneoff.settings import KubernetesSettings, SecretKey
from oneoff.types import RunId
from tests import recorded

OBJECTS = [
    one
    for one in recorded.objects("workload-stable")
    if one["kind"] in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")
]
SETTINGS = KubernetesSettings(
    container="web", sidecars=("nginx",), store=SecretKey("a", "b"), volumes="empty"
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something is, in all depths."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


PLACES = [place for place in places(OBJECTS) if len(place) > 1 and place[1:] != ("kind",)]


@pytest.mark.parametrize(
    "value",
    [None, True, 0, "", "x", [], [None], ["x"], [1], {}, {"name": 1}, {"a": None}, {"a": [None]}, [[]], [{}]],
    ids=repr,
)
def test_a_manifest_with_anything_anywhere(value: Any) -> None:
    """Whatever stands at one place of it: a Job, or an error of ours that says what is wrong."""
    for place in PLACES:
        objects = deepcopy(OBJECTS)
        holder: Any = objects
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = value
        try:
            known = flattened(objects)
            workload = find(known, "deployment/web", None)
            launch = Launch(task="purge", environment="x", run_id=RunId("r1"), actor="ann")
            template = job(workload, SETTINGS, launch).derived.template
            around = of_objects(known, None)
            check_selectors(around, template)
            check_network(around, workload, template, SETTINGS)
        except OneoffError as error:
            assert error.message


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ([], "it is not an object"),
        ({"spec": None}, "it.spec is not something"),
        ({"spec": {"containers": {}}}, "it.spec.containers is not a list"),
        ({"spec": {"containers": []}}, "it.spec.containers is not something"),
        ({"spec": {"containers": [{"image": "x"}]}}, r"it.spec.containers\[0\].name is not something"),
        ({"spec": {"containers": [{"name": "x", "env": [None]}]}}, r"env\[0\] is not something"),
        ({"spec": {"containers": [{"name": "x", "args": [1]}]}}, r"args\[0\] is not a text"),
        ({"metadata": {"labels": {"a": 1}}, "spec": {}}, "it.metadata.labels.a is not a text"),
    ],
)
def test_the_words_name_the_place(template: Any, words: str) -> None:
    """And what is wanted there."""
    with pytest.raises(ManifestUnfit, match=words):
        check(template, TEMPLATE, "it")


def test_null_is_nothing() -> None:
    """Helm writes `env:` with nothing behind it."""
    check({"spec": {"containers": [{"name": "x", "env": None}], "volumes": None}}, TEMPLATE, "it")
