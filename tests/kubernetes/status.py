"""The status of a pod as a kubelet writes it, from what its containers do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tests.kubernetes.events import NODE
from tests.kubernetes.kinds import Object
from tests.kubernetes.processes import Process
from tests.kubernetes.storage import timestamp

HOST_IP = "192.0.2.2"
_OWN = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def image_id(image: str) -> str:
    """The id of a side-loaded image, which has no repository digest."""
    return "sha256:" + hashlib.sha256(image.encode()).hexdigest()


@dataclass
class Container:
    """One container, as the kubelet knows it."""

    spec: Object
    initial: bool = False
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    process: Process | None = None
    id: str = ""
    image_id: str = ""
    killed_for_memory: bool = False

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def sidecar(self) -> bool:
        return self.initial and self.spec.get("restartPolicy") == "Always"

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        terminated = self.state.get("terminated")
        return None if terminated is None else int(terminated["exitCode"])

    def ready(self) -> bool:
        """A running container has no probes here; a finished init container counts as ready."""
        if self.initial and not self.sidecar:
            return self.exit_code == 0
        return self.running

    def status(self) -> Object:
        found: Object = {"name": self.name, "state": self.state, "lastState": {}, "ready": self.ready()}
        found |= {"restartCount": 0, "image": self.spec["image"], "imageID": self.image_id}
        if self.id:
            found["containerID"] = self.id
        found["started"] = self.running
        return found | ({"resources": self.spec["resources"]} if self.id else {})


@dataclass
class Observed:
    """All that goes into a pod's status."""

    initial: list[Container]
    main: list[Container]
    sandbox: bool = False
    ip: str = ""
    started: str = ""

    def outcome(self) -> str:
        """The phase that the containers add up to; the published one stays behind while things end."""
        codes = [container.exit_code for container in self.main]
        if any(container.exit_code for container in self.initial if not container.sidecar):
            return "Failed"
        if all(code is not None for code in codes) and not any(each.running for each in self.initial):
            return "Failed" if any(codes) else "Succeeded"
        return (
            "Running"
            if any(each.running for each in self.main) or any(code is not None for code in codes)
            else "Pending"
        )

    def initialized(self) -> bool:
        return all(
            container.exit_code == 0
            or (container.sidecar and (container.running or container.exit_code is not None))
            for container in self.initial
        )

    def conditions(self, generation: int, before: list[Object]) -> list[Object]:
        """The kubelet's conditions; those of others are kept, and a time changes with the state only."""
        outcome = self.outcome()
        unready = [each.name for each in self.main if not each.ready()]
        incomplete = [each.name for each in self.initial if not each.ready()]
        ready: tuple[bool, str, str] = (True, "", "")
        if outcome == "Succeeded":
            ready = (False, "PodCompleted", "")
        elif outcome == "Failed":
            ready = (False, "PodFailed", "")
        elif unready:
            ready = (False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
        initialized: tuple[bool, str, str] = (True, "PodCompleted" if outcome == "Succeeded" else "", "")
        if not self.initialized():
            why = f"containers with incomplete status: [{' '.join(incomplete)}]"
            initialized = (False, "ContainersNotInitialized", why)
        states = dict(
            zip(
                _OWN,
                ((self.sandbox, "", ""), initialized, ready, ready, (True, "", "")),
                strict=True,
            )
        )
        old = {condition["type"]: condition for condition in before}
        others = [condition for condition in before if condition["type"] not in _OWN]
        return [*others, *(_condition(name, *state, generation, old) for name, state in states.items())]

    def write(self, pod: Object, phase: str) -> None:
        """Put all this into a pod."""
        status = pod["status"]
        generation = pod["metadata"]["generation"]
        status["conditions"] = self.conditions(generation, status.get("conditions") or [])
        status |= {"observedGeneration": generation, "phase": phase, "startTime": self.started}
        status |= {"hostIP": HOST_IP, "hostIPs": [{"ip": HOST_IP}]}
        if self.ip:
            status |= {"podIP": self.ip, "podIPs": [{"ip": self.ip}]}
        if self.initial:
            status["initContainerStatuses"] = [container.status() for container in self.initial]
        status["containerStatuses"] = [container.status() for container in self.main]


def _condition(
    name: str, holds: bool, reason: str, message: str, generation: int, old: dict[str, Object]
) -> Object:
    state = "True" if holds else "False"
    before = old.get(name)
    same = before is not None and before["status"] == state
    condition: Object = {
        "type": name,
        "observedGeneration": generation,
        "status": state,
        "lastProbeTime": None,
    }
    condition["lastTransitionTime"] = before["lastTransitionTime"] if before and same else timestamp()
    return condition | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def bind(pod: Object) -> None:
    """What a scheduler writes when it has found a node."""
    pod["spec"]["nodeName"] = NODE
    pod["status"]["conditions"] = [scheduled(True, "", "")]


def scheduled(holds: bool, reason: str, message: str) -> Object:
    """The scheduler's own condition."""
    return _condition("PodScheduled", holds, reason, message, 1, {})
