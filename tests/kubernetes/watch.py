"""Watch streams: what was, what changes, bookmarks, and errors inside an HTTP 200."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping

from tests.kubernetes import answers, selectors
from tests.kubernetes.answers import Refused
from tests.kubernetes.clock import Clock
from tests.kubernetes.faults import Faults
from tests.kubernetes.kinds import Kind, Object
from tests.kubernetes.storage import Change, Storage

BOOKMARK_EVERY = 60.0
"""Seconds of the cluster's time."""
_DEFAULT_TIMEOUT = 1800.0
_INITIAL_END = "k8s.io/initial-events-end"


class Dropped(Exception):
    """The connection is to be cut without an end."""


class Watch:
    """One stream; iterate over it for the objects of its lines."""

    def __init__(
        self,
        storage: Storage,
        kind: Kind,
        namespace: str,
        query: Mapping[str, str],
        *,
        clock: Clock,
        faults: Faults,
        stopped: Callable[[], bool],
    ) -> None:
        self.storage = storage
        self.kind = kind
        self.namespace = namespace
        self._test = selectors.of(query)
        self._revision = query.get("resourceVersion", "")
        if not self._revision.isdecimal() and self._revision:
            raise answers.bad_request(f'resourceVersion: Invalid value: "{self._revision}"')
        self._initial = query.get("sendInitialEvents") == "true"
        self._bookmarks = query.get("allowWatchBookmarks") in ("true", "1", "True")
        self._until = time.monotonic() + float(query.get("timeoutSeconds") or _DEFAULT_TIMEOUT)
        self._pause = clock.real(BOOKMARK_EVERY)
        self._limit = faults.watch_limit()
        self._mute = faults.mutes()
        self._error = faults.watch_error(self._revision)
        self._stopped = stopped

    def __iter__(self) -> Iterator[Object]:
        """The lines; raises Dropped where the fault says so, and ends at the client's timeout."""
        sent = 0
        try:
            for line in self._lines():
                if self._limit is not None and sent >= self._limit:
                    raise Dropped
                yield line
                sent += 1
        except Refused as refused:
            yield {"type": "ERROR", "object": refused.body}

    def _lines(self) -> Iterator[Object]:
        if self._mute:
            self._be_silent()
        if self._error is not None:
            raise self._error
        if self._initial or self._revision in ("", "0"):
            with self.storage.lock:
                start = self.storage.revision
                found = self.storage.items(self.kind.group, self.kind.plural, self.namespace)
            yield from ({"type": "ADDED", "object": obj} for obj in found if self._test(obj))
            if self._initial:
                yield self._bookmark(start, initial=True)
        else:
            start = int(self._revision)
        yield from self._follow(start)

    def _be_silent(self) -> None:
        """Hold the connection open until the server goes away."""
        with self.storage.changed:
            while not self._stopped():
                self.storage.changed.wait()
        raise Dropped

    def _follow(self, start: int) -> Iterator[Object]:
        bookmark_at = time.monotonic() + self._pause
        while True:
            changes = self._next(start, min(self._until, bookmark_at))
            for change in changes:
                start = change.revision
                line = self._line(change)
                if line is not None:
                    yield line
            now = time.monotonic()
            if self._stopped():
                raise Dropped
            if now >= self._until:
                return
            if now >= bookmark_at:
                bookmark_at = now + self._pause
                if self._bookmarks:
                    yield self._bookmark(start)

    def _next(self, start: int, until: float) -> list[Change]:
        """The changes after a revision, waiting for one."""
        with self.storage.changed:
            while not (changes := self.storage.since(start)):
                left = until - time.monotonic()
                if left <= 0 or self._stopped():
                    return []
                self.storage.changed.wait(left)
            return changes

    def _line(self, change: Change) -> Object | None:
        """A change as this watch sees it: what leaves the selector is deleted for it."""
        key = change.key
        if (key.group, key.plural) != (self.kind.group, self.kind.plural):
            return None
        if self.namespace not in ("", key.namespace):
            return None
        was = change.before is not None and self._test(change.before)
        now = change.type != "DELETED" and self._test(change.object)
        if not was and not now:
            return None
        type_ = "DELETED" if not now else "MODIFIED" if was else "ADDED"
        return {"type": type_, "object": change.object}

    def _bookmark(self, revision: int, *, initial: bool = False) -> Object:
        obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, **copy.deepcopy(self.kind.zero)}
        obj["metadata"] = {"resourceVersion": str(revision)}
        if initial:
            obj["metadata"]["annotations"] = {_INITIAL_END: "true"}
        return {"type": "BOOKMARK", "object": obj}
