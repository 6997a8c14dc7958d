"""What a test can make go wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch

from tests.kubernetes import answers
from tests.kubernetes.answers import Refused


@dataclass
class _Answer:
    code: int
    times: int
    method: str
    path: str


@dataclass
class Faults:
    """Each fault is set by one call and stays until it has happened, or for good where it says so.

    Names of pods and images may be patterns as in a shell: ``web-*``.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    changed: Callable[[], None] = lambda: None
    """Tells the kubelet to look again."""
    _answers: list[_Answer] = field(default_factory=list)
    _lost: list[_Answer] = field(default_factory=list)
    _drop_after: list[int] = field(default_factory=list)
    _drop_log_after: list[int] = field(default_factory=list)
    _mute: int = 0
    _gone: int = 0
    _progress_disabled: int = 0
    _twice: int = 0
    _delay: float = 0.0
    _missing_images: set[str] = field(default_factory=set)
    _unschedulable: str | None = None
    _quota: str | None = None
    _oom: list[str] = field(default_factory=list)

    # Asked by tests.

    def answer_next(self, status: int, times: int = 1, *, method: str = "*", path: str = "*") -> None:
        """Answer the next requests with 401, 409, 429, 500, 503 or 504, and do nothing of what they ask."""
        with self.lock:
            self._answers.append(_Answer(status, times, method, path))

    def lose_next_answer(self, times: int = 1, *, method: str = "*", path: str = "*") -> None:
        """Do what the next requests ask, and cut the connection instead of answering."""
        with self.lock:
            self._lost.append(_Answer(0, times, method, path))

    def drop_watch_after(self, events: int) -> None:
        """Cut the connection of the next watch after so many events, as a proxy does: in mid-stream."""
        with self.lock:
            self._drop_after.append(events)

    def drop_log_after(self, lines: int) -> None:
        """Cut the connection of the next log that is read after so many lines."""
        with self.lock:
            self._drop_log_after.append(lines)

    def mute_watch(self) -> None:
        """Let the next watch be silent for ever: half open, not even ended by its own timeout."""
        with self.lock:
            self._mute += 1

    def gone_410_once(self) -> None:
        """Answer the next watch that names a revision with 410, inside an HTTP 200."""
        with self.lock:
            self._gone += 1

    def watch_progress_disabled(self, times: int = 1) -> None:
        """Answer the next watches without a revision with a 500 inside an HTTP 200, as over an old etcd."""
        with self.lock:
            self._progress_disabled += times

    def start_twice(self) -> None:
        """Make two pods, for the next one that a Job wants."""
        with self.lock:
            self._twice += 1

    def start_delay(self, seconds: float) -> None:
        """Let every container be created so slowly, from now on; seconds of the cluster's time."""
        with self.lock:
            self._delay = seconds

    def image_missing(self, image: str) -> None:
        """No node can have this image, until `image_found`."""
        with self.lock:
            self._missing_images.add(image)

    def image_found(self, image: str) -> None:
        with self.lock:
            self._missing_images.discard(image)
        self.changed()

    def unschedulable(self, why: str = "1 node(s) had untolerated taint {maintenance: }") -> None:
        """No node takes a pod, until `schedulable`."""
        with self.lock:
            self._unschedulable = why

    def schedulable(self) -> None:
        with self.lock:
            self._unschedulable = None
        self.changed()

    def quota_forbids_pods(self, text: str | None) -> None:
        """Refuse to create any pod, with this text; None ends it."""
        with self.lock:
            self._quota = text

    def oom(self, pod: str) -> None:
        """Kill the first container of the next such pod for its memory, as soon as it runs."""
        with self.lock:
            self._oom.append(pod)
        self.changed()

    # Asked by the server.

    def answer(self, method: str, path: str) -> Refused | None:
        """What to answer a request with instead, if anything."""
        with self.lock:
            found = _take(self._answers, method, path)
        return None if found is None else answers.fault(found.code)

    def loses(self, method: str, path: str) -> bool:
        """Whether the answer to this request gets lost."""
        with self.lock:
            return _take(self._lost, method, path) is not None

    def log_limit(self) -> int | None:
        """After how many lines to cut this log."""
        with self.lock:
            return self._drop_log_after.pop(0) if self._drop_log_after else None

    def mutes(self) -> bool:
        """Whether this watch says nothing."""
        with self.lock:
            mute, self._mute = self._mute > 0, max(self._mute - 1, 0)
            return mute

    def watch_limit(self) -> int | None:
        """After how many events to cut this watch."""
        with self.lock:
            return self._drop_after.pop(0) if self._drop_after else None

    def watch_error(self, revision: str) -> Refused | None:
        """The error that this watch begins with."""
        with self.lock:
            if revision not in ("", "0") and self._gone:
                self._gone -= 1
                return answers.expired(int(revision), int(revision) + 335)
            if revision == "" and self._progress_disabled:
                self._progress_disabled -= 1
                text = "Internal error occurred: RequestWatchProgress is disabled"
                return Refused(500, "InternalError", text)
        return None

    def extra_pods(self) -> int:
        """How many pods more than wanted to make."""
        with self.lock:
            extra, self._twice = min(self._twice, 1), max(self._twice - 1, 0)
            return extra

    def delay(self) -> float:
        with self.lock:
            return self._delay

    def lacks(self, image: str) -> bool:
        with self.lock:
            return any(fnmatch(image, pattern) for pattern in self._missing_images)

    def no_node(self) -> str | None:
        with self.lock:
            return self._unschedulable

    def quota(self) -> str | None:
        with self.lock:
            return self._quota

    def take_oom(self, pod: str) -> bool:
        """Whether this pod is to be killed for its memory; once."""
        with self.lock:
            for pattern in self._oom:
                if fnmatch(pod, pattern):
                    self._oom.remove(pattern)
                    return True
        return False


def _take(waiting: list[_Answer], method: str, path: str) -> _Answer | None:
    """The first that fits, counted down."""
    for each in waiting:
        if fnmatch(method, each.method) and fnmatch(path, each.path):
            each.times -= 1
            if each.times <= 0:
                waiting.remove(each)
            return each
    return None
