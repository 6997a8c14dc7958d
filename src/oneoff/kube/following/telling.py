"""What is said of a Job while it is followed, each thing once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from oneoff.errors import ClusterError
from oneoff.kube.following.verdict import Verdict

_PROXIES: Final = {
    "istio-proxy": 'annotate the workload\'s pods with sidecar.istio.io/nativeSidecar: "true", or let the '
    "command end with a POST to http://localhost:15020/quitquitquit",
    "linkerd-proxy": "annotate the workload's pods with "
    'config.beta.linkerd.io/proxy-enable-native-sidecar: "true"',
}
"""Containers that a service mesh adds when a pod is made, and how they end with the task."""
_ADDED: Final = (
    "it was added when the pod was made; let what adds it make it a native sidecar (an init container with "
    "restartPolicy: Always), or leave out pods with the label app.kubernetes.io/component: oneoff"
)
"""Of any other: a run's Job itself has no second container that is not native."""


class Teller:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: set[str] = set()

    def once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def away(self, error: ClusterError) -> None:
        """The cluster does not say how things are; said again only after it was back."""
        if "away" not in self._said:
            self._said.add("away")
            self._say(f"{error.message}; the run is not touched by that, and followed as soon as it can be")

    def back(self) -> None:
        self._said.discard("away")
        self._say("the cluster answers again")

    def attempt(self, index: str, attempt: int, pod: str) -> None:
        self._say(f"attempt {attempt}{f' of shard {index}' if index else ''} (pod {pod})")

    def waits(self, verdict: Verdict) -> None:
        """What keeps it from starting."""
        if verdict.reason == "JobSuspended":
            self.once("it waits: the Job is suspended, or queued, and starts when it is resumed")
        elif verdict.reason:
            known = verdict.message.startswith(verdict.reason)
            self.once(f"it waits: {verdict.message if known else f'{verdict.reason}: {verdict.message}'}")

    def ended(self, verdict: Verdict) -> None:
        """What to set, so that the next Job ends with its task."""
        for name in verdict.held_by:
            how = _PROXIES.get(name, _ADDED)
            self.once(f"the container {name} keeps the Job from ending though its task has ended: {how}")
