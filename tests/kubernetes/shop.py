"""An app that is live in a fake cluster, and a laptop that has none of it: what a launch has to do with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli import Ended, Project
from tests.kubernetes import FakeKubernetes
from tests.kubernetes.kinds import Object

NAMESPACE = "shop"
IMAGE = "registry.example/shop:1.4.2"
DIGEST = f"registry.example/shop@sha256:{'a' * 64}"
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
    container: Object = field(default_factory=dict)

    def __call__(self, *arguments: str, environ: Mapping[str, str] | None = None, **more: Any) -> Ended:
        """Run ``oneoff ARGUMENTS`` on the laptop."""
        return self.laptop(*arguments, environ=self.reaching(environ), **more)

    def start(self, *arguments: str) -> Any:
        """Start it; the caller waits for it."""
        return self.laptop.start(*arguments, environ=self.reaching())

    def reaching(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of a laptop with a kubeconfig, and nothing of the app's."""
        return {"KUBECONFIG": str(self.laptop.root / "kubeconfig"), **(environ or {})}

    def in_pod(self, *arguments: str) -> Ended:
        """Run ``oneoff ARGUMENTS`` as a process of the app would."""
        return Project(self.image)(*arguments, environ={"ONEOFF_STORE": str(self.store)})

    @property
    def store(self) -> Path:
        return self.image.parent / "records" / "store.db"

    def jobs(self) -> list[Object]:
        """All Jobs of the namespace."""
        return self.cluster.items("jobs", NAMESPACE)

    def deploy(self, *, revision: int = 1, image_id: str = DIGEST, replicas: int = 2, **changes: Any) -> None:
        """Have a Deployment serve, with its ReplicaSet and its pods, as after a rollout."""
        self.container = {**self.container, **changes}
        self.cluster.load(deployed(self.container, revision=revision, image_id=image_id, replicas=replicas))


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
    with FakeKubernetes(folder / "cluster", speed=options.pop("speed", 20), **options) as cluster:
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
        found = Shop(cluster, laptop, image.root, container)
        found.deploy()
        yield found


def deployed(container: Object, *, revision: int, image_id: str, replicas: int) -> list[Object]:
    """A Deployment that has settled, with what belongs to it."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _head("web", "d", generation=revision, revision=revision),
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        "status": {
            "observedGeneration": revision,
            **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas),
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
    }
    owned = deepcopy(template)
    hashed = {**labels, "pod-template-hash": f"{revision}abc"}
    owned["metadata"] = {"labels": hashed}
    replica_set: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            **_head(f"web-{revision}abc", f"r{revision}", generation=1, revision=revision),
            "labels": hashed,
            "ownerReferences": [_owner("apps/v1", "Deployment", "web", "d")],
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": hashed}, "template": owned},
        "status": {"observedGeneration": 1, **dict.fromkeys(("replicas", "availableReplicas"), replicas)},
    }
    return [
        deployment,
        replica_set,
        *(
            _pod(f"web-{revision}abc-{each}", hashed, container, revision, image_id)
            for each in range(replicas)
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _head("web", "s", generation=1),
            "spec": {"selector": labels, "ports": [{"port": 80}]},
        },
    ]


def _pod(name: str, labels: Object, container: Object, revision: int, image_id: str) -> Object:
    owner = _owner("apps/v1", "ReplicaSet", f"web-{revision}abc", f"r{revision}")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**_head(name, name, generation=1), "labels": labels, "ownerReferences": [owner]},
        "spec": {"nodeName": "node-1", "containers": [container]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": image_id,
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-11-23T00:00:00Z"}},
                }
            ],
        },
    }


def _head(name: str, uid: str, *, generation: int, revision: int | None = None) -> Object:
    known = {} if revision is None else {"deployment.kubernetes.io/revision": str(revision)}
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid,
        "generation": generation,
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-23T00:00:00Z",
        "annotations": known,
    }


def _owner(api_version: str, kind: str, name: str, uid: str) -> Object:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
