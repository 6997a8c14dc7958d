"""An app that is live in a fake cluster, and a laptop that has none of it: what a launch has to do with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.cli import Ended, Project
from tests.kubernetes import FakeKubernetes, standings
from tests.kubernetes.kinds import Object
from tests.kubernetes.standings import LABELS, Revision, deployment
from tests.kubernetes.storage import kind_key

NAMESPACE = standings.NAMESPACE
DIGEST = standings.DIGEST
IMAGE = "registry.example/shop:1.4.2"
_OF_A_WORKLOAD = (
    *("deployments", "statefulsets", "rollouts", "podtemplates"),
    *("replicasets", "controllerrevisions", "pods"),
)
_SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": LABELS, "ports": [{"port": 80}]},
}
TASKS = '''
from datetime import timedelta
from typing import Literal

import oneoff

admin = oneoff.App("shop")


@admin.task(confirm="This deletes data. Continue?", timeout=timedelta(minutes=5))
def purge(ctx: oneoff.Context, older_than: timedelta, mode: Literal["soft", "hard"] = "soft") -> None:
    """Delete what is old."""
    print(f"purging {older_than.days} days, {mode}", flush=True)
    if older_than.days == 13:
        raise RuntimeError("the table is gone")


@admin.task
def count(ctx: oneoff.Context, up_to: int = 3, pause: float = 0.0) -> None:
    """Count."""
    for number in range(up_to):
        print(f"tick {number}", flush=True)
        ctx.sleep(pause)


@admin.task
def post(ctx: oneoff.Context, token: oneoff.Secret) -> None:
    """Tell how long the token is."""
    print(f"the token has {len(token.reveal())} letters")


@admin.task(schedule="0 2 * * *", time_zone="Europe/Berlin")
def nightly(ctx: oneoff.Context) -> None:
    """Clean up."""
    print("cleaned")
'''
RELEASE = '[tool.oneoff]\napp = "admin:admin"\n'
LAPTOP = """
[tool.oneoff.environments.production]
protected = true
kubernetes = {{ context = "fake", namespace = "shop", workload = "deployment/web", container = "web"{more} }}

[tool.oneoff.environments.staging]
kubernetes = {{ context = "fake", namespace = "shop", workload = "deployment/web", container = "web"{more} }}

[tool.oneoff.tasks.db-migrate]
command = ["sh", "-c", "echo migrating; exit ${{CODE:-0}}"]
runner = false
"""


@dataclass
class Shop:
    """The app in its cluster, and the laptop that reaches it."""

    cluster: FakeKubernetes
    laptop: Project
    """A checkout without the app: it has the table of environments, and no store."""
    image: Path
    """The folder of the image, with the app; the records are beside it."""
    revisions: list[Revision] = field(default_factory=list)
    """Of the workload, the newest last."""

    def __call__(self, *arguments: str, environ: Mapping[str, str] | None = None, **more: Any) -> Ended:
        """Run ``oneoff ARGUMENTS`` on the laptop."""
        return self.laptop(*arguments, environ=self.reaching(environ), **more)

    def start(self, *arguments: str) -> Any:
        """Start it; the caller waits for it."""
        return self.laptop.start(*arguments, environ=self.reaching())

    def reaching(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of a laptop with a kubeconfig, and nothing of the app's."""
        return {
            "KUBECONFIG": str(self.laptop.root / "kubeconfig"),
            "XDG_STATE_HOME": str(
                self.laptop.root.parent / "home"
            ),  # what was seen of another cluster is no news
            **(environ or {}),
        }

    def in_pod(self, *arguments: str) -> Ended:
        """Run ``oneoff ARGUMENTS`` as a process of the app would."""
        return Project(self.image)(*arguments, environ={"ONEOFF_STORE": str(self.store)})

    @property
    def store(self) -> Path:
        return self.image.parent / "records" / "store.db"

    def jobs(self) -> list[Object]:
        """All Jobs of the namespace."""
        return self.cluster.items("jobs", NAMESPACE)

    @property
    def container(self) -> Object:
        """The app's own, in its newest revision."""
        return self.revisions[-1].container

    def deploy(self, *, revision: int = 1, image_id: str = DIGEST, replicas: int = 2, **changes: Any) -> None:
        """Have a Deployment serve, as after a rollout: the pods of earlier revisions are gone."""
        newest = Revision(revision, {**self.container, **changes}, image_id, replicas, replicas)
        earlier = [replace(one, pods=0, ready=0) for one in self.revisions if one.number < revision]
        self.revisions = [*earlier, newest]
        self.stand(deployment(self.revisions, replicas=replicas))

    def roll(self, *, revision: int = 2, image_id: str = DIGEST, ready: int = 0, **changes: Any) -> None:
        """Be in the middle of a rollout: one pod of the new revision is there, and all of the one before."""
        new = Revision(revision, {**self.container, **changes}, image_id, 1, ready)
        self.revisions = [*self.revisions, new]
        self.stand(deployment(self.revisions))

    def pause(self, **changes: Any) -> None:
        """Be paused, with a change that no ReplicaSet has."""
        self.stand(deployment(self.revisions, change={**self.container, **changes}, paused=True))

    def fail(self) -> None:
        """Have no pod of the settled release ready any more."""
        self.stand(deployment([replace(one, ready=0) for one in self.revisions], settled=True))

    def stand(self, objects: list[Object]) -> None:
        """Have this workload in place of the one that is there."""
        for plural in _OF_A_WORKLOAD:
            for one in self.cluster.items(plural, NAMESPACE):
                mine = one["metadata"].get("labels", {}).items()
                if one["metadata"]["name"] == "web" or mine >= LABELS.items():
                    self.cluster.storage.remove(kind_key(self.cluster.kinds.named(plural), one))
        self.cluster.load(objects)


@contextmanager
def shop(folder: Path, *, tasks: str = TASKS, settings: str = "", **options: Any) -> Iterator[Shop]:
    """A cluster with the app in it.

    Args:
        settings: What the laptop's kubernetes tables have besides, as TOML.
    """
    for name in ("laptop", "image", "records", "cluster"):
        (folder / name).mkdir()
    laptop, image = Project(folder / "laptop"), Project(folder / "image")
    laptop.write(oneoff_toml=LAPTOP.format(more=f", {settings}" if settings else ""))
    image.write(admin_py=tasks, oneoff_toml=RELEASE + LAPTOP.format(more=""))
    with FakeKubernetes(folder / "cluster", **{"speed": 20, "limits": 1} | options) as cluster:
        cluster.create_namespace(NAMESPACE)
        cluster.kubeconfig(folder / "laptop" / "kubeconfig", namespace="default")
        container: Object = {
            "name": "web",
            "image": IMAGE,
            "command": ["oneoff-serves-nothing"],
            "workingDir": str(image.root),
            "env": [
                {"name": "ONEOFF_STORE", "value": str(folder / "records" / "store.db")},
                {"name": "MODE", "value": "1e3"},
            ],
            "ports": [{"containerPort": 8000}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        }
        cluster.create(_SERVICE, NAMESPACE)
        found = Shop(cluster, laptop, image.root, [Revision(1, container)])
        found.deploy()
        yield found
