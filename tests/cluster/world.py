"""A namespace of a cluster with an app in it, and a laptop that has none of the app."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from oneoff.errors import ClusterError, NotPermitted, OneoffError
from oneoff.kube.api.client import KubernetesCluster, connect
from oneoff.kube.api.cluster import (
    CONFIG_MAPS,
    CRONJOBS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    NAMESPACES,
    PODS,
    SERVICES,
    Resource,
    Selection,
)
from oneoff.kube.api.connection.http import Request
from oneoff.kube.objects import Object, metadata, name_of, named
from oneoff.settings.kubernetes import KubernetesSettings
from oneoff.version import __version__
from tests.cli import ONEOFF, Ended, Project
from tests.cluster import app
from tests.kubernetes import FakeKubernetes

SECRETS: Final = Resource("", "v1", "Secret", "secrets")
QUOTAS: Final = Resource("", "v1", "ResourceQuota", "resourcequotas")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "ServiceAccount", "serviceaccounts")
ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "Role", "roles")
BINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
SLICES: Final = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
RUN_ID: Final = "oneoff.dev/run-id"
_MADE_AS: Final = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}
_SHOWN = 30
"""Lines of a log, and events, that a failure shows."""
_HOPELESS: Final = frozenset({"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"})
"""Why a container waits for its image, where the tests need not go on."""
_TRY: Final = """
import os, sys
try:
    import oneoff.version
except ImportError as error:
    sys.exit(f"oneoff is not in the image's Python {sys.version.split()[0]}: {error}")
wanted, found = sys.argv[1], oneoff.version.__version__
if found != wanted:
    sys.exit(f"the image has oneoff {found}, and the tests are those of {wanted}: build it anew")
if len(sys.argv) > 2:
    try:
        os.mkdir(sys.argv[2], 0o755)
    except OSError as error:
        sys.exit(f"pods may not write into the node's folder: {error}; name a store by ONEOFF_TEST_STORE_URL")
