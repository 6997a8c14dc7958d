"""The whole: an API server with a scheduler, a kubelet, a Job controller and a garbage collector."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from tests.kubernetes import defaults
from tests.kubernetes.access import Access
from tests.kubernetes.certificates import Certificates
from tests.kubernetes.clock import Clock
from tests.kubernetes.controller import JobController
from tests.kubernetes.cronjobs import CronJobs
from tests.kubernetes.deployments import Deployments
from tests.kubernetes.eviction import EVICTED, disrupt
from tests.kubernetes.faults import Faults
from tests.kubernetes.http import ApiServer, Parts
from tests.kubernetes.kinds import Kind, Kinds, Object
from tests.kubernetes.pods import Kubelet, Node
from tests.kubernetes.removal import Removal
from tests.kubernetes.resources import Caller, Resources
from tests.kubernetes.storage import Storage, kind_key

_NAMESPACES = ("default", "kube-system")


class FakeKubernetes:
    """A cluster for one test: use it in a ``with``, and it leaves no process behind.

    ``scratch`` is a folder for the pods' files. ``speed`` divides backoffs and the cluster's own pace,
    ``limits`` graces and deadlines; these are as fast where nothing is said of them. ``tls`` serves https
    with these certificates. ``faults`` makes things go wrong, ``access`` says who may what, ``node`` holds
    what images are.
    """

    def __init__(
        self,
        scratch: Path,
        *,
        speed: float = 20.0,
        limits: float | None = None,
        tls: Certificates | None = None,
    ) -> None:
        self.scratch = scratch
        self.clock = Clock(speed, limits or speed)
        self.kinds = Kinds()
        self.storage = Storage(self.kinds)
        self.access = Access(self.storage)
        self.faults = Faults()
        self.resources = Resources(self.storage)
        self.node = Node(self.storage, self.clock, self.faults, scratch / "pods")
        self.kubelet = Kubelet(self.node)
        self.removal = Removal(self.storage, self.kubelet.runs)
        self.node.removal = self.removal
        self.jobs = JobController(self.resources, self.removal, self.clock, self.faults)
        self.cronjobs = CronJobs(self.resources, self.removal)
        self.deployments = Deployments(self.resources, self.removal)
        parts = Parts(self.resources, self.access, self.removal, self.kubelet, self.clock, self.faults)
        self._tls = tls
        self.server = ApiServer(parts, None if tls is None else tls.context())
        self.node.address = ("127.0.0.1", self.server.port)
        for namespace in _NAMESPACES:
            self.create_namespace(namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()
        self.jobs.stop()
        self.cronjobs.stop()
        self.deployments.stop()
        self.kubelet.stop()
        self.removal.stop()

    @property
    def url(self) -> str:
        return self.server.url

    def create_namespace(self, name: str) -> None:
        """A namespace with its default service account."""
        namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}}
        self.create(namespace)
        self.create(account, name)

    def create(self, obj: Object, namespace: str = "") -> Object:
        """As an administrator would with a client; Refused as the client would be."""
        return self.resources.create(self.kinds.of(obj), namespace, obj, Caller())

    def get(self, plural: str, namespace: str, name: str) -> Object:
        """One object, by the plural of its kind."""
        kind = self.kinds.named(plural)
        return self.resources.get(kind, namespace, name)

    def items(self, plural: str, namespace: str = "") -> list[Object]:
        """All objects of a kind, by its plural."""
        kind = self.kinds.named(plural)
        return self.storage.items(kind.group, kind.plural, namespace)

    def born(self, uid: str) -> int:
        """The revision at which an object was created."""
        with self.storage.lock:
            changes = (each for each in self.storage.history if each.type == "ADDED")
            return next(each.revision for each in changes if each.object["metadata"]["uid"] == uid)

    def load(self, objects: Path | Iterable[Object]) -> None:
        """Store objects as they are, with status, owners and uids: what a live workload looks like.

        A file holds a ``List``. Missing namespaces are made. Pods that are bound are not run.
        """
        found = json.loads(objects.read_text())["items"] if isinstance(objects, Path) else objects
        with self.storage.lock:
            for obj in found:
                namespace = obj["metadata"].get("namespace")
                if namespace and self.storage.get(self.kinds.named("Namespace").key("", namespace)) is None:
                    self.create_namespace(namespace)
                key = kind_key(self.kinds.of(obj), obj)
                self.storage.remove(key)
                self.storage.create(key, obj)

    def inject_sidecar(self, container: Object) -> None:
        """Add a container to every pod from now on, at admission, as a service mesh does."""

        def admit(kind: Kind, obj: Object) -> None:
            if kind.kind == "Pod":
                obj["spec"]["containers"].append(copy.deepcopy(container))
                defaults.fill(kind, obj)

        self.resources.admit.append(admit)

    def fire(self, namespace: str, cronjob: str, scheduled: datetime) -> Object | None:
        """Let a slot of a CronJob be due: its Job, or None where none was made."""
        return self.cronjobs.fire(namespace, cronjob, scheduled)

    def evict(self, namespace: str, pod: str, reason: str = EVICTED[0], message: str = EVICTED[1]) -> None:
        """Take a pod away: the condition, SIGTERM, the grace, SIGKILL."""
        key = self.kinds.named("Pod").key(namespace, pod)
        with self.storage.lock:
            disrupt(self.storage, key, reason, message)
            self.removal.delete_pod(key)

    def wait(self, until: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for something to be so; AssertionError where it does not come."""
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                raise AssertionError("what was waited for did not come")
            time.sleep(0.01)

    def kubeconfig(self, path: Path, *, token: str = "admin-token", namespace: str = "default") -> Path:
        """Write a kubeconfig with the one context ``fake``."""
        trust = {} if self._tls is None else {"certificate-authority": str(self._tls.authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url} | trust}],
            "users": [{"name": "fake", "user": {"token": token}}],
            "contexts": [
                {"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": namespace}}
            ],
        }
        path.write_text(yaml.safe_dump(config))
        return path
