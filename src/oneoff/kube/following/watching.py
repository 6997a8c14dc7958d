"""Watches objects of a cluster: hints that it is worth looking, and the last words of what is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from oneoff.errors import ClusterError, NotPermitted
from oneoff.kube.api.cluster import Cluster, Resource, Selection
from oneoff.kube.following.inbox import Inbox, Worker
from oneoff.kube.objects import Object

SECONDS: Final = 240.0
"""For how long one watch lasts; then all is listed again."""
PAUSE: Final = 1.0
"""Seconds between two watches: one that ends at once would else be asked for all the time."""


@dataclass(frozen=True)
class Seen:
    """An object as a watch or a list had it."""

    resource: Resource
    object: Object
    deleted: bool = False


@dataclass(frozen=True)
class Unwatched:
    """Watching is not permitted."""

    resource: Resource


class Watcher(Worker):
    """Brings objects to an inbox as they change; begins again with a list whatever goes wrong."""

    def __init__(self, cluster: Cluster, resource: Resource, selection: Selection, inbox: Inbox) -> None:
        super().__init__(f"watch-{resource.plural}", inbox)
        self.since = ""
        """The version of a list that somebody has: the first watch begins there."""
        self._cluster = cluster
        self._resource = resource
        self._selection = selection

    def work(self) -> None:
        while True:
            try:
                self._watch()
            except NotPermitted:
                self.inbox.put(Unwatched(self._resource))
                return
            except ClusterError:
                pass  # whoever looks says so
            self.pause(PAUSE)

    def _watch(self) -> None:
        version, self.since = self.since or self._list(), ""
        changes = self._cluster.watch(self._resource, self._selection, version=version, seconds=SECONDS)
        for word, thing in changes:
            self.inbox.check()
            if word != "BOOKMARK":
                self.inbox.put(Seen(self._resource, thing, deleted=word == "DELETED"))

    def _list(self) -> str:
        listing = self._cluster.list(self._resource, self._selection)
        for thing in listing.items:
            self.inbox.put(Seen(self._resource, thing))
        return listing.version
