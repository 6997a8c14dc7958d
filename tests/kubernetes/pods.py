"""The scheduler and the kubelet: each pod has a thread that takes it through its life."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.kubernetes import status
from tests.kubernetes.clock import Clock
from tests.kubernetes.events import NODE, Recorder
from tests.kubernetes.faults import Faults
from tests.kubernetes.kinds import Key, Object
from tests.kubernetes.logs import Log
from tests.kubernetes.processes import ConfigError, Place, Process, base_environment, environment, expand
from tests.kubernetes.removal import Removal
from tests.kubernetes.status import Container, Observed
from tests.kubernetes.storage import Change, Storage, timestamp

SANDBOX = 0.5
"""Seconds of the cluster's time until a pod has its network; between two looks at a pod that cannot start."""
TEARDOWN = 1.5
"""Seconds of the cluster's time from the end of the last container to the end of the pod: longer than the Job
controller waits for news, so that it sees the one before the other."""
CPUS = 8.0


class Gone(Exception):
    """The pod was deleted, or the cluster ends: its thread has nothing more to do but to clean up."""


@dataclass
class Node:
    """What the threads of all pods share."""

    storage: Storage
    clock: Clock
    faults: Faults
    scratch: Path
    removal: Removal | None = None
    address: tuple[str, int] = ("127.0.0.1", 0)
    entrypoints: dict[str, list[str]] = field(default_factory=dict)
    """The command of an image, for containers that name none."""
    image_env: dict[str, str] = field(default_factory=dict)
    """Variables that every image brings."""
    folders: dict[str, Path] = field(default_factory=dict)
    """Where an image's processes start, for containers that name no folder."""
    image_ids: dict[str, str] = field(default_factory=dict)
    """``repository@sha256:…`` for images that were pulled; all others were side-loaded."""
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(12))