os.execvp("oneoff", ["oneoff", "--version"])
"""
"""What the first pod does: with it all is there that the others need."""


@dataclass(kw_only=True)
class World:
    """What a test of a cluster has to do with; calling it runs ``oneoff`` on the laptop."""

    admin: KubernetesCluster
    laptop: Project
    kubeconfig: str
    image: str
    pull: str | None
    patience: float
    """Seconds after which what has not come will not come."""
    haste: float
    """Seconds until an environment of those in a hurry gives up."""
    fake: FakeKubernetes | None = None
    node: str | None = None
    records: str | None = None
    names: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    @property
    def namespace(self) -> str:
        return self.admin.namespace

    # The laptop.

    def __call__(self, *arguments: str, kubeconfig: str | None = None) -> Ended:
        """Run ``oneoff ARGUMENTS`` to its end."""
        ended = subprocess.run(
            [ONEOFF, *arguments],
            cwd=self.laptop.root,
            env=self.laptop.environ({"KUBECONFIG": kubeconfig or self.kubeconfig}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * self.patience,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def ok(self, *arguments: str, kubeconfig: str | None = None) -> Ended:
        """The same, and it has to succeed."""
        ended = self(*arguments, kubeconfig=kubeconfig)
        assert ended.code == 0, f"oneoff {' '.join(arguments)}: {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def interfered(self, *arguments: str, after: str, interfere: Callable[[Any], None]) -> Ended:
        """Run it until it has printed a line, do something to its process or elsewhere, and await its end."""
        process = self.laptop.start(*arguments, environ={"KUBECONFIG": self.kubeconfig})
        try:
            assert process.stdout is not None
            seen = ""
            while after not in seen:
                line = process.stdout.readline()
                assert line, f"{after!r} never came:\n{seen}{process.communicate()[1]}"
                seen += line
            interfere(process)
            out, err = process.communicate(timeout=self.patience)
            return Ended(process.returncode, seen + out, err)
        finally:
            process.kill()
            process.wait()

    def on_another_laptop(self, folder: Path) -> World:
        """The same cluster, from a checkout that has records of its own."""
        other = Project(folder / "laptop")
        shutil.copytree(self.laptop.root, other.root, ignore=shutil.ignore_patterns(".oneoff"))
        return replace(self, laptop=other)

    def run_id(self, what: str) -> str:
        """An id that no run has had."""
        return f"{what}-{next(self.names)}-{uuid.uuid4().hex[:6]}"

    def shown(self, run_id: str) -> Any:
        """The record of a run, as the release's store has it."""
        return self.ok("show", run_id, "--env", "cluster", "-o", "json").json

    # The cluster.

    def eventually(self, look: Callable[[], Any], what: str) -> Any:
        """What ``look`` gives once that is true."""
        until = time.monotonic() + self.patience
        while not (found := look()):
            assert time.monotonic() < until, f"within {self.patience:.0f} s there was no {what}"
            time.sleep(0.05 if self.fake else 0.5)
        return found

    def script(self, text: str) -> Object:
        """The spec of a pod that runs a script of Python once, in its one container ``main``."""
        return app.script(self.image, self.pull, self.node, text)

    def post(self, path: str, body: Object) -> Object:
        """To a subresource, which the seam of the product has no use for."""
        path = f"api/v1/namespaces/{self.namespace}/{path}"
        return self.ask(Request(method="POST", path=path, body=json.dumps(body).encode()))

    def ask(self, request: Request) -> Object:
        """Whatever the seam has no method for."""
        answer: Object = json.loads(self.admin._transport.send(request).body)
        return answer

    def jobs(self, run_id: str) -> list[Object]:
        return list(self.admin.list(JOBS, Selection(labels={RUN_ID: run_id})).items)

    def pods(self, run_id: str) -> list[Object]:
        return list(self.admin.list(PODS, Selection(labels={RUN_ID: run_id})).items)

    def running(self, run_id: str) -> Object:
        """The pod of a run, once its container runs."""
        return self.eventually(  # type: ignore[no-any-return]
            lambda: next((pod for pod in self.pods(run_id) if pod["status"]["phase"] == "Running"), None),
            f"running pod of {run_id}",
        )

    def printed(self, pod: str, container: str = "web") -> str:
        """What a pod has printed, without the kubelet's times."""
        lines = (line.decode(errors="replace") for line in self.admin.log(pod, container))
        return "".join(line.partition(" ")[2] for line in lines)

    def app_pods(self) -> list[Object]:
        return list(self.admin.list(PODS, Selection(labels=app.LABELS)).items)

    @contextmanager
    def there(self, resource: Resource, thing: Object) -> Iterator[Object]:
        """Something that is in the namespace for the time of the block."""
        made = self.admin.create(resource, thing)
        try:
            yield made
        finally:
            with suppress(ClusterError):
                self.admin.delete(resource, name_of(made), uid=metadata(made)["uid"])

    def slot(self, cronjob: str) -> Object:
        """The Job of a slot that is due: at once in the fake, with the next minute elsewhere."""
        if self.fake is not None:
            made = self.fake.fire(self.namespace, cronjob, datetime.now(UTC))
            assert made is not None
            return made

        def look() -> Object | None:
            jobs = self.admin.list(JOBS).items
            return next((job for job in jobs if cronjob in _owners(job)), None)

        found: Object = self.eventually(look, f"Job of the CronJob {cronjob}")
        return found

    def described(self) -> str:
        """What happened in the namespace, for whoever reads of a failure."""
        said = [f"namespace {self.namespace}"]
        with suppress(OneoffError):
            events = sorted(self.admin.list(EVENTS).items, key=lambda one: str(one.get("lastTimestamp")))
            for event in events[-_SHOWN:]:
                about = event["involvedObject"]
                said.append(
                    f"event {about.get('kind')}/{about.get('name')}: {event.get('reason')}: "
                    f"{event.get('message')}"
                )
        with suppress(OneoffError):
            for job in self.admin.list(JOBS).items:
                said.append(f"Job {name_of(job)}: {job.get('status')}")
            for pod in self.admin.list(PODS).items:
                status = pod["status"]
                states = [(one["name"], one.get("state")) for one in status.get("containerStatuses") or []]
                said.append(f"Pod {name_of(pod)}: {status.get('phase')} {states}")
                with suppress(OneoffError):
                    container = pod["spec"]["containers"][0]["name"]
                    said += [
                        f"  | {line}" for line in self.printed(name_of(pod), container).splitlines()[-_SHOWN:]
                    ]
        return "\n".join(said)

    def as_service_account(self, name: str, folder: Path) -> str:
        """The kubeconfig of a service account that is there."""
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self.post(f"serviceaccounts/{name}/token", wanted)
        path = folder / f"{name}.kubeconfig"
        path.write_text(_with_token(self.kubeconfig, answer["status"]["token"]))
        return str(path)

    def may_already(self, kubeconfig: str) -> bool:
        """Whether whoever has this kubeconfig may launch."""
        other = connect(KubernetesSettings(namespace=self.namespace), {"KUBECONFIG": kubeconfig})
        try:
            return other.may("create", JOBS)
        finally:
            other.close()


