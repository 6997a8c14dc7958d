from __future__ import annotations

from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest

from oneoff.errors import NotPermitted, ObjectMissing
from oneoff.kube.api.cluster import Resource
from oneoff.kube.catalogue import KEY, catalogue_map, key_of, published
from oneoff.kube.objects import Object
from oneoff.kube.release.live import Live
from oneoff.settings import KubernetesSettings
from oneoff.tasks.document import to_document
from oneoff.tasks.task import Task
from oneoff.types import TaskName
from tests.unit.kube.samples import VERSIONS, found, workload

WHERE = KubernetesSettings(namespace="shop")
TASK = Task(name=TaskName("purge"), help="Delete.", confirm="Really?")


def live(image: str | None = "shop@sha256:aa", revision: str = "7", **container: Any) -> Live:
    return Live(workload=found(workload(**container)), image=image, revision=revision)


class OneMap:
    """A cluster that holds one object, or refuses to show it."""

    def __init__(self, held: Object | Exception | None) -> None:
        self.held = held

    def get(self, resource: Resource, name: str) -> Object:
        if isinstance(self.held, Exception):
            raise self.held
        if self.held is None or self.held["metadata"]["name"] != name or resource.kind != "ConfigMap":
            raise ObjectMissing(f"there is no {name}")
        return self.held


def read(held: Object | Exception | None, release: Live) -> list[Task] | None:
    return published(OneMap(held), release, WHERE)  # type: ignore[arg-type]  # of a cluster it needs `get` alone


def test_what_is_published_is_read() -> None:
    """By whoever meets the same release; the same bytes each time."""
    made = catalogue_map(live(), WHERE, [to_document(TASK)])
    assert made == catalogue_map(live(), WHERE, [to_document(TASK)])
    assert read(made, live(revision="8")) == [TASK]
    for version in VERSIONS:
        kubernetes_validate.validate(made, version, strict=True)


def test_a_thousand_tasks_fit() -> None:
    """A ConfigMap holds 1 MiB."""
    many: list[Any] = [
        {**to_document(TASK), "name": f"purge-{n}", "help": f"{n} " * 500} for n in range(1000)
    ]
    made = catalogue_map(live(), WHERE, many)
    assert len(str(made)) < 1 << 20
    assert len(read(made, live()) or ()) == 1000


@pytest.mark.parametrize(
    "other",
    [
        live(image="shop@sha256:bb"),
        live(env=[{"name": "ONEOFF_APP", "value": "other:app"}]),
        live(workingDir="/other"),
        live(image=None),
    ],
)
def test_another_release_is_asked_itself(other: Live) -> None:
    """Another image, or the same one started otherwise; and one without a digest, always."""
    assert read(catalogue_map(live(), WHERE, [to_document(TASK)]), other) is None
    if other.image is None:
        assert read(catalogue_map(other, WHERE, [to_document(TASK)]), other) is None


@pytest.mark.parametrize(
    "data", [{}, {"tasks.json.gz": "?"}, {"tasks.json.gz": "eA=="}, {"tasks.json.gz": "H4sI"}]
)
def test_a_broken_map_is_none(data: dict[str, str]) -> None:
    """Nobody can be kept from a run by it."""
    made = catalogue_map(live(), WHERE, [to_document(TASK)])
    assert read({**made, "binaryData": data}, live()) is None
    assert read(catalogue_map(live(), WHERE, [{"name": 1}]), live()) is None
    assert read(catalogue_map(live(), WHERE, None), live()) is None


def test_a_map_that_is_not_there_or_not_shown() -> None:
    """Then the release is asked."""
    assert read(None, live()) is None
    assert read(NotPermitted("you may not get configmaps"), live()) is None


def test_what_a_release_is_known_by() -> None:
    """A digest lasts; without one the revision and the template are all that is known, for a moment."""
    assert key_of(live(), WHERE).lasting
    unsure = key_of(live(image=None), WHERE)
    assert not unsure.lasting
    assert unsure != key_of(live(image=None, revision="8"), WHERE)
    assert key_of(live(resources={"limits": {"cpu": "1"}}), WHERE) == key_of(live(), WHERE)
    assert key_of(live(), replace(WHERE, program=("python", "manage.py", "oneoff"))) != key_of(live(), WHERE)
    assert catalogue_map(live(), WHERE, [])["metadata"]["annotations"][KEY] == key_of(live(), WHERE).text