class Kubelet:
    """Runs every pod that comes without a node; a pod that is bound already is somebody else's."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pods: dict[str, Pod] = {}
        self._stopped = False
        node.storage.listen(self._note)
        node.faults.changed = self.wake

    def runs(self, uid: str) -> bool:
        return uid in self.pods

    def log(self, uid: str, container: str) -> Log | None:
        """The log of a container that has started."""
        pod = self.pods.get(uid)
        return None if pod is None else pod.logs.get(container)

    def wake(self) -> None:
        """Let every pod look again at what has changed around it."""
        for pod in list(self.pods.values()):
            pod.woken.set()

    def stop(self) -> None:
        """Kill what runs, and wait for the threads."""
        self._stopped = True
        for pod in list(self.pods.values()):
            pod.abandon()
        for pod in list(self.pods.values()):
            pod.join()

    def _note(self, change: Change) -> None:
        if change.key.plural != "pods" or change.key.group:
            return
        uid = change.object["metadata"]["uid"]
        if change.type == "ADDED" and not change.object["spec"].get("nodeName") and not self._stopped:
            self.pods[uid] = Pod(self.node, change.key, change.object)
            self.pods[uid].start()
        elif uid in self.pods:
            self.pods[uid].seen(change)


class Pod:
    """The life of one pod, in a thread of its own."""

    def __init__(self, node: Node, key: Key, pod: Object) -> None:
        self.node = node
        self.key = key
        self.pod = pod
        self.woken = threading.Event()
        self.logs: dict[str, Log] = {}
        self._deleted_at: float | None = None
        self._grace = 0.0
        self._removed = False
        self._folder = node.scratch / f"{key.namespace}-{key.name}"
        self._kubelet = Recorder(node.storage, "kubelet")
        self._thread = threading.Thread(target=self._run, name=f"pod-{key.name}", daemon=True)
        spec = pod["spec"]
        self.observed = Observed(
            [Container(each, initial=True) for each in spec.get("initContainers") or []],
            [Container(each) for each in spec["containers"]],
        )
        if self.observed.initial:
            for container in self._all():
                container.state = {"waiting": {"reason": "PodInitializing"}}

    # Told by others.

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def seen(self, change: Change) -> None:
        """Take note of a change of the pod; under the storage's lock."""
        meta = change.object["metadata"]
        self.pod = change.object
        if "deletionTimestamp" in meta and self._deleted_at is None:
            self._deleted_at = time.monotonic()
            self._grace = float(meta["deletionGracePeriodSeconds"])
            self.woken.set()
        if change.type == "DELETED":
            self._removed = True
            self.woken.set()

    def abandon(self) -> None:
        """End without a word: the cluster stops."""
        self._removed = True
        self.woken.set()
        for container in self._all():
            if container.process is not None:
                container.process.kill()

    # The life.

    def _run(self) -> None:
        try:
            self._schedule()
            self._prepare()
            self._work()
        except Gone:
            pass
        finally:
            self._end()

    def _all(self) -> list[Container]:
        return [*self.observed.initial, *self.observed.main]

    def _pause(self, seconds: float) -> None:
        """Let the cluster's time pass; Gone as soon as the pod is to go."""
        until = time.monotonic() + self.node.clock.real(seconds)
        while True:
            self._check()
            left = until - time.monotonic()
            if left <= 0:
                return
            self.woken.wait(left)
            self.woken.clear()

    def _check(self) -> None:
        if self._removed or self._deleted_at is not None:
            raise Gone

    def _hold(self, blocked: Callable[[], str | None], tell: Callable[[str], None]) -> None:
        """Stay until nothing blocks any more, telling at first, and again now and then, what does."""
        while (why := blocked()) is not None:
            tell(why)
            self._pause(10.0)

    def _schedule(self) -> None:
        scheduler = Recorder(self.node.storage, "default-scheduler")

        def tell(why: str) -> None:
            condition = status.scheduled(False, "Unschedulable", why)

            def refuse(pod: Object) -> None:
                if not pod["status"].get("conditions"):
                    pod["status"]["conditions"] = [condition]

            self.node.storage.mutate(self.key, refuse)
            scheduler.say(self.pod, "FailedScheduling", why, warn=True)

        self._hold(self._no_node, tell)
        if self.node.storage.mutate(self.key, status.bind) is None:
            raise Gone
        place = f"{self.key.namespace}/{self.key.name}"
        scheduler.say(self.pod, "Scheduled", f"Successfully assigned {place} to {NODE}")

    def _no_node(self) -> str | None:
        """Why no node takes this pod."""
        why = self.node.faults.no_node()
        if why is None and _cpus(self.pod) > CPUS:
            why = "1 Insufficient cpu"
        if why is None:
            return None
        useless = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        return f"0/1 nodes are available: {why}. no new claims to deallocate, {useless}"

    def _prepare(self) -> None:
        self.observed.started = timestamp()
        self._publish("Pending")
        self._pause(SANDBOX)
        self.observed.sandbox = True
        self._publish("Pending")
        self._pause(self.node.faults.delay())
        for container in self.observed.initial:
            self._start(container)
            self._publish("Pending")
            if container.sidecar:
                continue
            while container.process is not None and container.process.exit_code is None:
                self._wait()
            self._reap()
            if container.exit_code:
                return
            self._publish("Pending")

    def _work(self) -> None:
        if not self.observed.initialized():
            return
        for container in self.observed.main:
            self._start(container)
        self._publish("Running")
        while True:
            if self._reap():
                self._publish("Running")
            running = [container for container in self.observed.main if container.running]
            if not running:
                return
            if self.node.faults.take_oom(self.key.name):
                running[0].killed_for_memory = True
                self._process(running[0]).kill()
            self._wait()

    def _wait(self) -> None:
        """Sleep until a process ends or somebody speaks; Gone when the pod is to go."""
        self._check()
        self.woken.wait()
        self.woken.clear()
        self._check()

    def _process(self, container: Container) -> Process:
        assert container.process is not None
        return container.process

    # Containers.

    def _start(self, container: Container) -> None:
        image = container.spec["image"]
        self._hold(
            lambda: "missing" if self.node.faults.lacks(image) else None, lambda _: self._no_image(container)
        )
        place = Place(self._folder, self.pod, container.spec)
        prepared: list[tuple[list[str], dict[str, str]]] = []

        def blocked() -> str | None:
            try:
                prepared[:] = [self._command(container, place)]
            except ConfigError as error:
                return str(error)
            return None

        self._hold(blocked, lambda why: self._cannot(container, "CreateContainerConfigError", why))
        ((argv, env),) = prepared
        with self.node.storage.lock:
            self._check()
            try:
                container.process = Process(
                    argv, env, _folder(place, self.node.folders.get(image)), self.woken.set
                )
            except OSError as error:
                container.state = {"terminated": _terminated(128, "StartError", str(error), timestamp(), "")}
                self._kubelet.say(self.pod, "Failed", f"Error: {error}", warn=True, container=container.name)
                return
            self.logs[container.name] = container.process.log
        container.id = f"containerd://{container.process.pid:064x}"
        container.image_id = self.node.image_ids.get(image, status.image_id(image))
        container.state = {"running": {"startedAt": timestamp()}}
        if not self.observed.ip:
            self.observed.ip = f"10.244.0.{next(self.node.numbers)}"
        present = f'Container image "{image}" already present on machine and can be accessed by the pod'
        steps = (("Pulled", present), ("Created", "Container created"), ("Started", "Container started"))
        for reason, message in steps:
            self._kubelet.say(self.pod, reason, message, container=container.name)

    def _command(self, container: Container, place: Place) -> tuple[list[str], dict[str, str]]:
        spec, node = container.spec, self.node
        own = environment(node.storage, self.pod, spec)
        place.fill(node.storage, self.key.namespace)
        command = spec.get("command") or node.entrypoints.get(spec["image"], [])
        argv = [place.mapped(expand(each, own)) for each in [*command, *(spec.get("args") or [])]]
        if not argv:
            raise ConfigError("no command specified")
        brought = dict(base_environment(self.pod, place, node.address)) | node.image_env
        return argv, brought | {name: place.mapped(value) for name, value in own.items()}

    def _no_image(self, container: Container) -> None:
        image = container.spec["image"]
        if container.spec["imagePullPolicy"] == "Never":
            why = f'Container image "{image}" is not present with pull policy of Never'
            reason, event = "ErrImageNeverPull", "ErrImageNeverPull"
        else:
            first = "waiting" in container.state and "Image" not in container.state["waiting"]["reason"]
            why = (
                f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
            )
            reason, event = ("ErrImagePull" if first else "ImagePullBackOff"), "Failed"
        self._cannot(container, reason, why, event=event)

    def _cannot(self, container: Container, reason: str, why: str, *, event: str = "Failed") -> None:
        if not self.observed.ip:
            self.observed.ip = f"10.244.0.{next(self.node.numbers)}"
        container.state = {"waiting": {"reason": reason, "message": why}}
        self._publish("Pending")
        self._kubelet.say(self.pod, event, why, warn=True, container=container.name)
        self._kubelet.say(self.pod, "Failed", f"Error: {reason}", warn=True, container=container.name)

    def _reap(self) -> bool:
        """Note which containers have ended; True if any has."""
        found = False
        for container in self._all():
            process = container.process
            if not container.running or process is None or process.exit_code is None:
                continue
            code = process.exit_code
            reason = "OOMKilled" if container.killed_for_memory else "Error" if code else "Completed"
            place = Place(self._folder, self.pod, container.spec)
            message = place.message(process.log, code)
            started = container.state["running"]["startedAt"]
            ended = _terminated(code, reason, message, started, container.id)
            container.state = {"terminated": ended}
            found = True
        return found

    # The end.

    def _end(self) -> None:
        if self._removed:
            return self._kill_all()
        if self._deleted_at is not None:
            self._halt(self.observed.main, self._deleted_at + self.node.clock.given(self._grace))
            self._halt(self.observed.initial, time.monotonic() + self.node.clock.real(1))
            outcome = self.observed.outcome()
            self.observed.sandbox = False
            self._publish(outcome if outcome in ("Succeeded", "Failed") else "Failed")
        else:
            sidecars = [each for each in self.observed.initial if each.running]
            if sidecars:
                grace = self.pod["spec"]["terminationGracePeriodSeconds"]
                self._halt(sidecars, time.monotonic() + self.node.clock.given(grace))
                self.observed.sandbox = False
                self._publish("Running")
            self._finish()
        if self._deleted_at is not None and self.node.removal is not None:
            self.node.removal.delete_pod(self.key, 0)
        return None

    def _finish(self) -> None:
        try:
            self._pause(TEARDOWN)
        except Gone:
            if self._removed:
                return
        self.observed.sandbox = False
        self._publish(self.observed.outcome())

    def _halt(self, containers: list[Container], until: float) -> None:
        """SIGTERM, the grace, SIGKILL."""
        running = [container for container in containers if container.running]
        for container in running:
            text = f"Stopping container {container.name}"
            self._kubelet.say(self.pod, "Killing", text, container=container.name)
            self._process(container).terminate()
        for container in running:
            while not self._process(container).wait(min(0.05, max(until - time.monotonic(), 0))):
                if self._removed or time.monotonic() >= until:
                    self._process(container).kill()
        self._reap()

    def _kill_all(self) -> None:
        for container in self._all():
            if container.process is not None:
                container.process.kill()
                container.process.wait(5)

    def _publish(self, phase: str) -> None:
        self.node.storage.mutate(self.key, lambda pod: self.observed.write(pod, phase))


def _terminated(code: int, reason: str, message: str, started: str, container_id: str) -> Object:
    ended: Object = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": timestamp()}
    return ended | ({"message": message} if message else {}) | {"containerID": container_id}


def _folder(place: Place, of_image: Path | None) -> Path:
    """Where the process starts: the container's own folder, or the image's if this machine has it."""
    wanted = place.container.get("workingDir")
    if not wanted:
        return of_image or place.root
    if Path(wanted).is_dir():
        return Path(wanted)
    place.at(wanted).mkdir(parents=True, exist_ok=True)
    return place.at(wanted)


def _cpus(pod: Object) -> float:
    """How many processors a pod asks for."""
    total = 0.0
    for container in pod["spec"]["containers"]:
        asked = str(container["resources"].get("requests", {}).get("cpu", "0"))
        total += float(asked[:-1]) / 1000 if asked.endswith("m") else float(asked)
    return total