def _owners(thing: Object) -> list[str]:
    return [one["name"] for one in metadata(thing).get("ownerReferences") or []]


def _with_token(paths: str, token: str) -> str:
    """The current context of a kubeconfig, for whoever has this token."""
    found: dict[str, Any] = {}
    clusters: dict[str, Any] = {}
    contexts: dict[str, Any] = {}
    for one in filter(None, paths.split(os.pathsep)):
        file = Path(one)
        read = yaml.safe_load(file.read_text()) if file.exists() else {}
        found.setdefault("current-context", read.get("current-context"))
        for entry in read.get("clusters") or []:
            trust = entry["cluster"].get("certificate-authority")
            if trust:
                entry["cluster"]["certificate-authority"] = str((file.parent / trust).resolve())
            clusters.setdefault(entry["name"], entry)
        for entry in read.get("contexts") or []:
            contexts.setdefault(entry["name"], entry)
    name = found["current-context"]
    cluster = clusters[contexts[name]["context"]["cluster"]]
    user = {"name": "account", "user": {"token": token}}
    context = {"name": name, "context": {"cluster": cluster["name"], "user": "account"}}
    config = {"apiVersion": "v1", "kind": "Config", "current-context": name}
    config |= {"clusters": [cluster], "users": [user], "contexts": [context]}
    return yaml.safe_dump(config)


@contextmanager
def inhabited(
    folder: Path, *, kubeconfig: str, image: str, fake: FakeKubernetes | None = None
) -> Iterator[World]:
    """Make the namespace and the app in it; both are gone at the end, however that comes."""
    laptop = Project(folder / "laptop")
    laptop.root.mkdir()
    namespace = f"oneoff-test-{uuid.uuid4().hex[:8]}"
    admin = connect(KubernetesSettings(namespace=namespace), {**os.environ, "KUBECONFIG": kubeconfig})
    store_url = None if fake else os.environ.get("ONEOFF_TEST_STORE_URL")
    found = World(
        admin=admin,
        laptop=laptop,
        kubeconfig=kubeconfig,
        image=image,
        pull=None if fake else os.environ.get("ONEOFF_TEST_IMAGE_PULL"),
        patience=60 if fake else 300,
        haste=20 if fake else 45,
        fake=fake,
        records=None if store_url else f"/tmp/{namespace}",
    )
    settings = app.SETTINGS.format(namespace=namespace, patience=600, haste=round(found.haste))
    laptop.write(oneoff_toml=settings)
    try:
        _make_namespace(found)
        _deploy(found, settings, store_url)
        yield found
    finally:
        _remove(found)
        admin.close()


def _make_namespace(world: World) -> None:
    # What the cluster demands of pods elsewhere, or warns of, is no matter of these tests.
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "warn", "audit")}
    labels = {"oneoff.dev/test": "true", **levels}
    head = {"name": world.namespace, "labels": labels}
    world.admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": head})
    if world.fake is not None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        world.admin.create(SERVICE_ACCOUNTS, account)
    world.eventually(
        lambda: [one for one in world.admin.list(SERVICE_ACCOUNTS).items if name_of(one) == "default"],
        "default service account",
    )


def _deploy(world: World, settings: str, store_url: str | None) -> None:
    for thing in app.configuration(settings):
        world.admin.create(_MADE_AS[thing["kind"]], thing)
    world.admin.create(SERVICES, app.service())
    _try_image(world)
    spec = app.pod(
        world.image,
        world.pull,
        records=world.records,
        node=world.node,
        store_url=store_url,
        port=app.PORT if world.fake is None else 0,
    )
    world.admin.create(DEPLOYMENTS, app.deployment(spec))
    try:
        world.eventually(lambda: _settled(world.admin.get(DEPLOYMENTS, "web")), "app that is ready")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{world.described()}") from error


def _settled(deployment: Object) -> bool:
    status = deployment.get("status") or {}
    conditions = {(one["type"], one.get("reason")) for one in status.get("conditions") or []}
    return (
        status.get("availableReplicas") == deployment["spec"]["replicas"]
        and status.get("observedGeneration") == metadata(deployment)["generation"]
        and ("Progressing", "NewReplicaSetAvailable") in conditions
    )


def _try_image(world: World) -> None:
    """A first pod tells whether the image is there and has oneoff; where it comes to, all others go."""
    folder = [] if world.records is None else [f"/node/{Path(world.records).name}"]
    spec = app.script(world.image, world.pull, None, _TRY, __version__, *folder)
    pod = _once(world, "first", spec if world.records is None else app.with_folder(spec, "/tmp"))
    world.node = None if world.records is None else str(pod["spec"]["nodeName"])
    if pod["status"]["phase"] != "Succeeded":
        raise AssertionError(f"{world.image} cannot be used for the tests\n{world.described()}")


def _once(world: World, name: str, spec: Object) -> Object:
    """A pod that was run to its end."""

    def look() -> Object | None:
        pod = world.admin.get(PODS, name)
        state = (named(pod["status"].get("containerStatuses"), "main") or {}).get("state") or {}
        reason = (state.get("waiting") or {}).get("reason")
        if reason in _HOPELESS:
            node = pod["spec"].get("nodeName")
            raise AssertionError(
                f"the node {node} has no image {world.image} ({reason}): is it loaded onto all nodes, and is "
                "ONEOFF_TEST_IMAGE_PULL what it has to be?"
            )
        return pod if pod["status"].get("phase") in ("Succeeded", "Failed") else None

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    try:
        world.admin.create(PODS, pod)
    except NotPermitted as error:
        raise AssertionError(
            f"{error.message}: where pods may mount no folder of their node as root, ONEOFF_TEST_STORE_URL "
            "names a store (see tests/cluster/__init__.py)"
        ) from error
    try:
        return world.eventually(look, f"end of the pod {name}")  # type: ignore[no-any-return]
    except AssertionError as error:
        raise AssertionError(f"{error}\n{world.described()}") from error


def _remove(world: World) -> None:
    """The folder on the node, then all else with the namespace; told where it does not work."""
    try:
        if world.node is not None and world.records is not None:
            for resource in (CRONJOBS, JOBS, DEPLOYMENTS):  # whose pods would write on
                for one in world.admin.list(resource).items:
                    with suppress(ClusterError):
                        world.admin.delete(resource, name_of(one), uid=metadata(one)["uid"])
            text = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"
            folder = f"/node/{Path(world.records).name}"
            spec = app.script(world.image, world.pull, world.node, text, folder)
            _once(world, "last", app.with_folder(spec, "/tmp"))
    except Exception as error:  # the namespace has to go all the same
        print(f"{world.records} stays on the node {world.node}: {error}", file=sys.stderr)
    finally:
        with suppress(ClusterError):
            world.ask(Request(method="DELETE", path=f"api/v1/namespaces/{world.namespace}"))
